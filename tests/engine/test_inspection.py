"""What small files of a model can ask of the libraries that read them: each is looked at first."""
from __future__ import annotations

import ast
import json
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from blender_sd.engine.models import inspection, nets
from blender_sd.engine.models.inspection import Weights
from blender_sd.core.errors import ModelUnreadable
from blender_sd.protocol.messages import Failed, Finished, Note
from blender_sd.core.parts import Lora
from tests.support.tiny_loras import write
from tests.support.engine import small

PACKAGE = Path(inspection.__file__).parents[2]
# Where a library may make a net: by whom, and that it is held to its weights there.
READERS = {
    "engine/models/nets.py": ["read"],
    "engine/models/single_file.py": ["read_part"],
    "engine/denoise/upscalers.py": ["_read"],
    "engine/models/cache.py": ["_read"],
    "engine/output/safety_filter.py": ["_read_checker", "_read_classifier"],
    "engine/models/vision.py": ["__init__"],
    "engine/maps/marigold.py": ["_read"],
}
HELD = ("engine/models/nets.py", "engine/models/single_file.py", "engine/denoise/upscalers.py")


def changed(source: str, place: Path, file: str, **changes) -> str:
    model = Path(shutil.copytree(source, place))
    (model / file).write_text(json.dumps({**json.loads((model / file).read_text()), **changes}))
    return str(model)


def refused(run, model: str) -> Failed:
    """The refusal, which costs no more memory than a sound model would."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ending = run(small(model))[-1]
    assert isinstance(ending, Failed) and ending.kind == ModelUnreadable.kind, ending
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 << 10
    return ending


@pytest.mark.parametrize(("family", "file", "changes"), [
    ("taesd", "scheduler/scheduler_config.json", {"num_train_timesteps": 15_000_000}),
    ("taesd", "scheduler/scheduler_config.json", {"num_train_timesteps": float("nan")}),
    ("taesd", "text_encoder/config.json", {"vocab_size": 6_000_000}),
    ("taesd", "text_encoder/config.json", {"vocab_size": 4_000_000}),
    ("taesd", "text_encoder/config.json", {"num_hidden_layers": 5000}),
    ("taesd", "text_encoder/config.json", {"num_hidden_layers": 30}),
    ("taesd", "text_encoder/config.json", {"intermediate_size": 60_000_000}),
    ("taesd", "text_encoder/config.json", {"max_position_embeddings": 16_000_000}),
    ("taesd", "unet/config.json", {"layers_per_block": 5000}),
    ("taesd", "unet/config.json", {"layers_per_block": 90}),
    ("taesd", "unet/config.json", {"cross_attention_dim": 60_000}),
    ("taesd", "tokenizer/tokenizer_config.json", {"model_max_length": 10**10}),
    ("sd3", "transformer/config.json", {"pos_embed_max_size": 1600}),
    ("sd3", "transformer/config.json", {"pos_embed_max_size": None, "sample_size": 60_000}),
    ("sd3", "transformer/config.json", {"num_layers": 4000}),
], ids=str)
def test_numbers_that_the_weights_do_not_have(run, families, tmp_path, family, file, changes):
    refused(run, changed(families(family), tmp_path / "model", file, **changes))


def test_an_encoder_that_lacks_weights_is_no_encoder(run, taesd, tmp_path):
    model = Path(shutil.copytree(taesd, tmp_path / "model"))
    file = model / "text_encoder" / "model.safetensors"
    save_file({name: tensor for name, tensor in load_file(file).items() if "self_attn" not in name}, file,
              {"format": "pt"})
    assert "lacks some of its weights" in refused(run, str(model)).message


@pytest.mark.parametrize("name", ["adapter_config.json", "Adapter_Config.json", "adapter_model.safetensors"])
def test_adapters_in_a_part_are_not_followed(run, taesd, tmp_path, name):
    model = Path(shutil.copytree(taesd, tmp_path / "model"))
    (model / "text_encoder" / name).write_text(
        json.dumps({"base_model_name_or_path": "/elsewhere", "peft_type": "LORA"}))
    assert "adapter" in refused(run, str(model)).message


@pytest.mark.parametrize("name", ["/elsewhere/tokenizer.4.0.0.json", "../tokenizer.4.0.0.json", "\\\\server\\tokenizer.4.0.0.json"])  # noqa: E501
def test_settings_that_lead_elsewhere(run, taesd, tmp_path, name):
    refused(
        run,
        changed(taesd, tmp_path / "model", "tokenizer/tokenizer_config.json",
                fast_tokenizer_files=["tokenizer.json", name]))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
@pytest.mark.parametrize("name", ["text_encoder/config.json", "text_encoder/generation_config.json", "tokenizer/tokenizer.json",  # noqa: E501
                                  "tokenizer/merges.txt", "unet/more.safetensors", "scheduler/scheduler_config.json"])
def test_pipes_and_links_out_of_the_folder(run, taesd, tmp_path, name):
    for number, make in enumerate(
        (os.mkfifo, lambda path: os.symlink("/dev/zero", path), lambda path: os.symlink(tmp_path / "own", path))):
        model = Path(shutil.copytree(taesd, tmp_path / f"model{number}"))
        (tmp_path / "own").write_text("{}")
        (model / name).unlink(missing_ok=True)
        make(model / name)
        if number == 2 and name.endswith(".safetensors"):
            continue  # weights may lie on another disk
        refused(run, str(model))


def test_the_hub_s_cache_is_made_of_links(run, taesd, tmp_path):
    top = tmp_path / "models--a--b"
    snapshot = Path(shutil.copytree(taesd, top / "snapshots" / "0123"))
    (top / "blobs").mkdir()
    for number, file in enumerate(sorted(file for file in snapshot.rglob("*") if file.is_file())):
        shutil.move(file, top / "blobs" / f"{number:04}")
        file.symlink_to(os.path.relpath(top / "blobs" / f"{number:04}", file.parent))
    assert isinstance(run(small(str(snapshot)))[-1], Finished)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": "' + "x" * (2 << 20) + '"}', "[]", "nonsense", '{"a": NaN}'],
                         ids=["deep", "long", "list", "none", "NaN"])
@pytest.mark.parametrize("name", ["model_index.json", "text_encoder/config.json", "scheduler/scheduler_config.json",
                                  "tokenizer/tokenizer_config.json"])
def test_small_files_of_any_length_and_kind(run, taesd, tmp_path, name, text):
    model = Path(shutil.copytree(taesd, tmp_path / "model"))
    (model / name).write_text(text)
    refused(run, str(model))


@pytest.mark.parametrize("name", [r"unet.(\w+\W?)+!", "unet.(a|a)*", "unet.a{1,9}", "unet.[a]", "unet.999999999", "x" * 1000, "unet.a b"])  # noqa: E501
def test_a_lora_s_names_are_no_patterns_and_no_counts(run, taesd, tmp_path, name):
    file = write(taesd, tmp_path / "lora.safetensors", "diffusers")
    assert isinstance(run(small(taesd, loras=(Lora(file),)))[-1], Finished)
    odd = {f"{name}.lora_A.weight": torch.zeros(2, 32), f"{name}.lora_B.weight": torch.zeros(32, 2)}
    save_file({**load_file(file), **odd}, file)
    *events, ending = run(small(taesd, loras=(Lora(file),)))
    assert isinstance(ending, Finished) and any("left out" in event.text for event in events if isinstance(event, Note))


def test_an_upscaler_s_numbered_layers(run, taesd, tmp_path):
    """spandrel makes as many layers as the highest number says."""
    file = tmp_path / "up.safetensors"
    save_file({"model.0.weight": torch.zeros(64, 3, 3, 3), "model.1.sub.999999.RDB1.conv1.0.weight": torch.zeros(1)},
              file)
    ending = run(small(taesd, upscaler=str(file), refine_scale=2.0))[-1]
    assert isinstance(ending, Failed) and ending.kind == ModelUnreadable.kind, ending


def test_a_net_is_broken_off_when_it_outgrows_its_weights():
    with nets.bounded(Weights(1000, 4, 10)):
        torch.nn.Linear(10, 10)
        with pytest.raises(nets.TooLarge):
            torch.nn.Linear(10_000, 10_000, device="meta")
    with nets.bounded(Weights(1000, 4, 10)), pytest.raises(nets.TooLarge):
        torch.nn.Sequential(*(torch.nn.Identity() for _ in range(10_000)))
    torch.nn.Linear(10_000, 1000)  # afterwards nothing is counted


def makers(tree: ast.AST) -> list[tuple[str, str]]:
    """The functions in which a library makes something of files, and how."""
    ways = ("from_pretrained", "from_single_file", "load_from_state_dict")
    return [(function.name, call.func.attr) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef)
            for call in ast.walk(function)
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in ways]


def test_nobody_lets_a_library_read_what_was_not_looked_at():
    """Whoever calls a library's reader is listed here; each does so within `nets.bounded`, or after `inspection.check`
    has looked."""
    for file in sorted(PACKAGE.rglob("*.py")):
        name, source = str(file.relative_to(PACKAGE)), file.read_text(encoding="utf-8")
        assert sorted({function for function, _ in makers(ast.parse(source))}) == sorted(READERS.get(name, [])), name
        if name in HELD:
            assert "nets.bounded(" in source or name == "engine/models/nets.py", name
        assert "load_file(" not in source or name in ("engine/models/weight_files.py",), name
