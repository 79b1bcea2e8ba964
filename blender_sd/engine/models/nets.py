"""The only place where a library makes a network from files: never larger than its weights, and never without some of
them.
"""
from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from accelerate import init_empty_weights
from diffusers.loaders import single_file_model, single_file_utils
from torch.nn.modules import module as hooks

from ...core.errors import ModelUnreadable
from ...library.checkpoints import SUFFIX
from . import inspection, leftovers
from .inspection import Weights

_SHARED = 2  # how often a tensor may be in a net: embeddings that are shared are counted for each place
_NAMED = 3  # missing weights that an error names
_SPARE = 1 << 20  # numbers that a net may have beyond its file: tables that are computed


class TooLarge(ValueError):
    """A network has outgrown its weights while it was made."""


@contextmanager
def bounded(held: Weights) -> Iterator[None]:
    """Return a context in which a network made by this thread may not outgrow the weights `held`.

    It is stopped while it is being made, before its tensors take memory or its layers time.

    Raises:
        TooLarge: It has outgrown them.
    """
    thread = threading.get_ident()
    numbers = modules = 0

    def parameter(_owner: torch.nn.Module, _name: str, value: torch.nn.Parameter | None) -> None:
        nonlocal numbers
        if value is not None and threading.get_ident() == thread:
            numbers += value.numel()
            if numbers > _SHARED * held.numbers + _SPARE:
                raise TooLarge(f"a net of more than {numbers} numbers, where the file has {held.numbers}")

    def submodule(_owner: torch.nn.Module, _name: str, value: torch.nn.Module | None) -> None:
        nonlocal modules
        modules += threading.get_ident() == thread
        if modules > 64 * held.tensors + 4096:
            raise TooLarge(f"a net of more than {modules} layers, where the file has {held.tensors} tensors")

    handles = [hooks.register_module_parameter_registration_hook(parameter),
               hooks.register_module_module_registration_hook(submodule)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def read(cls: type, folder: Path, what: str, part: str = "", **options: Any) -> torch.nn.Module:
    """Return a network of diffusers or transformers.

    Args:
        cls: Its class.
        folder: Its folder, or the folder that holds `part`.
        what: What a person calls it, for messages.
        part: The subfolder, "" for none.
        options: Passed on to `from_pretrained`.

    Raises:
        ModelUnreadable: It is not complete. Libraries' own errors pass through.
    """
    place = folder / part if part else folder
    inspection.check(place, what)
    if part:
        options["subfolder"] = part
    with bounded(inspection.weights_of(sorted(place.glob(f"*{SUFFIX}")))):
        net, report = cls.from_pretrained(folder, local_files_only=True, use_safetensors=True, output_loading_info=True,
                                          **options)
    check_whole(net, report, part or folder.name, what)
    return net.eval()


def from_tensors(cls: type, tensors: dict[str, torch.Tensor], config: Path, part: str, dtype: torch.dtype,
                 **changes: Any) -> tuple[torch.nn.Module, list[str]]:
    """Return a diffusers network made from tensors, in CPU memory, and the names of tensors that it does not use.

    Its weights may be incomplete: see `check_whole`.

    Args:
        cls: The network's class.
        tensors: The tensors, in any layout that diffusers converts.
        config: The folder of the model whose settings apply.
        part: The part whose settings apply.
        dtype: The precision.
        changes: Settings that differ.
    """
    known = single_file_model.SINGLE_FILE_LOADABLE_CLASSES
    name = next((name for name in known if issubclass(cls, getattr(diffusers, name))), None)
    convert = known[name]["checkpoint_mapping_fn"] if name is not None else single_file_utils.convert_ldm_vae_checkpoint
    settings = {**cls.load_config(config, subfolder=part, local_files_only=True), **changes}
    with bounded(_held(tensors)), init_empty_weights(include_buffers=False):
        net = cls.from_config(settings)
    as_they_are = net.state_dict().keys() <= tensors.keys()
    made = tensors if as_they_are else convert(checkpoint=dict(tensors), config=settings)
    exact = tuple(cls._keep_in_fp32_modules or ())
    net.load_state_dict({key: _cast(value, torch.float32 if any(part in key for part in exact) else dtype)
                         for key, value in made.items()
                         if isinstance(value, torch.Tensor)}, strict=False, assign=True)
    net.requires_grad_(False).eval()
    return net, leftovers.unread(tensors, net, None if as_they_are
                                 else lambda traced: convert(checkpoint=traced, config=settings))


def _cast(value: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    return value.to(dtype) if value.is_floating_point() else value


def clip_from_tensors(cls: type, tensors: dict[str, torch.Tensor], config: Path, part: str,
                      dtype: torch.dtype) -> tuple[torch.nn.Module, list[str]]:
    """Do what `from_tensors` does for a CLIP text encoder of transformers, from the names of Stability's checkpoints.
    """
    def convert(given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if not openai:
            return single_file_utils.convert_ldm_clip_checkpoint(given)
        return single_file_utils.convert_open_clip_checkpoint(net, given, prefix=openai)

    openai = next((name[:name.index(".model.") + 7] for name in tensors if ".model.transformer.resblocks." in name), "")
    with bounded(_held(tensors)):
        net = single_file_utils.create_diffusers_clip_model_from_ldm(cls, dict(tensors), part, str(config), dtype,
                                                                     local_files_only=True)
    start = "" if hasattr(net, "text_model") else "text_model."
    return net, leftovers.unread(tensors, net, lambda traced: {
        name.removeprefix(start): value for name, value in convert(traced).items()})


def _held(tensors: dict[str, torch.Tensor]) -> Weights:
    return Weights(sum(map(torch.numel, tensors.values())), len(tensors),
                   max((side for tensor in tensors.values() for side in tensor.shape), default=0))


def check_whole(net: torch.nn.Module, report: dict[str, Any], name: str, what: str) -> None:
    """Raise ModelUnreadable if a network lacks weights.

    transformers fills missing weights with random numbers, diffusers leaves them empty; neither treats that as an
    error.
    """
    missing = sorted({*map(str, (*(report.get("missing_keys") or ()), *(report.get("mismatched_keys") or ()))),
                      *(weight for weight, value in (*net.named_parameters(), *net.named_buffers()) if value.is_meta)})
    if missing:
        some = ", ".join(missing[:_NAMED]) + (", …" if len(missing) > _NAMED else "")
        raise ModelUnreadable(f"The {what}'s part '{name}' lacks some of its weights ({len(missing)}): {some:.300}.",
                              f"Download the {what} again.", ", ".join(missing)[:2000])
