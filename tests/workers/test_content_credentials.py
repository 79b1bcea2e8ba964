"""Content credentials checked, in the process that does it for Blender."""
from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from PIL import Image

from blender_sd.workers.content_credentials import proof_of
from blender_sd.core.errors import EngineMissing, SourceUnusable
from blender_sd.protocol.messages import EngineConfig, VERIFY
from blender_sd.core.content_credentials import BROKEN, NONE, Proof, TRUSTED, VALID
from blender_sd.core.version import generator
from blender_sd.session.process import ProcessPipeline
from blender_sd.session.content_credentials import Verifications
from tests.support.engine import families, models, one_thread, sd, small  # noqa: F401  (fixtures)
from tests.support.signing import Signing, chunk, encoded, issued, restyled

pytestmark = pytest.mark.torch
WAIT = 60


@pytest.fixture
def signing(tmp_path):
    one = Signing(tmp_path)
    yield one
    one.engine.close()


@pytest.fixture
def check(tmp_path):
    """Has a file, or its bytes, checked by a process of its own."""
    checks = Verifications()

    def check(python=sys.executable, certificate="", **what):
        pipeline = ProcessPipeline(python, EngineConfig(certificate=certificate), role=VERIFY)
        return checks.start(pipeline, **what).result(WAIT)

    yield check
    checks.shutdown()


def test_the_chain_is_listed_from_the_picture_downwards(signing, check, sd):
    (first,) = signing.paths(small(sd))
    source = encoded(first)
    (second,) = signing.paths(restyled(sd, source=source), source=source)
    proof = check(path=second)
    assert proof.state == VALID and "self-signed" in proof.signer
    picture, made_from = proof.steps
    assert (picture.title, picture.depth, picture.program) == (Path(second).name, 0, generator())
    assert picture.actions == ("c2pa.opened", "c2pa.edited") and picture.kind == "compositeWithTrainedAlgorithmicMedia"
    assert (made_from.title, made_from.depth, made_from.relation) == (Path(first).name, 1, "parentOf")
    assert (made_from.actions, made_from.kind, made_from.identity) == (("c2pa.created",), "trainedAlgorithmicMedia",
                                                                       source.digest())
    assert made_from.sound and made_from.made.startswith("20") and made_from.made.endswith("Z")
    assert check(picture=encoded(second)) == proof
    certificate = signing.folder / "trusted.pem"
    certificate.write_bytes((signing.keys / "credentials.pem").read_bytes().partition(b"-----BEGIN CERT")[1] +
                            (signing.keys / "credentials.pem").read_bytes().partition(b"-----BEGIN CERT")[2])
    assert check(path=second, certificate=str(certificate)).state == TRUSTED


def test_what_is_not_as_it_was_signed_is_broken(signing, sd):
    (path,) = signing.paths(small(sd))
    data = Path(path).read_bytes()
    end = data.rindex(b"IEND") - 4
    changed = data[:end] + chunk(b"tEXt", b"Author\0somebody else") + data[end:]
    proof = proof_of(changed)
    assert proof.state == BROKEN and "dataHash.mismatch" in proof.reason and proof.steps[0].title == Path(path).name
    (path,) = signing.paths(restyled(sd, source=(source := type(encoded(path))(encoded=changed))), source=source)
    proof = proof_of(Path(path).read_bytes())
    assert proof.state == VALID and [step.sound for step in proof.steps] == [True, False]


def test_files_without_sound_credentials(check, tmp_path):
    file = io.BytesIO()
    Image.new("RGB", (16, 16)).save(file, "PNG")
    plain = file.getvalue()
    assert proof_of(plain) == Proof(NONE) and proof_of(b"") == Proof(NONE) and proof_of(b"no picture") == Proof(NONE)
    assert proof_of(plain[:33] + chunk(b"caBX", b"garbage" * 9) + plain[33:]).state == BROKEN
    with pytest.raises(SourceUnusable):
        check(path=str(tmp_path / "gone.png"))


def test_ones_own_certificate_is_trusted_here(tmp_path, sd):
    chain, key, root = issued(tmp_path)
    signing = Signing(tmp_path, certificate=chain, private_key=key)
    (path,) = signing.paths(small(sd))
    signing.engine.close()
    assert proof_of(Path(path).read_bytes(), Path(chain).read_text(encoding="utf-8")).state == TRUSTED
    assert proof_of(Path(path).read_bytes()).state == VALID


def test_an_engine_from_before_says_what_it_lacks(check, tmp_path):
    import venv

    venv.create(tmp_path / "bare", with_pip=False)
    bare = tmp_path / "bare" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    with pytest.raises(EngineMissing) as caught:
        check(python=str(bare), path="x.png")
    assert "c2pa" in caught.value.message and "Repair" in caught.value.hint
