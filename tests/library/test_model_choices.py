"""What a person chooses for a model is kept in a small file beside it, and nothing else in that file is lost."""
from __future__ import annotations

import json

import pytest

from blender_sd.core.choices import NOTHING, Choices
from blender_sd.core.errors import ModelUnreadable
from blender_sd.library import model_choices


@pytest.mark.parametrize("single", [False, True])
def test_choices_are_kept_beside_the_model(tmp_path, single):
    model = tmp_path / ("a [b] (c)__d.safetensors" if single else "folder")
    model.write_bytes(b"") if single else model.mkdir()
    file = tmp_path / "a [b] (c)__d.blender_sd.json" if single else model / "blender_sd.json"
    file.write_text(json.dumps({"licence": "CC0"}))
    vae = file.parent / "vaes" / "my vae.safetensors"
    vae.parent.mkdir()
    vae.write_bytes(b"")
    chosen = Choices(str(vae), "v_prediction", "on")
    model_choices.write(str(model), chosen)
    assert json.loads(file.read_text()) == {
        "licence": "CC0", "vae": "vaes/my vae.safetensors", "prediction": "v_prediction", "zero_snr": True}
    assert model_choices.read(str(model)) == chosen
    model_choices.write(str(model), NOTHING)
    assert json.loads(file.read_text()) == {"licence": "CC0"} and model_choices.read(str(model)) == NOTHING


@pytest.mark.parametrize("choices", [{"prediction": "magic"}, {"zero_snr": "yes"}, {"prediction": 3}])
def test_nonsense_is_named_and_changes_nothing(tmp_path, choices):
    (tmp_path / "m.blender_sd.json").write_text(json.dumps(choices))
    (tmp_path / "m.safetensors").write_bytes(b"")
    with pytest.raises(ModelUnreadable, match="cannot be read"):
        model_choices.read(str(tmp_path / "m.safetensors"))
    assert model_choices.safely(str(tmp_path / "m.safetensors"))[0] == NOTHING
