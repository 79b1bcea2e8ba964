"""Keys that sign content credentials: made once, for one account alone; a studio's own."""
from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import load_pem_x509_certificates

from blender_sd.core.errors import CertificateUnusable
from blender_sd.engine.output import signing_keys
from blender_sd.protocol.messages import Failed, Note
from tests.support.engine import small
from tests.support.signing import issued, read, signing  # noqa: F401  (a fixture)


def test_a_folder_that_cannot_hold_the_key(signing, sd, tmp_path):
    (tmp_path / "file").write_text("x")
    signing = signing(credentials=str(tmp_path / "file" / "keys"))
    (note,) = signing.notes(small(sd))
    assert "no content credentials" in note


def test_the_key_is_for_one_account_alone_and_its_root_signs_nothing_more(signing, sd):
    signing = signing()
    signing.paths(small(sd))
    if os.name == "posix":
        assert stat.S_IMODE(signing.keys.stat().st_mode) == 0o700
        assert stat.S_IMODE((signing.keys / signing_keys.FILE).stat().st_mode) == 0o600
    text = (signing.keys / signing_keys.FILE).read_text()
    assert text.count("PRIVATE KEY-----") == 2, "one key, begun and ended: the root's is gone"
    leaf, root = load_pem_x509_certificates(text.encode())
    leaf.verify_directly_issued_by(root)


def test_engines_that_make_it_at_once_end_with_one_key(tmp_path):
    code = ("import sys; from pathlib import Path; from blender_sd.engine.output import signing_keys as keys\n"
            "sys.stdin.read(); print(keys.own_key(Path(sys.argv[1]), print).chain.decode())")
    root = Path(__file__).resolve().parents[2]
    several = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "keys")], stdin=subprocess.PIPE,
                         stdout=subprocess.PIPE, text=True, cwd=root) for _ in range(4)]
    for one in several:
        one.stdin.close()
    chains = set()
    for one in several:
        with one:
            chains.add(one.stdout.read())
    assert all(one.returncode == 0 for one in several) and len(chains) == 1
    assert sorted(file.name for file in (tmp_path / "keys").iterdir()) == ["credentials.lock", signing_keys.FILE]


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"\x00junk"])
def test_a_broken_key_is_kept_aside_and_made_again(signing, sd, damage):
    one = signing()
    one.paths(small(sd))
    file = one.keys / signing_keys.FILE
    before = damage(file.read_bytes())
    file.write_bytes(before)
    events = signing().events(small(sd))
    (note,) = [event.text for event in events if isinstance(event, Note)]
    (aside,) = one.keys.glob("broken-*.pem")
    assert "was broken" in note and aside.name in note and aside.read_bytes() == before
    assert read(events[-1].results[0].path).get_validation_state() == "Valid"
    assert signing().notes(small(sd)) == []


def test_ones_own_certificate(signing, sd, tmp_path):
    chain, key, root = issued(tmp_path)
    signing = signing(certificate=chain, private_key=key)
    (path,) = signing.paths(small(sd))
    assert read(path, trusted=root).get_validation_state() == "Trusted"
    assert read(path).get_active_manifest()["signature_info"]["common_name"] == "Studio"
    assert not signing.keys.exists(), "no other key is made"


def test_a_wrong_certificate_is_reported_before_anything_is_painted(signing, sd, tmp_path):
    chain, key, _ = issued(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    wrong_use, wrong_key, _ = issued(other, usage=signing_keys.ExtendedKeyUsageOID.SERVER_AUTH)
    locked = tmp_path / "locked.pem"
    locked.write_bytes(ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")))
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    cases = {(chain, ""): "only one", ("", key): "only one", (str(tmp_path / "gone"), key): "cannot be read",
             (str(junk), key): "no certificate", (chain, str(junk)): "no private key", (chain, str(locked)): "password",
             (chain, wrong_key): "belong together", (wrong_use, wrong_key): "cannot sign"}
    for (certificate, private), words in cases.items():
        one = signing(certificate=certificate, private_key=private)
        events = one.events(small(sd))
        assert len(events) == 1 and isinstance(events[0], Failed), (words, events)
        assert events[0].kind == CertificateUnusable.kind and words in events[0].message and events[0].hint, (words,
                                                                                                              events)
        assert not list(one.out.iterdir())
