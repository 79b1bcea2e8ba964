"""LoRAs on a tiny model, and whether its weights are what they should be then."""
from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from blender_sd.core.parts import Lora
from blender_sd.engine.models import loras
from blender_sd.protocol.messages import Finished
from tests.support.lora_writers import denoiser, effective


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    return np.asarray(Image.open(events[-1].results[0].path)).astype(int)


@pytest.fixture
def put_on(engine):
    """Puts LoRAs on a tiny model; the notes, and the weights that its denoiser paints with then. They come off at the
    end."""
    used = []

    def put_on(folder, *files):
        model = engine._load(folder)
        used.append(model)
        wanted = [file if isinstance(file, Lora) else Lora(file) for file in files]
        left_out = loras.apply(model, wanted, lambda text: None, lambda: None)
        return tuple(note.text for note in left_out), effective(model.denoiser)

    yield put_on
    for model in used:
        loras.remove(model)


def agree(weights, folder, added, most=1e-3):
    """Whether the weights are those in the model's folder with `added`."""
    before = {
        name: layer.weight.detach() for name, layer in denoiser(folder).named_modules()
        if getattr(layer, "weight", None) is not None}
    for name, weight in before.items():
        wanted = weight + added[name].reshape(weight.shape) if name in added else weight
        assert (weights[name] - wanted).abs().max() <= most, name
