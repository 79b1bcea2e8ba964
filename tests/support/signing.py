"""An engine that signs its pictures, and what is read from them."""
from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import c2pa
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from blender_sd.core.content_credentials import OFFLINE_SETTINGS
from blender_sd.core.tasks import IMAGE_TO_IMAGE
from blender_sd.engine import Engine
from blender_sd.engine.output import signing_keys
from blender_sd.protocol.messages import Finished, Generate, Note, Source
from tests.support.engine import small

SECRET = "a prompt that nobody else may read"


class Signing:
    """An engine that signs with a key of its own, and its pictures."""

    def __init__(self, folder: Path, **config) -> None:
        self.folder, self.keys = folder, folder / "keys"
        self.engine = Engine(device="cpu", precision="fp32", threads=1, **{"credentials": str(self.keys), **config})
        self.out = folder / "out"
        self.out.mkdir(exist_ok=True)

    def events(self, request, **inputs) -> list:
        events = []
        self.engine.run(Generate("job", request, request.model, str(self.out), inputs), events.append, lambda: False)
        return events

    def paths(self, request, **inputs) -> list[str]:
        ending = self.events(request, **inputs)[-1]
        assert isinstance(ending, Finished), ending
        return [result.path for result in ending.results]

    def notes(self, request, **inputs) -> list[str]:
        return [event.text for event in self.events(request, **inputs) if isinstance(event, Note)]


@pytest.fixture
def signing(tmp_path):
    made = []

    def signing(**config) -> Signing:
        made.append(Signing(tmp_path, **config))
        return made[-1]

    yield signing
    for one in made:
        one.engine.close()


def read(data: bytes | str, trusted: bytes = b"") -> c2pa.Reader:
    data = Path(data).read_bytes() if isinstance(data, str) else data
    anchors = {"trust": {"user_anchors": trusted.decode()}} if trusted else {}
    return c2pa.Reader("image/png", io.BytesIO(data), context=c2pa.Context.from_dict({**OFFLINE_SETTINGS, **anchors}))


def actions(manifest: dict) -> list[dict]:
    (assertion,) = [one for one in manifest["assertions"] if one["label"] == "c2pa.actions.v2"]
    return assertion["data"]["actions"]


def encoded(path: str) -> Source:
    return Source(encoded=Path(path).read_bytes())


def restyled(sd, **inputs) -> object:
    return small(sd, task=IMAGE_TO_IMAGE, strength=0.5,
                 prompt=SECRET).with_inputs({role: one.digest() for role, one in inputs.items()})


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def issued(folder: Path, key=None, usage=signing_keys.ExtendedKeyUsageOID.EMAIL_PROTECTION) -> tuple[str, str, bytes]:
    """Paths of a studio's chain and key, and its root: what an authority of its own would issue."""
    root, key = ec.generate_private_key(ec.SECP384R1()), key or ec.generate_private_key(ec.SECP384R1())
    authority = (signing_keys._certificate(signing_keys._named("Studio root"), signing_keys._named("Studio root"), root)
                 .add_extension(signing_keys.x509.BasicConstraints(True, 0), critical=True)
                 .add_extension(signing_keys._usage(key_cert_sign=True), critical=True).sign(root, hashes.SHA256()))
    leaf = (signing_keys._certificate(signing_keys._named("Studio"), authority.subject, key).add_extension(
        signing_keys.x509.BasicConstraints(False, None),
        critical=True).add_extension(signing_keys._usage(digital_signature=True), critical=True).add_extension(
            signing_keys.x509.ExtendedKeyUsage([usage]), critical=False).add_extension(
                signing_keys.x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key()),
                critical=False).sign(root, hashes.SHA256()))
    (folder / "chain.pem").write_bytes(signing_keys._pem(leaf, authority))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                          serialization.NoEncryption()))
    return str(folder / "chain.pem"), str(folder / "key.pem"), signing_keys._pem(authority)
