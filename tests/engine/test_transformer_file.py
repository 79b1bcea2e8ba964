"""Transformers alone in one file, as ComfyUI's folders hold them: the same pictures as from the folder whose other
parts they borrow."""
from __future__ import annotations

import shutil
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from diffusers.loaders import single_file_model
from PIL import Image
from safetensors.torch import load_file, save_file

from blender_sd.engine.models import single_file
from blender_sd.core.errors import ModelUnreadable
from blender_sd.protocol.messages import Failed, Finished, Generate, Source, Step
from blender_sd.library.models import find_models, resolve_model
from tests.support.engine import small
from tests.support.flux_layout import original
from tests.support.tiny_adapters import adapter

pytestmark = pytest.mark.slow

WIDTH = 32  # of the tiny Flux.1


@pytest.fixture
def tiny_converter(monkeypatch):
    """diffusers' converter of Flux.1, which has the width of the real one written into it, for the tiny one."""
    entry = single_file_model.SINGLE_FILE_LOADABLE_CLASSES["FluxTransformer2DModel"]
    real = entry["checkpoint_mapping_fn"]
    code = real.__code__.replace(co_consts=tuple(WIDTH if value == 3072 else value
                                                 for value in real.__code__.co_consts))
    monkeypatch.setitem(entry, "checkpoint_mapping_fn", type(real)(code, real.__globals__))


@pytest.fixture
def shelf(families, tmp_path):
    """Model folders with the tiny families in diffusers format, their transformers' weights left out."""
    def shelf(*names):
        for name in names:
            shutil.copytree(families(name), tmp_path / "models" / name,
                            ignore=shutil.ignore_patterns("diffusion_pytorch_model*")
                            if name == "flux" else None)
            shutil.copytree(Path(families(name), "vae"), tmp_path / "models" / name / "vae", dirs_exist_ok=True)
        return [str(tmp_path / "models")]

    return shelf


def weights_of(folder):
    return load_file(Path(folder, "transformer", "diffusion_pytorch_model.safetensors"))


@pytest.fixture
def paint(engine, tmp_path):
    """One order with the model in `file`, found in `folders` as a session finds it; its events."""

    def paint(file, folders, inputs=None, **changes):
        info, events = resolve_model(str(file), folders), []
        request = small(info.id, steps=2, sampler="euler", **changes)
        engine.run(Generate("job", request, info.folder, str(tmp_path), inputs or {}, base_model=info.base_model),
                   events.append, lambda: False)
        return events

    return paint


def made(events):
    assert isinstance(events[-1], Finished), events[-1]
    with Image.open(events[-1].results[0].path) as picture:
        return np.asarray(picture)


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model."])
def test_flux_in_its_original_layout(run, paint, shelf, families, tiny_converter, tmp_path, prefix):
    folders = shelf("flux")
    file = tmp_path / "models" / "unet" / "my flux.safetensors"
    file.parent.mkdir()
    save_file({prefix + name: weight.contiguous() for name, weight in original(weights_of(families("flux"))).items()},
              file)
    assert [model.name for model in find_models(folders) if model.base_model] == ["my flux"]
    events = paint(file, folders)
    painted = made(events).astype(int) - made(run(small(families("flux"), steps=2, sampler="euler")))
    assert np.abs(painted).max() <= 1, "kernels round by where the weights lie in memory on processors without AVX-512"
    with Image.open(events[-1].results[0].path) as picture:
        assert "Model: my flux" in picture.info["parameters"]


@pytest.mark.parametrize("name", ["z_image", "qwen_image", "flux"])
def test_a_file_with_diffusers_names(run, paint, shelf, families, tmp_path, name):
    folders = shelf(name)
    file = tmp_path / "models" / "diffusion_models" / "alone.safetensors"
    file.parent.mkdir()
    shutil.copy(Path(families(name), "transformer", "diffusion_pytorch_model.safetensors"), file)
    assert np.array_equal(made(paint(file, folders)), made(run(small(families(name), steps=2, sampler="euler"))))


def test_a_gguf_file_is_painted_with_its_weights_as_they_are(engine, run, paint, shelf, families, tiny_converter,
                                                             tmp_path):
    import gguf

    folders = shelf("flux")
    file = tmp_path / "models" / "unet" / "small flux.gguf"
    file.parent.mkdir()
    writer = gguf.GGUFWriter(str(file), "flux")
    for name, weight in original(weights_of(families("flux"))).items():
        values = weight.float().numpy()
        if values.ndim == 2 and values.shape[1] % 32 == 0 and "blocks" in name:
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    info = resolve_model("small flux", folders)
    assert info.family == "Flux.1" and info.id == str(file)
    picture, exact = made(paint(file, folders)), made(run(small(families("flux"), steps=2, sampler="euler")))
    assert 0 < np.abs(picture.astype(int) - exact).mean() < 4
    assert any(weight.dtype == torch.uint8
               for weight in engine._painter.loader.library.find(single_file_folder(info)).denoiser.parameters())
    reference = {"reference": Source(pixels=np.random.default_rng(1).integers(0, 256, (48, 40, 4), np.uint8))}
    shown = paint(file, folders, inputs=reference, ip_adapter=adapter(families("flux"), tmp_path / "ip"))
    assert not np.array_equal(picture, made(shown)) and np.array_equal(picture, made(paint(file, folders)))


def single_file_folder(info):
    from blender_sd.engine.models.folders import inspect_folder

    return inspect_folder(Path(info.folder), Path(info.base_model))


def test_without_the_other_parts_the_engine_says_what_is_missing(run, families, tmp_path):
    file = tmp_path / "alone.safetensors"
    save_file(original(weights_of(families("flux"))), file)
    events = run(small(str(file)))
    assert isinstance(events[-1], Failed) and "transformer of a Flux.1 model alone" in events[-1].message


@pytest.mark.parametrize("what", ["other shapes", "a layer missing", "truncated"])
def test_a_file_that_does_not_go_with_its_folder_is_refused(paint, shelf, families, tiny_converter, tmp_path, what):
    folders = shelf("flux")
    file = tmp_path / "models" / "alone.safetensors"
    weights = original(weights_of(families("flux")))
    if what == "other shapes":
        weights["txt_in.weight"] = torch.zeros(WIDTH, 5)
    elif what == "a layer missing":
        del weights["txt_in.weight"]
    save_file({name: weight.contiguous() for name, weight in weights.items()}, file)
    if what == "truncated":
        file.write_bytes(file.read_bytes()[:-100])
        with pytest.raises(ModelUnreadable, match="cannot be read"):
            paint(file, folders)
        return
    events = paint(file, folders)
    assert isinstance(events[-1], Failed) and events[-1].kind == ModelUnreadable.kind, events[-1]
    assert not [event for event in events if isinstance(event, Step)]


def test_every_family_that_can_be_read_so_is_known_to_diffusers():
    for cls in ("FluxTransformer2DModel", "Flux2Transformer2DModel", "SD3Transformer2DModel",
                "ZImageTransformer2DModel",
                "QwenImageTransformer2DModel", "SanaTransformer2DModel"):
        assert cls in single_file_model.SINGLE_FILE_LOADABLE_CLASSES and hasattr(getattr(diffusers, cls),
                                                                                 "from_single_file")
    assert single_file.PART == "transformer"
