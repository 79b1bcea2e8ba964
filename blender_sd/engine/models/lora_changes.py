"""The changes that a LoRA's file makes to one layer, in the kinds that trainers write.

These are low-rank (Hu et al. 2021), with a core of its own for convolutions (LyCORIS' LoCon), LoHa (Hyeon-Woo et al.
2022), LoKr (Edalati et al. 2022), whole differences, and DoRA's magnitudes (Liu et al. 2024) beside any of them. The
arithmetic follows LyCORIS (arXiv:2309.14859).
"""
from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...core.lora_names import (
    ALPHA, BUNDLED, DIFF, DIFF_BIAS, DORA, DOWN, HADAMARD, KRONECKER, MAGNITUDE, MID, NAMED_ENCODERS, NORM, NORM_BIAS,
    UP, UP_BIAS, split,
)
from ...library import own_files
from ...library.checkpoints import read_metadata

_SETTINGS = "adapter_config.json"  # of peft, beside its weights
# Any of these sets makes a change
_KINDS = ({DOWN, UP}, {"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}, {DIFF}, {NORM})
_BIASES = (DIFF_BIAS, NORM_BIAS)


@dataclass(frozen=True)
class Change:
    """The change of one layer.

    Attributes:
        name: The layer's name in the file.
        parts: The tensors by their role.
        alpha: The alpha that the file's settings give, if no tensor does.
        root: Whether it is divided by the rank's root (rsLoRA).
    """

    name: str
    parts: Mapping[str, torch.Tensor]
    alpha: float | None = None
    root: bool = False

    @property
    def is_low_rank(self) -> bool:
        """Return whether it is two matrices and nothing else that counts."""
        return DOWN in self.parts and not {DORA, MAGNITUDE, UP_BIAS, *_BIASES} & self.parts.keys()

    @property
    def is_lycoris(self) -> bool:
        """Return whether it is a LoHa or a LoKr and nothing else that counts."""
        return bool({*HADAMARD, *KRONECKER} & self.parts.keys()) and not {DORA, MAGNITUDE, *_BIASES} & self.parts.keys()

    @property
    def whole(self) -> bool:
        """Return whether all matrices that its kind needs are there."""
        names = self.parts.keys()
        kron = all(f"lokr_{side}" in names or {f"lokr_{side}_a", f"lokr_{side}_b"} <= names for side in ("w1", "w2"))
        return kron or any(kind <= names for kind in _KINDS) or bool(names & set(_BIASES))

    @property
    def rank(self) -> int:
        """Return the number that alpha is divided by; 0 if it does not count."""
        for role in (DOWN, "hada_w1_b", "lokr_w2_b", "lokr_w1_b"):
            if role in self.parts:
                return self.parts[role].shape[0]
        return 0

    @property
    def scale(self) -> float:
        """Return the factor of the matrices' product."""
        alpha = float(self.parts[ALPHA].float().reshape(-1)[0]) if ALPHA in self.parts else self.alpha
        if alpha is None or not self.rank or not math.isfinite(alpha):
            return 1.0
        return alpha / (math.sqrt(self.rank) if self.root else self.rank)

    @property
    def bias(self) -> torch.Tensor | None:
        """Return what is added to the layer's bias, or None."""
        if UP_BIAS in self.parts:
            return self.parts[UP_BIAS].float() * self.scale
        return next((self.parts[role].float() for role in _BIASES if role in self.parts), None)

    @property
    def magnitude(self) -> tuple[torch.Tensor, bool] | None:
        """Return DoRA's magnitudes, and whether they are those of the outputs (otherwise of the inputs); None without
        them.
        """
        if MAGNITUDE in self.parts:
            return self.parts[MAGNITUDE].float().reshape(-1), True
        if DORA not in self.parts:
            return None
        given = self.parts[DORA]
        return given.float().reshape(-1), given.ndim < 2 or given.shape[0] != 1 or given.numel() == 1

    def low_rank(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the two matrices of a low-rank change; a core between them is part of the first."""
        down, up = self.parts[DOWN], self.parts[UP]
        if MID in self.parts:
            core = self.parts[MID].float()
            down = torch.einsum("o j x y, j i -> o i x y", core, down.float().flatten(1))
        return down, up

    def delta(self) -> torch.Tensor | None:
        """Return what is added to the layer's weight, in single precision, rows = outputs; None if only a bias changes.
        """
        parts = {role: tensor.float() for role, tensor in self.parts.items() if role != ALPHA}
        if DOWN in parts:
            down, up = self.low_rank()
            product = (up.float().flatten(1) @ down.float().flatten(1)) * self.scale
            return product.reshape(up.shape[0], *down.shape[1:])
        if "hada_w1_a" in parts:
            first, second = (_hadamard_side(parts, side) for side in ("1", "2"))
            return first * second * self.scale
        if any(role in parts for role in KRONECKER):
            return _kronecker(parts) * self.scale
        return next((parts[role] for role in (DIFF, NORM) if role in parts), None)


def _hadamard_side(parts: Mapping[str, torch.Tensor], side: str) -> torch.Tensor:
    first, second = parts[f"hada_w{side}_a"], parts[f"hada_w{side}_b"]
    if f"hada_t{side}" in parts:
        return torch.einsum("i j x y, j r, i p -> p r x y", parts[f"hada_t{side}"], second, first)
    return first @ second


def _kronecker(parts: Mapping[str, torch.Tensor]) -> torch.Tensor:
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        second = torch.einsum("i j x y, j r, i p -> p r x y", parts["lokr_t2"], parts["lokr_w2_b"], parts["lokr_w2_a"])
    else:
        second = parts["lokr_w2_a"] @ parts["lokr_w2_b"]
    return torch.kron(first.reshape(*first.shape, *(1,) * (second.ndim - 2)), second.contiguous())


# ---- files ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contents:
    """What a file holds.

    Attributes:
        changes: The changes by layer.
        bundle: The textual inversions in it: what each word stands for, by the text encoder that reads it ("" for the
            only one).
        other: The names of all other tensors.
    """

    changes: tuple[Change, ...]
    bundle: Mapping[str, Mapping[str, torch.Tensor]]
    other: tuple[str, ...]


def contents_of(tensors: Mapping[str, torch.Tensor], file: Path) -> Contents:
    """Return what the tensors of the LoRA in `file` are."""
    layers: dict[str, dict[str, torch.Tensor]] = {}
    bundle: dict[str, dict[str, torch.Tensor]] = {}
    other: list[str] = []
    names: dict[str, list[str]] = {}
    for name, tensor in tensors.items():
        if (match := BUNDLED.fullmatch(name)) and not match["output"]:
            bundle.setdefault(match["word"], {})[match["part"] if match["part"] in NAMED_ENCODERS else ""] = tensor
        elif (parts := split(name)) is None:
            other.append(name)
        else:
            layers.setdefault(parts[0], {})[parts[1]] = tensor
            names.setdefault(parts[0], []).append(name)
    settings = _settings(file)
    changes = [Change(name, parts, settings.alpha(name), settings.root) for name, parts in layers.items()]
    other += [name for change in changes if not change.whole for name in names[change.name]]
    return Contents(tuple(change for change in changes if change.whole), bundle, tuple(other))


@dataclass(frozen=True)
class _Settings:
    """peft's settings of an adapter.

    Attributes:
        usual: The alpha of most layers.
        root: Whether the rank's root counts.
    """

    usual: float | None = None
    single: Mapping[str, float] | None = None
    root: bool = False

    def alpha(self, layer: str) -> float | None:
        return next((value for name, value in (self.single or {}).items() if layer == name
                     or layer.endswith(f".{name}")), self.usual)


def _settings(file: Path) -> _Settings:
    """Return peft's settings: from `adapter_config.json` beside the file, or diffusers' copy of it in the header."""
    settings: dict[str, Any] = {}
    try:
        if own_files.has(str(file.parent), _SETTINGS) and file.stem == "adapter_model":
            settings = json.loads(own_files.read(str(file.parent), _SETTINGS).decode("utf-8-sig"))
        noted = read_metadata(str(file)).get("lora_adapter_metadata")
        if not settings and isinstance(noted, str):
            settings = {key.partition(".")[2]: value for key, value in json.loads(noted).items()
                        if key.split(".")[0] in ("transformer", "unet")}
        usual, single = settings.get("lora_alpha"), settings.get("alpha_pattern")
        patterns = single if isinstance(single, dict) else {}
        numbers = {str(name): float(value) for name, value in patterns.items() if _is_number(value)}
        return _Settings(float(usual) if _is_number(usual) else None, numbers, settings.get("use_rslora") is True)
    except (OSError, ValueError, AttributeError, RecursionError):
        return _Settings()


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)
