"""Apply changes to the layers of networks, and remove them again.

Low-rank changes, LoHa and LoKr use peft's layers, so the weights themselves stay as they are, on a graphics card, in
RAM or in 8 bits; everything else replaces the weight that it changes. Nothing is ever written into a weight: the
original object is kept and put back.
"""
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers.quantizers.gguf.utils import GGUFParameter, dequantize_gguf_tensor
from peft import LoHaConfig, LoKrConfig, LoraConfig
from peft.tuners.loha import layer as loha
from peft.tuners.lokr import layer as lokr
from peft.tuners.lora import layer as lora
from peft.tuners.tuners_utils import BaseTunerLayer

from .lora_changes import Change
from .lora_keys import Place



class Misfit(ValueError):
    """A change whose shape is not the layer's."""


@dataclass
class Journal:
    """What was changed on a model: networks with wrapped layers, and weights that were replaced."""

    nets: list[torch.nn.Module] = field(default_factory=list)
    replaced: list[tuple[torch.nn.Module, str, torch.nn.Parameter | None]] = field(default_factory=list)

    def undo(self) -> None:
        """Remove everything."""
        for layer, name, weight in reversed(self.replaced):
            layer._parameters[name] = weight
        self.replaced.clear()
        for net in self.nets:
            _unwrap(net)
        self.nets.clear()


@dataclass(frozen=True)
class Target:
    """Where a change goes.

    Attributes:
        net: The network.
        swapped: Whether the halves of the rows are exchanged.
    """

    net: torch.nn.Module
    names: tuple[str, ...]
    layers: tuple[torch.nn.Module, ...]
    swapped: bool

    @property
    def rows(self) -> list[int]:
        """Return how many outputs each layer has."""
        return [shape_of(layer)[0] for layer in self.layers]


def target_of(nets: dict[str, torch.nn.Module], place: Place) -> Target:
    """Return the layers at `place` of the pipeline's `nets`."""
    net = nets[place.part]
    return Target(net, place.layers, tuple(_base(net.get_submodule(name)) for name in place.layers), place.swapped)


def shape_of(layer: torch.nn.Module) -> tuple[int, ...]:
    """Return the sides of a layer's weight, also if it is packed."""
    if isinstance(layer, torch.nn.Linear):
        return layer.out_features, layer.in_features
    return tuple(layer.weight.shape)


def check(change: Change, target: Target) -> None:
    """Raise Misfit if `change` does not have the shape of `target`. Computes nothing."""
    measured = Change(change.name, {role: part.to("meta") for role, part in change.parts.items() if role != "alpha"})
    try:
        delta, bias = measured.delta(), measured.bias
    except (RuntimeError, IndexError, KeyError) as error:
        raise Misfit(f"{change.name}: {error}") from None
    wanted = [shape_of(layer) for layer in target.layers]
    if delta is not None:
        size = sum(torch.Size(shape).numel() for shape in wanted)
        if delta.numel() != size or delta.shape[0] != sum(target.rows) and len(wanted[0]) > 1:
            raise Misfit(f"{change.name} is {tuple(delta.shape)}, not {wanted}")
    if bias is not None and bias.numel() != sum(target.rows):
        raise Misfit(f"{change.name} adds {bias.numel()} biases, not {sum(target.rows)}")
    magnitude = measured.magnitude
    if magnitude is not None and magnitude[0].numel() not in (1, sum(target.rows) if magnitude[1] else wanted[0][1]):
        raise Misfit(f"{change.name} has {magnitude[0].numel()} magnitudes")


def apply(change: Change, target: Target, adapter: str, weight: float, journal: Journal, dtype: torch.dtype) -> None:
    """Apply a change.

    Args:
        change: A change that `check` has passed.
        target: Where it goes.
        adapter: The name of the LoRA's part in peft's layers.
        weight: The LoRA's weight.
        journal: Records what to undo.
        dtype: The precision to compute in.
    """
    journal.nets += [target.net] if not any(net is target.net for net in journal.nets) else []
    linear = all(isinstance(layer, torch.nn.Linear) for layer in target.layers)
    if change.is_low_rank and (linear or isinstance(target.layers[0], torch.nn.Conv2d)
                               and target.layers[0].groups == 1):
        down, up = change.low_rank()
        for name, layer, rows in zip(target.names, target.layers, _shared(up, target), strict=True):
            _low_rank(target.net, name, layer, adapter, (down, rows), change.scale * weight, dtype)
    elif (change.is_lycoris and linear and len(target.layers) == 1 and not target.swapped
          and not _is_packed(target.layers[0])):
        # Not for convolutions, which must be able to wrap.
        _lycoris(target.net, target.names[0], target.layers[0], adapter, change, weight, dtype)
    else:
        _in_its_place(change, target, adapter, weight, journal, dtype)


# ---- peft ----------------------------------------------------------------------------------------------------------


def _low_rank(net: torch.nn.Module, name: str, base: torch.nn.Module, adapter: str,
              matrices: tuple[torch.Tensor, torch.Tensor],
              scale: float, dtype: torch.dtype) -> None:
    down, up = matrices
    rank, config = down.shape[0], LoraConfig(init_lora_weights=False, inference_mode=True)
    wrapped = _wrapped(net, name, adapter, lora.LoraLayer, lambda inner: lora.dispatch_default(
        inner, adapter, config=config, r=rank, lora_alpha=rank), lambda outer: outer.update_layer(
            adapter, rank, lora_alpha=rank, config=config))
    first, second = wrapped.lora_A[adapter], wrapped.lora_B[adapter]
    first.weight = _weight(down.reshape(first.weight.shape), base, dtype)
    second.weight = _weight(up.reshape(second.weight.shape), base, dtype)
    wrapped.set_scale(adapter, scale)


def _lycoris(net: torch.nn.Module, name: str, base: torch.nn.Module, adapter: str, change: Change, weight: float,
             dtype: torch.dtype) -> None:
    kron = any(role.startswith("lokr") for role in change.parts)
    module, config = (lokr, LoKrConfig(inference_mode=True)) if kron else (loha, LoHaConfig(inference_mode=True))
    wrapped = _wrapped(net, name, adapter, module.Linear,
                       lambda inner: module.Linear(inner, adapter, config=config, r=1, alpha=1.0),
                       lambda outer: outer.update_layer(adapter, 1, 1.0, config=config))
    for role in wrapped.adapter_layer_names:
        held = getattr(wrapped, role)
        if adapter in held:
            del held[adapter]
        if role in change.parts:
            held[adapter] = _weight(change.parts[role], base, dtype)
    wrapped.scaling[adapter] = change.scale * weight


def _wrapped(net: torch.nn.Module, name: str, adapter: str, cls: type, make: Any, add: Any) -> Any:
    """Return peft's layer `cls` round the layer `name` of `net`, with `adapter` in it but without weights."""
    holder_name, _, last = name.rpartition(".")
    holder = net.get_submodule(holder_name)
    there = holder._modules[last]
    with torch.device("meta"):
        if isinstance(there, cls):
            add(there)
        else:
            there = make(there)
    there.set_adapter([*dict.fromkeys([*there.active_adapters, adapter])], inference_mode=True)
    there.train(holder.training)
    holder._modules[last] = there
    return there


def _unwrap(net: torch.nn.Module) -> None:
    for holder in list(net.modules()):
        for name, layer in holder._modules.items():
            if isinstance(layer, BaseTunerLayer):
                holder._modules[name] = layer.get_base_layer()


def _base(layer: torch.nn.Module) -> torch.nn.Module:
    return layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer


def _weight(tensor: torch.Tensor, base: torch.nn.Module, dtype: torch.dtype) -> torch.nn.Parameter:
    return torch.nn.Parameter(tensor.to(base.weight.device, dtype).contiguous(), requires_grad=False)


# ---- in the place of weights ---------------------------------------------------------------------------------------


def _shared(rows: torch.Tensor, target: Target) -> Sequence[torch.Tensor]:
    """Return the rows of the file's layer split among the target's layers."""
    if target.swapped:
        rows = torch.cat(rows.chunk(2)[::-1])
    return rows.split(target.rows)


def _gathered(weights: Sequence[torch.Tensor], target: Target) -> torch.Tensor:
    """Return the target's weights as one matrix, as in the file's layer."""
    joined = torch.cat(list(weights)) if len(weights) > 1 else weights[0]
    return torch.cat(joined.chunk(2)[::-1]) if target.swapped else joined


def _in_its_place(change: Change, target: Target, adapter: str, weight: float, journal: Journal,
                  dtype: torch.dtype) -> None:
    delta, bias = change.delta(), change.bias
    if delta is not None:
        before = _gathered([_plain(layer.weight) for layer in target.layers], target)
        added = _decomposed(before, delta.to(before.device).reshape(before.shape), change) * weight
        for name, layer, rows in zip(target.names, target.layers, _shared(added, target), strict=True):
            if _is_packed(layer):  # packed weights stay packed; the change is kept beside them in full rank
                _low_rank(target.net, name, layer, adapter, (torch.eye(rows.shape[1]), rows), 1.0, dtype)
            else:
                _replace(layer, "weight", _plain(layer.weight) + rows, journal)
    if bias is not None:
        for layer, rows in zip(target.layers,
                               _shared(bias.to(target.layers[0].weight.device).reshape(-1) * weight, target),
                               strict=True):
            there = getattr(layer, "bias", None)
            _replace(layer, "bias", rows if there is None else _plain(there) + rows, journal,
                     dtype if there is None else there.dtype)


def _is_packed(layer: torch.nn.Module) -> bool:
    return isinstance(layer.weight, GGUFParameter)


def _plain(weight: torch.Tensor) -> torch.Tensor:
    return (dequantize_gguf_tensor(weight) if isinstance(weight, GGUFParameter) else weight).detach().float()


def _decomposed(before: torch.Tensor, delta: torch.Tensor, change: Change) -> torch.Tensor:
    """Return the total change once DoRA's magnitudes are applied to the changed weight; `delta` itself without them."""
    magnitude = change.magnitude
    if magnitude is None:
        return delta
    numbers, of_outputs = magnitude
    merged = before + delta
    sides = merged if of_outputs else merged.transpose(0, 1)
    norm = sides.flatten(1).norm(dim=1)
    factor = (numbers.to(norm.device) / norm.clamp_min(torch.finfo(norm.dtype).eps))
    shape = [-1, *[1] * (merged.ndim - 1)] if of_outputs else [1, -1, *[1] * (merged.ndim - 2)]
    return merged * factor.reshape(shape) - before


def _replace(layer: torch.nn.Module, name: str, value: torch.Tensor, journal: Journal,
             dtype: torch.dtype | None = None) -> None:
    old = layer._parameters.get(name)
    journal.replaced.append((layer, name, old))
    layer._parameters[name] = torch.nn.Parameter(value.to(dtype or old.dtype).contiguous(), requires_grad=False)
