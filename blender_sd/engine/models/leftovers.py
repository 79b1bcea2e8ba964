"""Account for every tensor in a file: used, known to do nothing, or named to the person.

diffusers' converters take what they know and drop the rest silently. Here the converter runs a second time, on tensors
without contents that remember where they came from, so that each name is accounted for.
"""
from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

log = logging.getLogger(__name__)
# Useless for painting: copies for training, tables that are computed, programs' switches, markers that were read
# already.
_HARMLESS = tuple(map(re.compile, (
    r"model_ema\..*", r".*\.?(?:num_batches_tracked|position_ids|logit_scale)",
    r"(?:alphas|sqrt|log_one|posterior|betas|lvlb)[\w.]*",
    r"first_stage_model\.(?:loss|model_ema|quantize)\..*", r"embedding_manager\..*", r"(?:denoiser|scheduler)\.\w+",
    r"global_step|epoch|step",
    r"v_pred|ztsnr|edm_(?:mean|std)|edm_vpred\.\w+|scaled_fp8|.*\.scaled_fp8",
                                   r".*\.(?:spiece_model|tekken_model|tokenizer_json)",
    r"cond_stage_model\.(?:transformer\.)?text_projection.*",
                                   r"conditioner\.embedders\.0\.transformer\.text_projection.*",
    r"cond_stage_model\.model\.(?:text_projection|transformer\.resblocks\.23\..*)",  # SD 2 leaves out its last layer
    r"(?:conditioner\.embedders|cond_stage_model)\..*\.(?:attn_mask|mask|transformer\.vision_model\..*)",
                                   r"norm_final\.weight", r"__\w+__",
    r"pos_embed|.*\.pos_embed")))
_NAMED = 4  # names in a note


class _Traced(torch.Tensor):
    """A tensor without contents that knows the names of the tensors that it was made from."""

    @classmethod
    def __torch_function__(cls, func: Callable, kinds: Any, args: tuple = (), options: dict | None = None) -> Any:
        made = super().__torch_function__(func, kinds, args, options or {})
        names = _names((*args, *(options or {}).values()))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, _Traced):
                tensor.names = names
        return made


def _names(values: Iterable[Any]) -> frozenset[str]:
    names: frozenset[str] = frozenset()
    for value in values:
        if isinstance(value, _Traced):
            names |= getattr(value, "names", frozenset())
        elif isinstance(value, (tuple, list)):
            names |= _names(value)
    return names


def unread(tensors: Mapping[str, torch.Tensor], net: torch.nn.Module,
           convert: Callable[[dict[str, torch.Tensor]], dict] | None) -> list[str]:
    """Return the names of the tensors that are not in a network.

    Args:
        tensors: The file's tensors.
        net: The network.
        convert: What has converted the tensors to the network's names; None if they have them already.
    """
    wanted = net.state_dict().keys()
    if convert is None:
        return sorted(tensors.keys() - wanted)
    traced = {}
    for name, tensor in tensors.items():
        traced[name] = torch.empty(tensor.shape, device="meta").as_subclass(_Traced)
        traced[name].names = frozenset((name,))
    try:
        made = convert(traced)
    except Exception as error:  # a converter that looks at values; it has done its work already
        log.info("the tensors cannot be accounted for: %r", error)
        return []
    return sorted(tensors.keys() - _names(value for name, value in made.items() if name in wanted))


def notes(file: Path, names: Iterable[str]) -> list[str]:
    """Return notes about tensors in `file` that were not used, except those known to be useless."""
    left = [name for name in names if not any(pattern.fullmatch(name) for pattern in _HARMLESS)]
    if not left:
        return []
    shown = ", ".join(f"{name:.80}" for name in left[:_NAMED]) + (", …" if len(left) > _NAMED else "")
    return [f"The file '{file.name}' holds tensors that are not used ({len(left)}): {shown}."]
