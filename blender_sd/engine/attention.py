"""Attention on processors that multiply bf16 without tiles (AVX512-BF16, no AMX): in blocks of rows, by matrix products in bf16.

There torch's own kernel computes attention's products in fp32, at a third of the speed that the same processor has in bf16 (measured on
an AMD EPYC with torch 2.13); for a 512² picture of SD 1.5 that is a third of each step. OpenVINO, the faster peer in the bench "cpu",
multiplies in bf16, and so does this. Scores are rounded to bf16 on the way, which attention on graphics cards without a fused kernel
does too: pictures of the starter model keep their distance to those in fp32 (43 to 50 dB, within 0.6 dB of torch's kernel).
"""
from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from .devices import AMX, AVX512_BF16, cpu_has

_LEAST = 512  # keys; with fewer, torch's kernel is as fast
_BLOCK = 1 << 21  # scores at a time: they and what comes of them stay in the processor's cache


def within(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """The block in which models of `dtype` on `device` use this attention; does nothing where torch's own is as good."""
    fits = dtype == torch.bfloat16 and device.type == "cpu" and cpu_has(AVX512_BF16) and not cpu_has(AMX)
    return InBlocks() if fits else nullcontext()


class InBlocks(TorchFunctionMode):
    """While it is entered, `scaled_dot_product_attention` over many keys in bf16, without mask or gradient, is `attend`."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention and _fits(*args, **kwargs):
            return attend(*args, scale=kwargs.get("scale"))
        return func(*args, **kwargs)


def _fits(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None, dropout_p: float = 0.0,
          is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False) -> bool:
    return (attn_mask is None and not dropout_p and not is_causal and not enable_gqa and query.ndim == 4
            and query.dtype == key.dtype == value.dtype == torch.bfloat16 and key.shape[2] >= _LEAST and not torch.is_grad_enabled())


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """softmax(query · keyᵀ · scale) · value, each batch×heads×tokens×width in bf16; `scale` by default 1 / √width."""
    batch, heads, tokens, width = query.shape
    keys = key.shape[2]
    rows = max(64, _BLOCK // keys)
    scores, weights = query.new_empty(rows, keys), query.new_empty(rows, keys)
    result = query.new_empty(batch, heads, tokens, value.shape[3])
    query = query * (width ** -0.5 if scale is None else scale)
    for one in range(batch * heads):
        at = divmod(one, heads)
        turned, values = key[at].contiguous().t(), value[at].contiguous()
        for start in range(0, tokens, rows):
            end = min(start + rows, tokens)
            part, shares = scores[: end - start], weights[: end - start]
            torch.mm(query[at][start:end], turned, out=part)
            torch.softmax(part, -1, out=shares)
            torch.mm(shares, values, out=result[at][start:end])
    return result
