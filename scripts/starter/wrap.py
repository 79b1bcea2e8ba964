"""Wrapping convolutions that train fast under ``torch.compile``.

PyTorch's own circular padding compiles to slow, unvectorised index arithmetic on a CPU. This one is an opaque operator
made of block copies, with its exact adjoint; numerically it is the same padding.
"""

from __future__ import annotations

import types

import torch
import torch.nn.functional as F
from torch import nn


@torch.library.custom_op("starter::wrap_pad", mutates_args=())
def wrap_pad(x: torch.Tensor, pad: int) -> torch.Tensor:
    """(B, C, H, W) to (B, C, H + 2 pad, W + 2 pad), each side continued from the opposite one."""
    b, c, h, w = x.shape
    out = torch.empty((b, c, h + 2 * pad, w + 2 * pad), dtype=x.dtype, device=x.device).to(
        memory_format=torch.channels_last
    )
    out[:, :, pad:-pad, pad:-pad] = x
    out[:, :, pad:-pad, :pad] = x[..., -pad:]
    out[:, :, pad:-pad, -pad:] = x[..., :pad]
    out[:, :, :pad] = out[:, :, h : h + pad]
    out[:, :, -pad:] = out[:, :, pad : 2 * pad]
    return out


@wrap_pad.register_fake
def _(x: torch.Tensor, pad: int) -> torch.Tensor:
    b, c, h, w = x.shape
    return x.new_empty((b, c, h + 2 * pad, w + 2 * pad)).to(memory_format=torch.channels_last)


@torch.library.custom_op("starter::wrap_fold", mutates_args=())
def wrap_fold(grad: torch.Tensor, pad: int) -> torch.Tensor:
    """The adjoint of :func:`wrap_pad`: border gradients are added where their pixels came from."""
    h, w = grad.shape[2] - 2 * pad, grad.shape[3] - 2 * pad
    rows = grad[:, :, pad:-pad].contiguous(memory_format=torch.channels_last).clone()
    rows[:, :, :pad] += grad[:, :, h + pad :]
    rows[:, :, -pad:] += grad[:, :, :pad]
    out = rows[..., pad:-pad].contiguous(memory_format=torch.channels_last).clone()
    out[..., :pad] += rows[..., w + pad :]
    out[..., -pad:] += rows[..., :pad]
    return out


@wrap_fold.register_fake
def _(grad: torch.Tensor, pad: int) -> torch.Tensor:
    b, c, h, w = grad.shape
    return grad.new_empty((b, c, h - 2 * pad, w - 2 * pad)).to(memory_format=torch.channels_last)


def _keep_pad(ctx, inputs, output) -> None:
    ctx.pad = inputs[1]


wrap_pad.register_autograd(lambda ctx, grad: (wrap_fold(grad, ctx.pad), None), setup_context=_keep_pad)


def _wrapped_forward(self: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    return F.conv2d(wrap_pad(x, self.padding[0]), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def wrap_convolutions(model: nn.Module) -> nn.Module:
    """Make every padded convolution of a model wrap, for training; the weights stay shared with nobody."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and max(module.padding) > 0:
            module.forward = types.MethodType(_wrapped_forward, module)
    return model


def twin(model: nn.Module, build) -> nn.Module:
    """A second model from ``build()`` that wraps and shares all of ``model``'s parameters.

    Two modules, two compiled graphs, one set of weights: a batch trains whichever padding it was drawn for.
    """
    other = wrap_convolutions(build())
    for (name, parameter), (other_name, _) in zip(
        model.named_parameters(), list(other.named_parameters()), strict=True
    ):
        assert name == other_name
        owner, _, leaf = name.rpartition(".")
        other.get_submodule(owner)._parameters[leaf] = parameter
    return other
