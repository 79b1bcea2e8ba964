"""Prompts of regions in a UNet: each place of the picture reads the words of its own region.

All prompts are given to the network side by side, and each place reads the words of its own regions in every
cross-attention (`regional_reading`). Some UNets also read the words in their time embedding, which would hold for the
whole picture; it is laid out by the same shares in each residual block.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D

from ..conditioning import weighting
from .regional_norms import Norms
from .regional_reading import Readings
from .shares import Shares
from .standing_in import Instead

_REMEMBERED = 8  # prompts of regions at most whose keys and values are kept from step to step
_SCALE_SHIFT = "scale_shift"  # residual blocks whose time embedding is a factor and a summand of their second norm
_TEXT, _TEXT_TIME = "text", "text_time"  # UNets whose time embedding reads words: all of them, or pooled ones (SDXL)


class Words:
    """The prompts of a picture and its regions, side by side.

    Attributes:
        pooled: The pooled features of the regions' prompts, for SDXL.
    """

    def __init__(self, count: int) -> None:
        """Start with `count` prompts of regions."""
        self.count = count
        self.pooled: torch.Tensor | None = None

    def arguments(self, pipe: Any, prompt: str, others: Sequence[str], negative: str,
                  skipped: int) -> dict[str, torch.Tensor]:
        """Return the pipeline's arguments with all prompts in one, each of as many tokens; see `weighting.arguments`.
        """
        embeddings = weighting.arguments(pipe, prompt, negative, skipped, others)
        words = embeddings["prompt_embeds"]
        embeddings["prompt_embeds"] = words.flatten(0, 1)[None]
        if "negative_prompt_embeds" in embeddings:  # the same words everywhere
            embeddings["negative_prompt_embeds"] = embeddings["negative_prompt_embeds"].repeat(1, len(words), 1)
        if "pooled_prompt_embeds" in embeddings:
            pooled = embeddings["pooled_prompt_embeds"]
            embeddings["pooled_prompt_embeds"], self.pooled = pooled[:1], pooled[1:]
        return embeddings


@contextmanager
def masked(nets: Sequence[torch.nn.Module], words: Words, whole: Shares, norms: Norms) -> Iterator[None]:
    """Return a context in which UNets and their ControlNets read each region's words in its places alone.

    Args:
        nets: The UNet and its ControlNets.
        words: What made the arguments of the pipeline's call.
        whole: Where the picture's own prompt and each region's hold (`Shares.with_rest`).
        norms: The group norms of these networks by the same regions.
    """
    handles: list[Any] = []
    readings = Readings(whole)
    for net in nets:
        embedding = _Embedding(net, words, whole, norms)
        handles += embedding.handles
        for part in net.modules():
            if isinstance(part, Attention) and part.is_cross_attention:
                handles.append(_Reader(part, readings))
                if words.count <= _REMEMBERED:
                    handles += [_Remembered(part.to_k), _Remembered(part.to_v)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Remembered(Instead):
    """Have a layer that reads words read the same ones only once, and not at every step: there are many of them."""

    _read: tuple[torch.Tensor, torch.Tensor] | None = None

    def __init__(self, layer: torch.nn.Module) -> None:
        super().__init__(layer, self._called)

    def _called(self, words: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        if self._read is None or self._read[0] is not words:
            self._read = words, self.forward(words, *args, **options)
        return self._read[1]


class _Reader(Instead):
    """Have a cross-attention read the words of each place's own regions."""

    def __init__(self, attention: Attention, readings: Readings) -> None:
        super().__init__(attention, self._called)
        self._readings = readings

    def _called(self, *args: Any, **options: Any) -> Any:
        hidden = args[0] if args else options["hidden_states"]
        text = args[1] if len(args) > 1 else options.get("encoder_hidden_states")
        if isinstance(text, tuple):  # an IP-Adapter's image is beside it
            text = text[0]
        reading = self._readings.of(hidden, text) if text is not None else None
        if reading is None:
            return self.forward(*args, **options)
        # Expanded, not repeated: all heads share one copy
        mask = reading.mask.expand(hidden.shape[0] * self.module.heads, -1, -1)
        with reading:
            return self.forward(*args, **{**options, "attention_mask": mask})


class _Embedding:
    """Lay out what a UNet's time embedding reads of the words.

    Attributes:
        handles: Of the hooks.
    """

    def __init__(self, net: torch.nn.Module, words: Words, whole: Shares, norms: Norms) -> None:
        self._words, self._whole, self._norms = words, whole, norms
        self._changes: list[torch.Tensor] = []  # of the time embedding, from the prompt's to each region's
        self._joined: torch.Tensor | None = None
        self._embedding: torch.Tensor | None = None  # of this step
        self._inside = False
        self.handles: list[Any] = []
        kind = getattr(net.config, "addition_embed_type", None)
        if kind not in (_TEXT, _TEXT_TIME):
            return
        self._of_all_words = kind == _TEXT
        self.handles = [net.add_embedding.register_forward_pre_hook(self._before_embedding),
                        net.add_embedding.register_forward_hook(self._embedded)]
        for part in net.modules():
            if isinstance(part, ResnetBlock2D) and part.time_emb_proj is not None and part.upsample is None and (
                    part.downsample is None):
                field = _Field()
                self.handles += [part.register_forward_pre_hook(self._filling(field), with_kwargs=True),
                                 part.time_emb_proj.register_forward_hook(self._handing_out(field))]

    def _before_embedding(self, _module: torch.nn.Module, args: tuple) -> tuple | None:
        if self._inside or not self._of_all_words:
            return None
        self._joined = args[0]
        return (args[0][:, :args[0].shape[1] // (self._words.count + 1)], *args[1:])

    def _embedded(self, module: torch.nn.Module, args: tuple, output: torch.Tensor) -> None:
        if self._inside:
            return
        self._inside = True
        try:
            self._changes = [module(value) - output for value in self._of_regions(args[0])]
        finally:
            self._inside = False

    def _of_regions(self, own: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield what each region's words would give the embedding in place of `own`."""
        if self._of_all_words:
            yield from self._joined.chunk(self._words.count + 1, 1)[1:]
            return
        for pooled in self._words.pooled:
            value = own.clone()
            value[-1, :len(pooled)] = pooled  # the last of the batch is the prompt's, before it the negative one's
            yield value

    def _by_region(self, embedding: torch.Tensor) -> torch.Tensor:
        """Return the time embedding of the prompt and of each region, (1 + regions, B, C); all blocks share one."""
        if self._embedding is not embedding:
            self._embedding = embedding
            self._values = torch.stack([embedding, *(embedding + change for change in self._changes)])
        return self._values

    def _filling(self, field: _Field) -> Any:
        def before(block: ResnetBlock2D, args: tuple, options: dict) -> None:
            hidden = args[0] if args else options["input_tensor"]
            values = self._by_region(args[1] if len(args) > 1 else options["temb"])
            self._inside = True
            try:
                made = block.time_emb_proj(values if block.skip_time_act else block.nonlinearity(values))
            finally:
                self._inside = False
            if block.time_embedding_norm == _SCALE_SHIFT:
                self._norms.modulate(block.norm2, made)
                field.value = made.new_zeros(*made.shape[1:], 1, 1)
            else:
                field.value = _laid_out(made, self._whole.at(tuple(hidden.shape[-2:]), hidden))

        return before

    def _handing_out(self, field: _Field) -> Any:
        return lambda _module, _args, output: output if self._inside else field


def _laid_out(values: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Return `values` (regions, B, C) over the picture by maps (regions, rows, columns): (B, C, rows, columns)."""
    return torch.matmul(maps.flatten(1).T, values.transpose(0, 1)).transpose(1, 2).unflatten(2, maps.shape[1:])


class _Field:
    """Stand for what a residual block makes of its time embedding, (B, C): what it adds to the picture, or nothing
    where the norm behind it has it already."""

    value: torch.Tensor

    def __getitem__(self, _places: Any) -> torch.Tensor:
        return self.value
