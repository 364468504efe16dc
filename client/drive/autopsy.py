"""After a failed call: which service it was and why, and what is left of the trace. Loads grpc; import it late."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc

from client.drive.grpc_service import BrokenCallError, Service
from contract.errors import SystemFailedError
from contract.messages import PROTOCOL_VERSION
from contract.trace import AnyRecord, Recorder

PROBE_TIMEOUT = 0.5
KNOCK_TIMEOUT = 1.0
EXIT_TIMEOUT = 1.0
"""Seconds from the end of a process's sockets to the end of the process."""

_ENDING = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED

Ends = Callable[[str, float], str]
"""How the process of a service of ours ended, in words, waiting so many seconds for its end; "" while it runs."""


def greet(services: dict[str, Service], timeout: float, ends: Ends) -> None:
    """Meet all services.

    Raises SystemFailedError naming a service that is missing, does not answer or speaks another protocol.
    """
    for service in services.values():
        try:
            info = service.info(timeout)
        except grpc.RpcError as error:
            raise SystemFailedError(service.name, _symptom(service, error, ends)) from None
        if info.service != service.kind:
            raise SystemFailedError(service.name, f"a {info.service} service is at {service.address}")
        if info.protocol_version != PROTOCOL_VERSION:
            raise SystemFailedError(
                service.name, f"speaks protocol {info.protocol_version}, expected {PROTOCOL_VERSION}"
            )


def examine(broken: BrokenCallError, services: dict[str, Service], log: Recorder, ends: Ends) -> SystemFailedError:
    """Whose failure it was. Appends to ``log`` what the services that still answer know of the run."""
    with ThreadPoolExecutor(len(services)) as pool:
        symptoms = dict(zip(services, pool.map(lambda s: _probe(s, ends), services.values()), strict=True))
    recover(log, [service for name, service in services.items() if not symptoms[name]])
    for name, symptom in symptoms.items():
        if symptom:
            return SystemFailedError(name, symptom)
    return _as_told(broken, services, ends)


def _as_told(broken: BrokenCallError, services: dict[str, Service], ends: Ends) -> SystemFailedError:
    """All services answer: what the failed call says. A message names the kind of service that it is about, if not its
    own; a KVM among several by its session too, and a perf core is that of the host."""
    service, reason = broken.service, f"{broken.code.name}: {broken.details}"
    kind, _, said = broken.details.partition(": ")
    host = services[service].host
    alike = [name for name, each in services.items() if each.kind == kind and each.host == host]
    if alike:
        reason = said
        named = [name for name in alike if said.startswith(f"{name}: ")]
        service = next(name for name in (*named, *([service] if service in alike else []), *alike))
    if broken.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        reason = "did not answer a call in time"
    if broken.code in _ENDING and (end := ends(service, EXIT_TIMEOUT)):
        reason = end  # It was on its way out when it was probed.
    return SystemFailedError(service, reason)


def knock(address: str, *, met: bool) -> str:
    """A plain connect() to a service that is unavailable, in words. A stopped process still listens; only an address
    that refuses is one whose process has died, where it has answered before (``met``)."""
    try:
        if address.startswith("unix:"):
            with socket.socket(socket.AF_UNIX) as plain:
                plain.settimeout(KNOCK_TIMEOUT)
                plain.connect(address.removeprefix("unix:"))
        else:
            name, _, port = address.rpartition(":")
            socket.create_connection((name.strip("[]"), int(port)), KNOCK_TIMEOUT).close()
    except socket.gaierror as error:
        return f"cannot resolve the name of {address}: {error.strerror}"
    except (ConnectionRefusedError, FileNotFoundError):
        return f"{'died, nothing' if met else 'nothing'} listens at {address}"
    except TimeoutError:
        return f"does not answer at {address}"
    except OSError as error:
        return f"cannot be reached at {address}: {error.strerror}"
    return f"does not answer at {address}"


def recover(log: Recorder, services: Iterable[Service]) -> None:
    """Append what follows our records without a gap."""
    begun = [service for service in services if service.run]
    found = [record for service in begun for record in service.trace(service.run, log.clock, PROBE_TIMEOUT)]
    follow(log, sorted(found, key=lambda record: record.seq))


def follow(log: Recorder, records: list[AnyRecord]) -> bool:
    """Append the records as long as they follow those that are there; whether all did."""
    for record in records:
        if record.seq != log.clock + 1:
            return False
        log.records.append(record)
        log.witness(record.seq, record.time)
    return True


def _probe(service: Service, ends: Ends) -> str:
    """What is wrong with a service; "" if it answers."""
    if end := ends(service.name, 0):
        return end
    fresh = service.again()  # The channel of the call can be broken where the service is well.
    try:
        fresh.info(PROBE_TIMEOUT)
    except grpc.RpcError as error:
        return _symptom(service, error, ends)
    finally:
        fresh.close()
    return ""


def _symptom(service: Service, error: grpc.RpcError, ends: Ends) -> str:
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"does not answer at {service.address}"
    if code in _ENDING and (end := ends(service.name, EXIT_TIMEOUT)):
        return end
    if code is grpc.StatusCode.UNAVAILABLE:
        return knock(service.address, met=service.met)
    return f"not an lbrlab service: {service.address}: {code.name}: {error.details()}"
