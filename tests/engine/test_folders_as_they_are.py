"""Model folders as people keep them: half of the parts in half precision, parts that nothing needs deleted."""
from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from blender_sd.library.models import resolve_model, survey
from blender_sd.protocol.messages import Finished
from tests.support.engine import small

pytestmark = pytest.mark.slow


def test_parts_in_different_precisions(run, sd, tmp_path):
    model = Path(shutil.copytree(sd, tmp_path / "mixed"))
    for file in (*model.glob("unet/*.safetensors"), *model.glob("text_encoder/*.safetensors")):
        file.rename(file.with_name(f"{file.stem}.fp16.safetensors"))
    assert isinstance(run(small(str(model)))[-1], Finished)


def test_parts_that_nothing_needs_may_be_gone(run, sd, tmp_path):
    model = Path(shutil.copytree(sd, tmp_path / "models" / "lean"))
    index = json.loads((model / "model_index.json").read_text())
    index |= {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
              "feature_extractor": ["transformers", "CLIPImageProcessor"]}
    (model / "model_index.json").write_text(json.dumps(index))
    assert resolve_model("lean", [str(tmp_path / "models")]).folder == str(model)
    assert isinstance(run(small(str(model)))[-1], Finished)


@pytest.mark.parametrize("gone", ["vae", "unet/diffusion_pytorch_model.safetensors"])
def test_what_cannot_be_loaded_is_not_offered_and_the_reason_is_given(sd, tmp_path, gone):
    model = Path(shutil.copytree(sd, tmp_path / "broken"))
    (shutil.rmtree if (model / gone).is_dir() else Path.unlink)(model / gone)
    found = survey([str(tmp_path)])
    assert str(model) not in [info.id for info in found.models]
    assert [one.name for one in found.unusable] == ["broken"] and gone.partition("/")[0] in found.unusable[0].reason
