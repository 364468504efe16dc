"""A certificate authority for development: it signs an identity for each role. See ``contract.wire.tls``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from contract.errors import InputError
from contract.wire.tls import CA, CERTIFICATE, KEY, SCHEME, read_pem

CA_KEY = "ca.key"
LOCAL = "localhost", "127.0.0.1", "::1"
"""Names of this host, which each certificate of a service has."""
CLOCKS_DIFFER = timedelta(minutes=5)
"""How long before its making a certificate is valid: the clocks of hosts differ."""


class Authority:
    """The CA of a folder, with its certificate ``ca.crt`` and its key ``ca.key``. It is made where there is none.
    Raises InputError naming a file that cannot be read."""

    def __init__(self, folder: Path, days: int) -> None:
        self.folder = folder
        self.days = days
        folder.mkdir(parents=True, exist_ok=True)
        self.is_new = not (folder / CA).exists()
        if self.is_new:
            self.key = ec.generate_private_key(ec.SECP256R1())
            self.certificate = self._made("lbrlab development CA", self.key, None, (), is_ca=True)
            _write(folder / CA_KEY, _pem(self.key), 0o600)
            _write(folder / CA, self.certificate.public_bytes(serialization.Encoding.PEM))
        else:
            self.certificate = _read(folder / CA, x509.load_pem_x509_certificate)
            self.key = _read(folder / CA_KEY, lambda pem: serialization.load_pem_private_key(pem, None))

    def sign(self, name: str, role: str, hosts: Sequence[str] = ()) -> Path:
        """Make the identity ``name``, in a folder of that name, and replace the one that is there. ``role``: as in the
        certificate, ``kvm:kvm0``. ``hosts``: names and addresses under which others reach it."""
        made = self.folder / name
        made.mkdir(mode=0o700, exist_ok=True)
        key = ec.generate_private_key(ec.SECP256R1())
        others: list[x509.GeneralName] = [x509.UniformResourceIdentifier(f"{SCHEME}:{role}"), *map(_host, hosts)]
        certificate = self._made(name, key, self.certificate, others, is_ca=False)
        _write(made / KEY, _pem(key), 0o600)
        _write(made / CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))
        _write(made / CA, self.certificate.public_bytes(serialization.Encoding.PEM))
        return made

    def _made(
        self,
        name: str,
        key: ec.EllipticCurvePrivateKey,
        issuer: x509.Certificate | None,
        others: Sequence[x509.GeneralName],
        *,
        is_ca: bool,
    ) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCKS_DIFFER)
            .not_valid_after(now + timedelta(days=self.days))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=0 if is_ca else None), critical=True)
            .add_extension(_USAGE_OF_CA if is_ca else _USAGE, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        if issuer is not None:
            # A strict client, such as Python from 3.13 on, refuses a certificate without it (RFC 5280, 4.2.1.1).
            authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(authority, critical=False)
        if others:
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


_USAGE, _USAGE_OF_CA = _usage(signs_certificates=False), _usage(signs_certificates=True)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Replace the file in one step: a service may read it at any time."""
    new = path.with_name(f".{path.name}.new")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
        file.write(content)
    new.replace(path)


def _read(path: Path, load: Callable[[bytes], Any]) -> Any:
    try:
        return load(read_pem(path))
    except ValueError as error:
        raise InputError(f"expected PEM: {error}", str(path)) from None
