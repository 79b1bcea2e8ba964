"""Find the layers of a model that the names in a LoRA's file mean, in a table of every name that its layers have
anywhere.

The table is made from the layers that the model really has (`lora_layouts` gives their other names), so no number is
ever parsed from an untrusted file, and names with dots and with underscores are the same.
"""
from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ...core.lora_names import flat
from .lora_layouts import other_names

# What trainers prepend to the names of a denoiser's layers, in any order, with underscores for dots.
_PREFIXES = ("base_model_model_", "base_model_", "model_", "lora_", "lycoris_", "unet_", "transformer_",
             "diffusion_model_", "prior_",
             "module_", "dit_", "net_")
_LEGACY = {"sformer_blocks_": "transformer_blocks_"}  # a tool removed "tran" by mistake
# The last layers' names in diffusers' first LoRAs.
_OLD_ENDS = {"q_proj": "to_q", "k_proj": "to_k", "v_proj": "to_v", "out_proj": "to_out"}
_INNER = ("text_model.", "model.language_model.", "language_model.", "model.")
# Trainers' names for a pipeline's text encoders: by its name there, and by its kind.
_ENCODERS = {"text_encoder": ("te", "te1", "text_encoder", "text_encoder_1"),
             "text_encoder_2": ("te2", "text_encoder_2"),
             "text_encoder_3": ("te3", "text_encoder_3")}
_FIRST_CLIP, _SECOND_CLIP, _T5 = ("clip_l",), ("clip_g",), ("t5", "t5xxl", "te3")
_OTHERS = ("qwen25_7b", "qwen3_4b", "qwen3_8b", "gemma2_2b", "llm")


@dataclass(frozen=True)
class Place:
    """Where a layer of a file belongs.

    Attributes:
        part: The pipeline's part.
        layers: The layers of that part which share the file's rows.
        swapped: Whether the halves of the rows change places.
    """

    part: str
    layers: tuple[str, ...]
    swapped: bool = False


class Table:
    """Every name of every layer of some networks.

    Args:
        parts: The networks, by the pipeline's names for them.
    """

    def __init__(self, parts: Mapping[str, torch.nn.Module]) -> None:
        self._places: dict[str, Place] = {}
        clips = 0
        for part, net in parts.items():
            layers = [name for name, layer in net.named_modules() if name
                      and getattr(layer, "weight", None) is not None]
            if part in _ENCODERS:
                clips += "CLIP" in type(net).__name__
                self._add_encoder(part, layers, self._called(part, type(net).__name__, clips))
            elif part in ("unet", "transformer"):
                self._add_denoiser(part, net, layers)

    def find(self, name: str) -> Place | None:
        """Return where the layer that a file calls `name` belongs; None if the model has no such layer."""
        return next((place for candidate in _candidates(flat(name))
                     if (place := self._places.get(candidate)) is not None), None)

    def _add_denoiser(self, part: str, net: Any, layers: list[str]) -> None:
        for layer in layers:
            self._places[flat(layer)] = Place(part, (layer,))
        for name, ours, swapped in other_names(net, layers):
            self._places.setdefault(flat(name), Place(part, ours, swapped))
            # OneTrainer names each layer that shares a matrix
            for number, layer in enumerate(ours if len(ours) > 1 else ()):
                self._places.setdefault(flat(f"{name}.{number}"), Place(part, (layer,)))
        for layer in layers:
            if layer.endswith(".to_out.0"):
                self._places.setdefault(flat(layer.removesuffix(".0")), Place(part, (layer,)))

    def _add_encoder(self, part: str, layers: list[str], called: Iterable[str]) -> None:
        starts = [start for name in called for start in (name, f"{name}_transformer", f"text_encoders_{name}",
                                                         f"text_encoders_{name}_transformer")]
        for layer in layers:
            bare = next((layer.removeprefix(start) for start in _INNER if layer.startswith(start)), layer)
            for name in (layer, bare, f"text_model.{bare}", f"model.{bare}"):
                head, _, end = flat(name).rpartition("_self_attn_")
                old = f"{head}_self_attn_{_OLD_ENDS[end]}_lora" if end in _OLD_ENDS else flat(name)
                for start in starts:
                    self._places.setdefault(f"{start}_{flat(name)}", Place(part, (layer,)))
                    self._places.setdefault(f"{start}_{old}", Place(part, (layer,)))

    @staticmethod
    def _called(part: str, cls: str, clips: int) -> tuple[str, ...]:
        if "CLIP" in cls:
            return (*_ENCODERS[part], *(_FIRST_CLIP if clips == 1 else _SECOND_CLIP))
        return (*_ENCODERS[part], *(_T5 if "T5" in cls else _OTHERS))


def _candidates(name: str) -> Iterator[str]:
    """Yield `name`, then `name` without known prefixes, longest first."""
    waiting, seen = [name], {name}
    while waiting:
        candidate = waiting.pop(0)
        yield candidate
        shorter = [candidate[len(start):] for start in _PREFIXES if candidate.startswith(start)]
        shorter += [new + candidate[len(old):] for old, new in _LEGACY.items() if candidate.startswith(old)]
        for another in shorter:
            if another and another not in seen:
                seen.add(another)
                waiting.append(another)
