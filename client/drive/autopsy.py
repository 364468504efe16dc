"""The diagnosis after a failed call: which service failed and why, and which records can still be read. Loads grpc;
import it late."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import grpc

from client.drive.grpc_service import BrokenCallError, Service
from contract.errors import SystemFailedError
from contract.messages import PROTOCOL_VERSION
from contract.trace import AnyRecord, Recorder

PROBE_TIMEOUT = 2.0
"""Seconds to answer a probe. A service that is only slow must not be taken for the one that failed."""
KNOCK_TIMEOUT = 1.0
EXIT_TIMEOUT = 1.0
"""Seconds from the end of a process's sockets to the end of the process."""

_ENDING = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED

Ends = Callable[[str, float], str]
"""How a service process that this driver started has ended, in words; "" while it runs. The number is the seconds to
wait for its end."""


def greet(services: dict[str, Service], timeout: float, ends: Ends) -> None:
    """Greet all services.

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
    """Find the service that failed. Append to ``log`` the records of the run that the other services still have."""
    with ThreadPoolExecutor(len(services)) as pool:
        symptoms = dict(zip(services, pool.map(lambda s: _probe(s, ends), services.values()), strict=True))
    recover(log, [service for name, service in services.items() if not symptoms[name]])
    for name, symptom in symptoms.items():
        if symptom:
            return SystemFailedError(name, symptom)
    return _as_told(broken, services, ends)


def _as_told(broken: BrokenCallError, services: dict[str, Service], ends: Ends) -> SystemFailedError:
    """The failure as the failed call reports it; all services still answer. The message names the kind of service if
    the failure is that of another service; with several KVMs or hosts also the session or the host."""
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
    elif broken.code is grpc.StatusCode.UNAVAILABLE and not alike:
        reason = f"the driver has lost its link to it ({reason})"
    if broken.code in _ENDING and (end := ends(service, EXIT_TIMEOUT)):
        reason = end  # The process was ending when it was probed.
    return SystemFailedError(service, reason)


def knock(address: str, *, met: bool) -> str:
    """Try a plain connect() to a service that is unavailable; the result in words. A stopped process still listens. An
    address that refuses, and has answered before (``met``), is the address of a dead process."""
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
    """Append the records of all services that follow the driver's records without a gap."""
    begun = [service for service in services if service.run]
    found = [record for service in begun for record in service.trace(service.run, log.clock, PROBE_TIMEOUT)]
    follow(log, sorted(found, key=lambda record: record.seq))


def follow(log: Recorder, records: list[AnyRecord]) -> bool:
    """Append records as long as they follow without a gap. True if all did."""
    for record in records:
        if record.seq != log.clock + 1:
            return False
        log.records.append(record)
        log.witness(record.seq, record.time)
    return True


def _probe(service: Service, ends: Ends) -> str:
    """The fault of a service in words; "" if it answers."""
    if end := ends(service.name, 0):
        return end
    fresh = service.again()  # The channel of the call can be broken although the service works.
    try:
        fresh.info(PROBE_TIMEOUT)
    except grpc.RpcError as error:
        return _symptom(service, error, ends)
    finally:
        fresh.close()
    return ""


def _tls_fault(service: Service) -> str:
    """Why TLS fails there, or is needed, in words; "" if it is neither."""
    from contract.wire.tls import handshake_fault, speaks_tls

    if service.identity is not None:
        return handshake_fault(service.address, service.identity)
    if service.address.startswith("unix:") or service.met or not speaks_tls(service.address):
        return ""
    return f"{service.address} speaks TLS: expected --tls DIR"


def _symptom(service: Service, error: grpc.RpcError, ends: Ends) -> str:
    code = error.code()
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return _tls_fault(service) or f"does not answer at {service.address}"
    if code in _ENDING and (end := ends(service.name, EXIT_TIMEOUT)):
        return end
    if code is grpc.StatusCode.UNAVAILABLE:
        return _tls_fault(service) or knock(service.address, met=service.met)
    if code is grpc.StatusCode.PERMISSION_DENIED:
        return f"refuses this driver at {service.address}: {error.details()}"
    return f"not an lbrlab service: {service.address}: {code.name}: {error.details()}"
