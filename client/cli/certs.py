"""``lbrlab certs``: a development CA, and an identity for each service and each kind of user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from client.cli.console import console, print_text
from client.report.json import print_json
from contract.errors import InputError
from contract.wire.access import DRIVER, KVM, PERFCORE, VIEWER
from contract.wire.authority import LOCAL, Authority
from contract.wire.tls import CA


class CertsDocument(msgspec.Struct):
    """``identities``: folders of identities, by name. ``ca``: the certificate that all hosts need."""

    verdict: str
    exit_code: int
    ca: str
    ca_is_new: bool
    days: int
    identities: dict[str, str]


def certs(folder: Path, hosts: Sequence[str], kvms: Sequence[str], days: int, *, as_json: bool) -> None:
    names = list(kvms) or ["kvm0"]
    for name in names:
        if name in (PERFCORE, DRIVER, VIEWER) or not name.isascii() or not name.isidentifier():
            raise InputError(f"expected a name such as kvm0, found {name!r}", "--kvm")
    try:
        authority = Authority(folder, days)
        reached = [*LOCAL, *hosts]
        made = {PERFCORE: authority.sign(PERFCORE, PERFCORE, reached)}
        made |= {name: authority.sign(name, f"{KVM}:{name}", reached) for name in names}
        made |= {role: authority.sign(role, role) for role in (DRIVER, VIEWER)}
    except ValueError as error:
        raise InputError(f"expected names and addresses of hosts: {error}", "--host") from None
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", str(error.filename or folder)) from None
    ca = str(folder / CA)
    if as_json:
        paths = {name: str(path) for name, path in made.items()}
        print_json(CertsDocument("held", 0, ca, authority.is_new, days, paths))
        return
    out = console()
    print_text(out, f"{'made' if authority.is_new else 'kept'} the CA {ca}; certificates are valid for {days} days")
    for name, path in made.items():
        print_text(out, f"  {name}: {path}")
    print_text(out, "Give each host the folder of its service, and no other. Then, for instance:")
    print_text(out, f"  perfcore-svc --listen 0.0.0.0:7401 --tls {made[PERFCORE]}", hang=4)
    print_text(out, f"  kvm-svc --listen 0.0.0.0:7402 --perfcore HOST:7401 --tls {made[names[0]]}", hang=4)
    print_text(out, f"  lbrlab run FILE --perfcore HOST:7401 --kvm HOST:7402 --tls {made[DRIVER]}", hang=4)
