"""Attention for processors with AVX512-BF16 but no AMX: matrix products in bf16, over blocks of rows.

On these processors torch's own kernel computes attention's products in fp32, at a third of the speed that they have in
bf16 (measured on an AMD EPYC with torch 2.13); for a 512² picture of SD 1.5 that is a third of each step. OpenVINO, the
faster peer in the bench "cpu", multiplies in bf16 too. Scores are rounded to bf16 on the way, as attention on graphics
cards without a fused kernel does: pictures of the starter model keep their distance to those in fp32 (43 to 50 dB,
within 0.6 dB of torch's kernel).
"""
from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode

from .devices import AMX, AVX512_BF16, cpu_has

_MIN_KEYS = 512  # with fewer, torch's kernel is as fast
_BLOCK = 1 << 21  # scores at a time, so that scores and weights stay in the processor's cache


def within(dtype: torch.dtype, device: torch.device) -> AbstractContextManager[Any]:
    """Return a context in which models of `dtype` on `device` use this attention, if it is faster than torch's."""
    fits = dtype == torch.bfloat16 and device.type == "cpu" and cpu_has(AVX512_BF16) and not cpu_has(AMX)
    return InBlocks() if fits else nullcontext()


class InBlocks(TorchFunctionMode):
    """Replace `scaled_dot_product_attention` by `attend` within the context.

    Only calls over many keys in bf16, without a mask and without gradients, are replaced.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: tuple = (),
                           kwargs: dict[str, Any] | None = None) -> Any:
        kwargs = kwargs or {}
        if func is scaled_dot_product_attention and _fits(*args, **kwargs):
            return attend(*args, scale=kwargs.get("scale"))
        return func(*args, **kwargs)


def _fits(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, attn_mask: torch.Tensor | None = None,
          dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
          enable_gqa: bool = False) -> bool:
    return (attn_mask is None and not dropout_p and not is_causal and not enable_gqa and query.ndim == 4
            and query.dtype == key.dtype == value.dtype == torch.bfloat16 and key.shape[2] >= _MIN_KEYS
            and not torch.is_grad_enabled())


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """Return softmax(query · keyᵀ · scale) · value.

    Args:
        query: (batch, heads, tokens, width), bf16.
        key: (batch, heads, keys, width), bf16.
        value: (batch, heads, keys, value width), bf16.
        scale: The factor of the scores; by default 1 / √width.

    Returns:
        (batch, heads, tokens, value width), bf16.
    """
    batch, heads, tokens, width = query.shape
    keys = key.shape[2]
    rows = max(64, _BLOCK // keys)
    scores, weights = query.new_empty(rows, keys), query.new_empty(rows, keys)
    result = query.new_empty(batch, heads, tokens, value.shape[3])
    query = query * (width ** -0.5 if scale is None else scale)
    for index in range(batch * heads):
        head = divmod(index, heads)
        transposed, values = key[head].contiguous().t(), value[head].contiguous()
        for start in range(0, tokens, rows):
            end = min(start + rows, tokens)
            part, shares = scores[: end - start], weights[: end - start]
            torch.mm(query[head][start:end], transposed, out=part)
            torch.softmax(part, -1, out=shares)
            torch.mm(shares, values, out=result[head][start:end])
    return result
