"""Mutual TLS: the certificate of a service or a driver, and the role that it gives.

An identity is a folder with three files, named as in a Kubernetes secret of type ``kubernetes.io/tls``. Each end shows
its certificate, and accepts a peer whose certificate the same CA has signed. The role stands in the certificate, as a
URI among its alternative names: ``lbrlab:perfcore``, ``lbrlab:kvm:NAME``, ``lbrlab:driver`` or ``lbrlab:viewer``.
Addresses on this host need no TLS. Unix sockets never use it: the permissions of the file protect them.

grpc, ssl and cryptography are loaded late: most commands need none of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from contract.errors import InputError

if TYPE_CHECKING:
    import ssl

    import grpc

_DAY = "%Y-%m-%d %H:%M"
CERTIFICATE, KEY, CA = "tls.crt", "tls.key", "ca.crt"
PEM_LIMIT = 1 << 20
"""Bytes of a key or a certificate."""
SCHEME = "lbrlab"
LOOK_TIMEOUT = 2.0
"""Seconds that ``handshake_fault`` waits for the other end."""
ALERT_TIMEOUT = 0.3
"""Seconds in which a server that refuses a certificate says so, after the handshake (TLS 1.3)."""


def is_local(address: str) -> bool:
    """Whether only processes of this host reach an address (``HOST:PORT`` or ``unix:PATH``)."""
    if address.startswith("unix:"):
        return True
    host = host_of(address)
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_of(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def check_exposure(addresses: dict[str, str], identity: Identity | None, insecure: bool) -> None:
    """``addresses``: option to its value. Raises InputError naming the option whose address other hosts reach without
    TLS."""
    for option, address in addresses.items():
        if address and not (is_local(address) or identity or insecure):
            raise InputError(f"{address} is reached from other hosts: expected --tls DIR, or --insecure", option)


def read_pem(path: Path) -> bytes:
    """The content of a regular file of at most PEM_LIMIT bytes. Raises InputError naming it."""
    try:
        if path.exists() and not path.is_file():
            raise InputError("cannot be read: it is no regular file", str(path))
        with path.open("rb") as file:
            content = file.read(PEM_LIMIT + 1)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(path)) from None
    if len(content) > PEM_LIMIT:
        raise InputError(f"cannot be read: it has more than {PEM_LIMIT} bytes", str(path))
    return content


@dataclass(frozen=True, slots=True)
class Identity:
    """``folder`` holds the certificate (with its chain), its key and the certificate of the CA, in PEM."""

    folder: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """Key, certificate and CA. Raises InputError naming the file that cannot be read."""
        key, certificate, ca = (read_pem(self.folder / name) for name in (KEY, CERTIFICATE, CA))
        return key, certificate, ca

    def check(self) -> None:
        """Raises InputError naming the file that is missing, is no certificate or key, does not fit, or has ended."""
        from cryptography import x509

        self.read()
        for name in (CERTIFICATE, CA):
            path = self.folder / name
            try:
                found = x509.load_pem_x509_certificate(read_pem(path))
            except ValueError as error:
                raise InputError(f"expected a certificate in PEM: {error}", str(path)) from None
            now, first, last = datetime.now(UTC), found.not_valid_before_utc, found.not_valid_after_utc
            if not first <= now <= last:
                raise InputError(f"the certificate is valid from {first:{_DAY}} to {last:{_DAY}} UTC", str(path))
        self._context()

    def flaw(self) -> str:
        """Why others do not accept the certificate, as far as these files tell; "" if they show nothing."""
        from cryptography import x509
        from cryptography.exceptions import InvalidSignature

        own, ca = (x509.load_pem_x509_certificate(read_pem(self.folder / name)) for name in (CERTIFICATE, CA))
        if datetime.now(UTC) > own.not_valid_after_utc:
            return "it has expired"
        try:
            own.verify_directly_issued_by(ca)
        except (ValueError, TypeError, InvalidSignature):
            return f"the CA in {CA} has not signed it"
        return ""

    def stamp(self) -> tuple[int, ...]:
        """It changes when one of the files does."""
        return tuple((self.folder / name).stat().st_mtime_ns for name in (KEY, CERTIFICATE, CA))

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For one channel. The files are read for each, so a later channel takes new ones."""
        import grpc

        key, certificate, ca = self.read()
        return grpc.ssl_channel_credentials(ca, key, certificate)

    def server_credentials(self, changed: Callable[[str], None]) -> grpc.ServerCredentials:
        """They demand a certificate of each peer. When the files change, new connections take the new ones, and open
        connections stay. ``changed`` is told: "" for new files, or why the old ones stay."""
        import grpc

        seen = self.stamp()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal seen
            try:
                if (now := self.stamp()) == seen:
                    return None
                seen = now
                self.check()
                configuration = self._configuration()
            except (InputError, OSError) as error:
                changed(str(error))
                return None
            changed("")
            return configuration

        return grpc.dynamic_ssl_server_credentials(self._configuration(), fetch, require_client_authentication=True)

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        import grpc

        key, certificate, ca = self.read()
        return grpc.ssl_server_certificate_configuration([(key, certificate)], ca)

    def _context(self) -> ssl.SSLContext:
        """The TLS of a client. Raises InputError for a key that is not that of the certificate."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_cert_chain(self.folder / CERTIFICATE, self.folder / KEY)
        except ssl.SSLError as error:
            why = "is not the key of the certificate" if "MISMATCH" in str(error) else f"expected a key in PEM: {error}"
            raise InputError(why, str(self.folder / KEY)) from None
        context.load_verify_locations(self.folder / CA)
        return context


def tls_of(address: str, identity: Identity | None) -> Identity | None:
    """The identity for an address: none for a Unix socket."""
    return None if address.startswith("unix:") else identity


def handshake_fault(address: str, identity: Identity) -> str:
    """Why a TLS handshake with that server fails, in words; "" if it succeeds, or if nobody answers. grpc says only
    that the socket was closed."""
    import socket
    import ssl

    host, _, port = address.rpartition(":")
    try:
        context = identity._context()
        context.set_alpn_protocols(["h2"])  # A gRPC server ends a connection that does not ask for it.
        with (
            socket.create_connection((host.strip("[]"), int(port)), LOOK_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=host.strip("[]")) as secure,
        ):
            secure.settimeout(ALERT_TIMEOUT)
            if not secure.recv(1):
                raise ConnectionResetError
    except ssl.SSLCertVerificationError as error:
        return f"the certificate of {address} is not accepted: {error.verify_message}"
    except ssl.SSLError as error:
        return f"{address} {_ALERTS.get(error.reason or '', f'ends the TLS handshake: {error.reason or error}')}"
    except InputError as error:
        return str(error)
    except ConnectionResetError:  # gRPC closes the connection, often without an alert.
        return f"{address} does not accept our certificate: {identity.flaw() or 'its log has the reason'}"
    except (TimeoutError, OSError):
        return ""
    return ""


def speaks_tls(address: str) -> bool:
    """Whether a TLS server is at an address ``HOST:PORT``. The question shows no certificate and looks at none."""
    import socket
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    host, _, port = address.rpartition(":")
    try:
        with (
            socket.create_connection((host.strip("[]"), int(port)), LOOK_TIMEOUT) as plain,
            context.wrap_socket(plain),
        ):
            return True
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except OSError:
        return False


_ALERTS = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "asks for a certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "does not accept our certificate: it has expired",
    "TLSV1_ALERT_UNKNOWN_CA": "does not accept our certificate: another CA has signed it",
    "SSLV3_ALERT_BAD_CERTIFICATE": "does not accept our certificate",
    "WRONG_VERSION_NUMBER": "speaks no TLS",
}
"""The meaning of a server's alert, or of its answer."""
