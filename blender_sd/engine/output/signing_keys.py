"""The keys that sign content credentials: one made here on first use, or a person's own certificate.

C2PA accepts no self-signed certificates (specification 2.2, "X.509 Certificates"), so the key made here has a
certificate from a root of its own. The root's private key is discarded at once: nothing else can ever be signed with
it. The signature proves that a file is unchanged since it was written, and nothing about who wrote it.
"""
from __future__ import annotations

import datetime
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ...core.errors import CertificateUnusable
from ...library import files
from ...library.disk import try_lock

log = logging.getLogger(__name__)
FILE = "credentials.pem"  # the private key, its certificate, the root's certificate
SELF_SIGNED = "Self-signed"  # the organisation that the certificates name
_NAME = "Stable Diffusion in Blender (self-signed)"
_LOCK = "credentials.lock"
_PATIENCE = 10.0  # seconds to wait for another engine that makes the key
_MAX_BYTES = 1 << 20  # of a PEM file
# Far apart, so that a wrong clock does not make the key invalid.
_FROM, _UNTIL = (datetime.datetime(year, 1, 1) for year in (2020, 2120))
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Key:
    """A key that can sign.

    Attributes:
        private: The private key, PEM (PKCS#8).
        chain: Its certificate and those between it and a root, PEM.
        algorithm: C2PA's name of the algorithm.
    """

    private: bytes = field(repr=False)
    chain: bytes
    algorithm: str


def own_key(folder: Path, say: Callable[[str], None]) -> Key:
    """Return the key that lies in `folder`; make it if there is none.

    Engines that start at the same time all get the same key. A key that cannot be read is kept under another name.

    Args:
        folder: Where the key is kept.
        say: Receives a text if a broken key was replaced.

    Raises:
        OSError: The folder cannot be used.
    """
    file = folder / FILE
    key = _read(file)
    if key is not None:
        return key
    files.make_folders(str(folder), private=True)
    with _locked(folder):
        key = _read(file)
        if key is not None:
            return key
        if file.exists():
            aside = file.with_name(f"broken-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.pem")
            files.replace(file, aside)
            say(f"The key for content credentials was broken: it is kept as {aside.name}, and a new one was made.")
        files.write_whole(str(file), _new_key(), private=True)
        log.info("made a key for content credentials in %s", folder)
        return _parsed(file.read_bytes())


def certificate(chain: str, private: str) -> Key:
    """Return the person's own key from two PEM files.

    Args:
        chain: Path of the certificates, the signing one first.
        private: Path of the private key, without a password.

    Raises:
        CertificateUnusable: A file is missing or holds nothing usable, or the two do not belong together.
    """
    if not chain or not private:
        raise CertificateUnusable("Of the certificate and its private key, only one is named.",
                                  "Name both in the preferences, or neither.")
    try:
        certificates = x509.load_pem_x509_certificates(_bytes(chain))
    except ValueError as error:
        raise CertificateUnusable(f"The file {chain} holds no certificate in PEM form.",
                                  "Export the chain as PEM, the signing certificate first.", repr(error)) from None
    try:
        key = serialization.load_pem_private_key(_bytes(private), password=None)
    except TypeError as error:
        raise CertificateUnusable(f"The private key {private} is locked with a password.",
                                  "Name one without, in a file that only you can read.", repr(error)) from None
    except Exception as error:  # ValueError, and cryptography's UnsupportedAlgorithm
        raise CertificateUnusable(f"The file {private} holds no private key in PEM form.",
                                  "Export it as PEM (PKCS#8), without a password.",
                                  type(error).__name__) from None
    if _public(certificates[0].public_key()) != _public(key.public_key()):
        raise CertificateUnusable("The certificate and the private key do not belong together.",
                                  "Name the key of the first certificate in the file.")
    return Key(_private(key), _pem(*_without_root(certificates)), _algorithm(key))


def _read(file: Path) -> Key | None:
    """Return the key in `file`; None if there is none or it cannot be used."""
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    _restrict(file, 0o600)
    try:
        return _parsed(data)
    except Exception as error:  # a broken file raises anything; the text could hold parts of the key
        log.warning("the key %s cannot be used: %s", file, type(error).__name__)
        return None


def _parsed(data: bytes) -> Key:
    key = serialization.load_pem_private_key(data, password=None)
    leaf, _root = x509.load_pem_x509_certificates(data)
    if _public(leaf.public_key()) != _public(key.public_key()):
        raise ValueError("key and certificate differ")
    return Key(_private(key), _pem(leaf), _algorithm(key))


def _new_key() -> bytes:
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = _named(f"{_NAME}, root")
    authority = (
        _certificate(issuer, issuer, root)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .sign(root, hashes.SHA256()))
    leaf = (
        _certificate(_named(_NAME), issuer, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()), critical=False)
        .sign(root, hashes.SHA256()))
    return _private(key) + _pem(leaf, authority)


def _named(name: str) -> x509.Name:
    """Return a certificate's name, which holds no person and no machine."""
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, SELF_SIGNED),
                      x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _certificate(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(_FROM).not_valid_after(_UNTIL)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False))


def _usage(**allowed: bool) -> x509.KeyUsage:
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign",
             "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{**dict.fromkeys(every, False), **allowed})


def _algorithm(key: Any) -> str:
    """Return C2PA's name of the algorithm that `key` signs with.

    Raises:
        CertificateUnusable: C2PA takes no such keys.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVES:
        return _CURVES[key.curve.name]
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return "ps256"
    raise CertificateUnusable("The private key is of a kind that cannot sign content credentials.",
                              "Use one of the curves P-256, P-384 or P-521, Ed25519, or RSA with 2048 bits or more.")


def _without_root(certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    """Return the chain without its root, which whoever trusts it has already."""
    return [certificates[0], *(link for link in certificates[1:] if link.subject != link.issuer)]


def _public(key: Any) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _private(key: Any) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                             serialization.NoEncryption())


def _pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates)


def _bytes(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_BYTES)
    except OSError as error:
        raise CertificateUnusable(f"The file {path} cannot be read.", "Choose another in the preferences.",
                                  repr(error)) from None


def _restrict(place: Path, mode: int) -> None:
    """Give `place` to the person's account alone. On Windows, users' folders are private already."""
    if os.name == "posix":
        with suppress(OSError):  # it belongs to another user, or the file system has no rights
            os.chmod(place, mode)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Return a context in which no other engine makes a key in `folder`.

    Raises:
        TimeoutError: Another engine keeps the lock.
    """
    with files.open_own(str(folder / _LOCK), "ab", private=True) as lock:
        end = time.monotonic() + _PATIENCE
        while not try_lock(lock):
            if time.monotonic() > end:
                raise TimeoutError(f"another engine keeps {folder / _LOCK}")
            time.sleep(0.05)
        yield
