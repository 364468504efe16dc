"""Manifests and units of deploy/ keep their schemas, and programs take the command lines in them."""

from __future__ import annotations

import asyncio
import json
import lzma
import re
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from configparser import ConfigParser
from functools import cache
from pathlib import Path
from typing import Any

import grpc
import jsonschema
import pytest
import yaml
from typer.main import get_group

import kvm_svc.service.main
import perfcore_svc.service.main
from client.cli.app import app
from client.drive.pair import Pair
from contract.wire import probe
from contract.wire.bootstrap import END_LIMIT
from contract.wire.health import LIVENESS, READINESS
from contract.wire.tls import Identity
from tests.cases import cases
from tests.client.cli.commands import lbrlab

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
MANIFESTS = sorted(path for path in DEPLOY.rglob("kubernetes/*/*.yaml") if path.name != "kustomization.yaml")
UNITS = sorted(DEPLOY.glob("systemd/*.service"))
SERVICES = {"perfcore-svc": perfcore_svc.service.main, "kvm-svc": kvm_svc.service.main}
GROUP = get_group(app)


@cache
def schemas() -> dict[str, Any]:
    loaded = json.loads(lzma.decompress((Path(__file__).parent / "kubernetes-1.37.json.xz").read_bytes()))
    return {kind: {**schema, "definitions": loaded["definitions"]} for kind, schema in loaded["kinds"].items()}


def resources(path: Path) -> list[Any]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def pods(path: Path) -> Iterator[Any]:
    for resource in resources(path):
        if "template" in resource.get("spec", {}):
            yield resource["spec"]["template"]


def commands() -> list[list[str]]:
    """Every command line that something in deploy/ starts."""
    found = [c["args"] for path in MANIFESTS for pod in pods(path) for c in pod["spec"]["containers"]]
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    found += [service["command"] for service in composed["services"].values() if service["image"] == "lbrlab"]
    for path in UNITS:
        line = unit(path)["Service"]["ExecStart"].replace("%i", "kvm1")
        program, *rest = shlex.split(line.replace("${CREDENTIALS_DIRECTORY}", "/run/c"))
        found.append([Path(program).name, *rest])
    return found


def unit(path: Path) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(path)
    return parser


@cases("path", MANIFESTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_a_manifest_keeps_the_schema_of_its_kind(path: Path) -> None:
    for resource in resources(path):
        jsonschema.Draft7Validator(schemas()[resource["kind"]]).validate(resource)


def test_a_manifest_with_an_unknown_field_does_not() -> None:
    wrong = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"portss": []}}
    with pytest.raises(jsonschema.ValidationError, match="portss"):
        jsonschema.Draft7Validator(schemas()["Service"]).validate(wrong)


@cases("command", commands(), ids=" ".join)
def test_a_program_takes_the_command_line(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program, *words = command
    if program == "lbrlab":
        GROUP.commands[words[0]].make_context(words[0], words[1:])
    elif program == "dask":
        assert words[0] in ("scheduler", "worker")
    else:
        with monkeypatch.context() as patch:
            files = str(DEPLOY / "kubernetes" / "base")
            patch.setattr(sys, "argv", [word.replace("/settings", files) for word in command])
            if "--config" not in command and "--listen" not in command:  # A unit has its addresses in variables.
                patch.setenv("LBRLAB_LISTEN", "10.0.0.1:7401")
                patch.setenv("LBRLAB_PERFCORE", "10.0.0.1:7401")
            patch.setattr(SERVICES[program], "run", lambda options: options)
            patch.setattr(asyncio, "run", lambda options: 0)
            patch.setattr(Identity, "check", lambda identity: None)
            with pytest.raises(SystemExit) as end:
                SERVICES[program].main()
        assert end.value.code == 0


def test_each_service_is_deployed_in_each_way() -> None:
    started = {command[0] for command in commands()}
    assert started == {"perfcore-svc", "kvm-svc", "lbrlab", "dask"}
    assert len(commands()) >= 10


@cases("path", MANIFESTS, ids=lambda path: str(path.relative_to(DEPLOY)))
def test_a_pod_is_restricted(path: Path) -> None:
    for pod in pods(path):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        assert spec["automountServiceAccountToken"] is False
        for container in spec["containers"]:
            mine = container["securityContext"]
            assert (mine["allowPrivilegeEscalation"], mine["readOnlyRootFilesystem"]) == (False, True)
            assert mine["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]["limits"]) == {"cpu", "memory"}
            assert container["image"] == "lbrlab"


def test_addresses_in_command_lines_are_those_of_services() -> None:
    offered = set()
    for path in MANIFESTS:
        for resource in resources(path):
            if resource["kind"] == "Service":
                offered |= {f"{resource['metadata']['name']}:{port['port']}" for port in resource["spec"]["ports"]}
    words = [word for path in MANIFESTS for pod in pods(path) for c in pod["spec"]["containers"] for word in c["args"]]
    for path in (DEPLOY / "kubernetes" / "base").glob("*.toml"):
        words += [str(value) for value in tomllib.loads(path.read_text(encoding="utf-8")).values()]
    asked = {word.removeprefix("tcp://") for word in words if re.fullmatch(r"(tcp://)?[a-z][a-z0-9]*:\d+", word)}
    assert asked
    assert asked <= offered


def test_identities_are_those_that_certs_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "base"
    shutil.copytree(DEPLOY / "kubernetes" / "base", base)
    monkeypatch.chdir(tmp_path)
    assert lbrlab("certs", "base/certs", "--host", "perfcore", "--host", "kvm0").exit_code == 0
    generated = yaml.safe_load((base / "kustomization.yaml").read_text(encoding="utf-8"))["secretGenerator"]
    assert all((base / file).is_file() for secret in generated for file in secret["files"])
    mounted = {
        volume["secret"]["secretName"]
        for path in base.glob("*.yaml")
        if path.name != "kustomization.yaml"
        for pod in pods(path)
        for volume in pod["spec"]["volumes"]
        if "secret" in volume
    }
    assert mounted == {secret["name"] for secret in generated}
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed: the overlays are not built")
    for folder in (base, DEPLOY / "kubernetes" / "campaign"):
        built = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=True)
        assert {r["kind"] for r in yaml.safe_load_all(built.stdout)} >= {"Namespace", "Deployment", "Service", "Job"}


@cases("path", UNITS, ids=lambda path: path.name)
def test_a_unit_gives_its_service_an_identity_and_few_rights(path: Path) -> None:
    service = unit(path)["Service"]
    assert service["DynamicUser"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["ProtectSystem"] == "strict"
    assert set(re.findall(r"^LoadCredential=(\S+?):", path.read_text(), re.MULTILINE)) == {
        "tls.crt",
        "tls.key",
        "ca.crt",
    }


def test_units_are_verified(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: the units are not verified")
    for path in UNITS:
        here = re.sub(r"/opt/lbrlab/bin/\S+", "/bin/true", path.read_text(encoding="utf-8"))
        (tmp_path / path.name).write_text(here)
    units = sorted(map(str, tmp_path.glob("*.service")))
    verified = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert (verified.returncode, verified.stderr) == (0, "")


def test_the_image_has_every_package_and_no_root() -> None:
    text = (DEPLOY / "image" / "Dockerfile").read_text(encoding="utf-8")
    copied = {word for line in re.findall(r"^COPY (?!--)(.*) \S+$", text, re.MULTILINE) for word in line.split()}
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {name.rstrip("*") for name in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert wanted - {"lbrlab", "buf"} | {"protos", "requirements.lock", "pyproject.toml", "setup.py"} <= copied
    assert re.findall(r"^USER (\S+)$", text, re.MULTILINE) == ["65532:65532"]


def test_a_volume_belongs_to_the_user_of_the_image() -> None:
    """A new named volume takes the owner of the folder that the image has there; without one it is root's."""
    text = (DEPLOY / "image" / "Dockerfile").read_text(encoding="utf-8")
    owned = set(" ".join(re.findall(r"chown 65532:65532 (.*)$", text, re.MULTILINE)).split())
    made = {*re.findall(r"mkdir (\S+)", text), *re.findall(r"^WORKDIR (\S+)$", text, re.MULTILINE)}
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    mounted = {
        volume.split(":")[1]
        for service in composed.values()
        if service["image"] == "lbrlab"
        for volume in service["volumes"]
    }
    assert mounted == {"/sockets", "/work"}
    assert mounted <= owned & made


def ports_of(container: Any) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def test_probes_and_ports_are_those_of_the_settings() -> None:
    """Probes ask for names that the health service knows, at the port that the settings give to health."""
    seen = 0
    for name in ("perfcore", "kvm0"):
        base = DEPLOY / "kubernetes" / "base"
        settings = tomllib.loads((base / f"{name}.toml").read_text(encoding="utf-8"))
        (pod,) = pods(base / f"{name}.yaml")
        (container,) = pod["spec"]["containers"]
        wanted = {"grpc": settings["listen"], "health": settings["health"], "metrics": settings["metrics"]}
        assert ports_of(container) == {port: int(address.split(":")[1]) for port, address in wanted.items()}
        for kind, asked in (("startup", LIVENESS), ("liveness", LIVENESS), ("readiness", READINESS)):
            assert container[f"{kind}Probe"]["grpc"] == {"port": ports_of(container)["health"], "service": asked}
            seen += 1
        assert pod["spec"]["terminationGracePeriodSeconds"] > END_LIMIT
    assert seen == 6


def test_prometheus_scrapes_the_ports_of_the_compose_file() -> None:
    composed = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))["services"]
    served = {
        f"{name}:{service['command'][service['command'].index('--metrics') + 1].split(':')[1]}"
        for name, service in composed.items()
        if "--metrics" in service["command"]
    }
    scraped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))
    targets = {t for job in scraped["scrape_configs"] for static in job["static_configs"] for t in static["targets"]}
    assert targets == served
    assert len(targets) == 2
    assert all((DEPLOY / "prometheus" / file).is_file() for file in scraped["rule_files"])


def test_the_probe_of_a_container_asks_a_service_for_its_health() -> None:
    with Pair(flags={"perfcore": ["--health", "127.0.0.1:0"]}) as pair:
        assert probe.probe(pair.kvm.address, "liveness") == ""
        assert "NOT_FOUND: expected one of liveness" in probe.probe(pair.perfcore.address, "x")
        health = pair.perfcore.ready["health"]
        assert probe.probe(health, "readiness") == ""
        with grpc.insecure_channel(health) as channel:
            info = channel.unary_unary("/lbrlab.v1.InfoService/GetInfo", lambda empty: b"", bytes)
            with pytest.raises(grpc.RpcError) as refused:
                info(None, timeout=10)
        pair.perfcore.process.kill()
        pair.perfcore.process.wait()
        deadline = time.monotonic() + 10
        while probe.probe(pair.kvm.address, "readiness") != "NOT_SERVING":
            assert time.monotonic() < deadline
        assert "UNAVAILABLE" in probe.probe(pair.perfcore.address, "liveness")
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
