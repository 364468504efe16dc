"""Compile the wire schema into ``protos/``, which is the source root of the packages ``lbrlab`` and ``buf``.

The schema imports ``buf/validate/validate.proto``. The protovalidate wheel carries that file only as a
descriptor inside its own message classes, which are not google-protobuf ones; so its descriptor is
written out, handed to protoc in place of the source, and compiled to ``buf/validate/validate_pb2.py``.

Left in ``build/protos``: ``validate.binpb`` (that descriptor), ``image.binpb`` (the schema with all it
imports, for ``buf lint``) and ``digest`` (what the outputs were made from; nothing is done while it holds).
"""

from __future__ import annotations

import hashlib
import tempfile
from importlib import metadata, resources
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
WORK = PROTOS.parent / "build" / "protos"
VALIDATE = "buf/validate/validate.proto"
TOOLS = ("grpcio-tools", "protobuf", "protovalidate")


def schema() -> list[str]:
    return sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.glob("lbrlab/**/*.proto"))


def outputs(files: list[str]) -> set[str]:
    """Paths of the generated files, relative to ``protos/``."""
    stems = [name.removesuffix(".proto") for name in [VALIDATE, *files]]
    made = {stem + end for stem in stems for end in ("_pb2.py", "_pb2.pyi")}
    made |= {stem + "_pb2_grpc.py" for stem in stems[1:]}
    return made | {"buf/__init__.py", "buf/validate/__init__.py"}


def digest(files: list[str]) -> str:
    """Contents rather than times: a checkout, a copy or a branch switch sets times as it likes."""
    total = hashlib.sha256(Path(__file__).read_bytes())
    for tool in TOOLS:
        total.update(f"{tool} {metadata.version(tool)}\n".encode())
    for name in files:
        total.update(name.encode() + b"\0" + hashlib.sha256((PROTOS / name).read_bytes()).digest())
    return total.hexdigest()


def protoc(files: list[str], into: Path) -> None:
    import protovalidate
    from grpc_tools import protoc as tool

    described = protovalidate.ViolationPb.desc().file.proto
    if described.name != VALIDATE:
        raise SystemExit(f"protovalidate describes {described.name}, expected {VALIDATE}")
    # A FileDescriptorSet is `repeated FileDescriptorProto file = 1`: tag 0x0a, length, message.
    body = described.to_binary()
    length, size = bytearray(), len(body)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    (into / "validate.binpb").write_bytes(b"\x0a" + bytes(length) + body)

    # With both given, protoc looks on the -I paths first and in the descriptor set for what is not there.
    # The grpc_tools path has google/protobuf/*.proto.
    find = [
        f"-I{PROTOS}",
        f"-I{resources.files('grpc_tools') / '_proto'}",
        f"--descriptor_set_in={into / 'validate.binpb'}",
    ]
    out = into / "out"
    out.mkdir()
    image = [f"--descriptor_set_out={into / 'image.binpb'}", "--include_imports", "--include_source_info"]
    messages = [f"--python_out={out}", f"--pyi_out={out}"]
    runs = [[*messages, VALIDATE]]
    if files:
        runs.append([*messages, f"--grpc_python_out={out}", *image, *files])
    for run in runs:
        if tool.main(["protoc", *find, *run]) != 0:
            raise SystemExit("protoc failed, the messages above say where")
    for package in ("buf", "buf/validate"):
        (out / package / "__init__.py").touch()


def main() -> None:
    files = schema()
    wanted, now = outputs(files), digest(files)
    seen = WORK / "digest"
    if seen.exists() and seen.read_text() == now and all((PROTOS / name).exists() for name in wanted):
        return
    WORK.mkdir(parents=True, exist_ok=True)
    # Made aside and moved into place, so that a failed or interrupted run leaves the last good state.
    with tempfile.TemporaryDirectory(dir=WORK) as scratch:
        into = Path(scratch)
        protoc(files, into)
        seen.unlink(missing_ok=True)
        for old in PROTOS.glob("**/*_pb2*.py*"):
            if old.suffix in (".py", ".pyi") and old.relative_to(PROTOS).as_posix() not in wanted:
                old.unlink()
        for name in sorted(wanted):
            (PROTOS / name).parent.mkdir(parents=True, exist_ok=True)
            (into / "out" / name).replace(PROTOS / name)
        for made in ("validate.binpb", "image.binpb"):
            if (into / made).exists():
                (into / made).replace(WORK / made)
        seen.write_text(now)
    print(f"compiled {len(files)} proto files with grpcio-tools {metadata.version('grpcio-tools')}")


if __name__ == "__main__":
    main()
