"""LoRAs (Hu et al. 2021): put on a model before a picture, and taken off again with its weights bit for bit as they were.

diffusers and peft wrap the layers that a LoRA adds to; A1111's and Kohya's names are converted by diffusers. What is on a
model stays on until another set is asked for, so that a batch loads its LoRAs once.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from ..protocol.checkpoints import LORA_DOWN
from ..protocol.errors import InvalidRequest
from ..protocol.parts import Lora
from . import ladder, weight_files
from .models import Model

_WHAT = "LoRA"


def put_on(model: Model, loras: Sequence[Lora], say: Callable[[str], None], check: Callable[[], None]) -> None:
    """Makes `loras`, those of weight 0 left out, exactly what is on `model`. `say` hears what is being read; `check` may raise.
    Raises ModelNotFound, ModelUnreadable, InvalidRequest for one made for another family; then none is on."""
    wanted = tuple((weight_files.found(lora.file, _WHAT), lora.weight) for lora in loras if lora.weight)
    key = tuple((weight_files.stamp(file), weight) for file, weight in wanted)
    if key == model.loras:
        return
    with ladder.parts_at_rest(model):
        _change(model, wanted, say, check)
    model.loras = key


def _change(model: Model, wanted: Sequence[tuple[Path, float]], say: Callable[[str], None], check: Callable[[], None]) -> None:
    take_off(model)
    try:
        for number, (file, _) in enumerate(wanted):
            check()
            say(f"Loading {file.stem}")
            _load(model, file, f"lora{number}")
        if wanted:
            model.base.set_adapters([f"lora{number}" for number in range(len(wanted))], [weight for _, weight in wanted])
    except BaseException:
        take_off(model, force=True)
        raise


def take_off(model: Model, force: bool = False) -> None:
    """Leaves `model` without LoRAs."""
    if model.loras or force:
        model.loras = ()
        if _can(model):
            model.base.unload_lora_weights()


def _can(model: Model) -> bool:
    return model.family.loras and hasattr(model.base, "load_lora_weights")


def _load(model: Model, file: Path, name: str) -> None:
    if not _can(model):
        raise InvalidRequest(f"LoRAs do not work with the model '{model.name}'.", "Choose another model, or take the LoRA out.")
    weights = weight_files.read(file, _WHAT)
    try:
        model.base.load_lora_weights(weights, adapter_name=name)
        offered = sum(any(mark in key for mark in LORA_DOWN) for key in weights)
        taken = sum(name in getattr(layer, "lora_A", ()) for module in model.modules() for layer in module.modules())
        if not taken or taken < offered:  # more may be taken: one tensor for query, key and value is taken apart
            raise ValueError(f"{taken} of its {offered} layers are in the model")
    except Exception as error:
        raise weight_files.refusal(model, file, _WHAT, error) from error
    for module in model.modules():
        for parameter_name, parameter in module.named_parameters():
            if f".{name}." in parameter_name:
                parameter.data = parameter.data.to(model.device.torch, model.dtype)
