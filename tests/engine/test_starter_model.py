"""The committed starter model, through diffusers' own pipelines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.slow

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

FOLDER = Path(__file__).resolve().parents[2] / "blender_sd" / "models" / "starter"


@pytest.fixture(scope="module")
def pipe():
    # Pictures this small gain nothing from threads that wait for each other.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(FOLDER)
    pipeline.set_progress_bar_config(disable=True)
    yield pipeline
    torch.set_num_threads(threads)


@pytest.fixture
def circular(pipe):
    """Wrapping padding on every convolution for one test."""
    convolutions = [m for net in (pipe.unet, pipe.vae) for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    before = [(m.padding_mode, m._reversed_padding_repeated_twice) for m in convolutions]
    for m in convolutions:
        m.padding_mode = "circular"
        m._reversed_padding_repeated_twice = [p for p in reversed(m.padding) for _ in (0, 1)]
    yield
    for m, (mode, padding) in zip(convolutions, before, strict=True):
        m.padding_mode, m._reversed_padding_repeated_twice = mode, padding


def paint(pipeline, prompt: str, seed: int = 0, **options) -> np.ndarray:
    """One picture (H, W, 3) float 0…1."""
    options = {"num_inference_steps": 8, "guidance_scale": 3.0, "output_type": "np", **options}
    return pipeline(prompt, generator=torch.Generator().manual_seed(seed), **options).images[0]


def test_folder_fits_its_budget_and_carries_a_card():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 20_000_000
    assert {path.suffix for path in files} <= {".json", ".safetensors", ".md", ".png", ".txt"}
    assert "CC0" in (FOLDER / "README.md").read_text(encoding="utf-8")


def test_same_seed_same_picture_and_the_prompt_matters(pipe):
    red = paint(pipe, "red brick wall", height=64, width=64)
    assert red.shape == (64, 64, 3) and np.isfinite(red).all() and red.std() > 0.02
    assert np.array_equal(red, paint(pipe, "red brick wall", height=64, width=64))
    blue = paint(pipe, "blue ceramic tiles", height=64, width=64)
    assert red[..., 0].mean() - red[..., 2].mean() > 0.05
    assert blue[..., 2].mean() - blue[..., 0].mean() > 0.05


def test_unknown_words_do_no_harm(pipe):
    odd = paint(pipe, "zyxwv Ünïcode ☃ unfathomable green grass, masterpiece by nobody " * 4, height=64, width=64)
    assert np.isfinite(odd).all() and odd.std() > 0.02
    assert np.isfinite(paint(pipe, "", height=64, width=64)).all()


def test_seamless_with_circular_padding(pipe, circular):
    ratios = []
    for seed, prompt in enumerate(("green grass", "grey stone wall", "white marble")):
        picture = paint(pipe, f"{prompt}, seamless texture", seed, height=128, width=128)
        for axis in (0, 1):
            inside = np.abs(np.diff(picture, axis=axis)).mean()
            ratios.append(np.abs(np.take(picture, 0, axis) - np.take(picture, -1, axis)).mean() / inside)
    assert 0.7 < np.mean(ratios) < 1.3


def test_image_to_image_keeps_more_at_lower_strength(pipe):
    image2image = diffusers.StableDiffusionImg2ImgPipeline(**pipe.components, requires_safety_checker=False)
    image2image.set_progress_bar_config(disable=True)
    ramp = np.linspace(0.1, 0.9, 64, dtype=np.float32)[None, :, None]
    start = torch.from_numpy(np.broadcast_to(ramp, (64, 64, 3)).copy()).permute(2, 0, 1)[None]
    change = [
        np.abs(paint(image2image, "grey concrete", image=start, strength=s)[..., 0] - ramp[..., 0]).mean()
        for s in (0.25, 1.0)
    ]
    assert change[0] < change[1] and change[0] < 0.15


def test_inpaint_keeps_what_is_not_masked(pipe):
    inpaint = diffusers.StableDiffusionInpaintPipeline(**pipe.components, requires_safety_checker=False)
    inpaint.set_progress_bar_config(disable=True)
    image = torch.full((1, 3, 64, 64), 0.1)
    image[:, 0] = 0.6
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 32:] = 1.0
    options = {"mask_image": mask, "strength": 1.0, "height": 64, "width": 64}
    picture = paint(inpaint, "blue water", image=image, **options)
    kept, painted = picture[:, :24], picture[:, 40:]
    assert kept[..., 0].mean() - kept[..., 2].mean() > 0.25
    assert painted[..., 2].mean() > kept[..., 2].mean() + 0.1


def test_training_can_go_on_from_what_is_shipped(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER.parents[2] / "scripts"))
    from starter import common, control, restore, text, unet, vae

    restore.write(tmp_path, FOLDER, FOLDER.with_name("starter_control"))
    state = common.load(tmp_path / "unet.pt")
    unet.build().load_state_dict(state["unet_average"])
    tokenizer = text.build_tokenizer()
    encoder = text.build_encoder(tokenizer)
    encoder.load_state_dict(state["encoder_average"])
    shipped = diffusers.StableDiffusionPipeline.from_pretrained(FOLDER)
    hidden = [
        model(text.tokenize(tokens, ["old red brick wall"])).last_hidden_state
        for model, tokens in ((encoder.eval(), tokenizer), (shipped.text_encoder, shipped.tokenizer))]
    assert torch.allclose(*hidden, atol=1e-4), "words that it knew mean what they did"
    vae.build().load_state_dict(common.load(tmp_path / "vae.pt")["average"])
    control.build().load_state_dict(common.load(tmp_path / "control.pt")["average"])
