"""Guard the VAE during one call: repair half precision that overflows, and cancel before a long decode."""
from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...core.errors import ModelUnreadable, SDError
from ..models import weight_files
from ..models.cache import Model
from .vae_tiles import round_border


@contextmanager
def guarded_vae(model: Model, check: Callable[[], None], seen: Callable[[torch.Tensor], None],
                tiled_round: str = "none") -> Iterator[None]:
    """Return a context in which the model's VAE is guarded.

    Where its half precision gives NaN or infinity (known of SDXL's first VAE), it is run once more in fp32. Finite
    results are the VAE's own. Afterwards the VAE is as before, its precision included.

    Args:
        model: The loaded model.
        check: Called before each decode and encode; may raise to cancel.
        seen: Called with each decoded picture (1×3×H×W).
        tiled_round: The axes along which a VAE in tiles wraps round the border (`vae_tiles`).

    Raises:
        SDError: The latents are not finite, or fp32 does not help.
    """
    vae = getattr(model.base, "vae", None)
    if vae is None:
        yield
        return
    dtype = vae.dtype
    own_decode, own_encode = (round_border(getattr(type(vae), name), tiled_round, model.vae_scale)
                              for name in ("decode", "encode"))

    def decode(latents: torch.Tensor, *args: Any, **options: Any) -> Any:
        check()
        if not _finite(latents):
            raise _not_finite(model)
        result = _repaired(model, vae, own_decode, latents, _sample, args, options)
        seen(_sample(result))
        return result

    def encode(picture: torch.Tensor, *args: Any, **options: Any) -> Any:
        check()
        result = _repaired(model, vae, own_encode, picture, _latents, args, options)
        return _as_dtype(result, picture.dtype)

    vae.decode, vae.encode = decode, encode
    try:
        yield
    finally:
        del vae.decode, vae.encode
        if vae.dtype != dtype:  # the pipeline was cancelled between its own upcast and downcast
            vae.to(dtype)


def _repaired(model: Model, vae: Any, method: Callable, value: torch.Tensor, tensor_of: Callable, args: tuple,
              options: dict) -> Any:
    half = vae.dtype != torch.float32
    if not (half and model.vae_needs_fp32):
        result = method(vae, value, *args, **options)
        if _finite(tensor_of(result)):
            return result
        if not half:
            raise _not_finite(model)
    dtype = vae.dtype
    try:
        result = method(vae.to(torch.float32), value.float(), *args, **options)
    finally:
        vae.to(dtype)
    if not _finite(tensor_of(result)):
        raise _not_finite(model)
    model.vae_needs_fp32 = True
    return result


def _sample(result: Any) -> torch.Tensor:
    return result[0] if isinstance(result, tuple) else result.sample


def _latents(result: Any) -> torch.Tensor:
    if isinstance(result, tuple):
        result = result[0]
    distribution = getattr(result, "latent_dist", result)
    parameters = getattr(distribution, "parameters", None)
    if parameters is not None:
        return parameters
    return getattr(distribution, "latents", getattr(distribution, "latent", distribution))


def _as_dtype(result: Any, dtype: torch.dtype) -> Any:
    """Return an encoder's result in the precision that the pipeline works in."""
    distribution = getattr(result, "latent_dist", None)
    if distribution is not None and distribution.parameters.dtype != dtype:
        result.latent_dist = type(distribution)(distribution.parameters.to(dtype), distribution.deterministic)
    elif getattr(result, "latents", None) is not None:
        result.latents = result.latents.to(dtype)
    return result


def _finite(value: torch.Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def _not_finite(model: Model) -> SDError:
    """Return the error for pixels that are not numbers; if the model's own weights are not, it names them."""
    parts = {name: part for name, part in model.base.components.items() if isinstance(part, torch.nn.Module)}
    broken = next((f"{name}.{weight}" for name, part in parts.items()
                   for weight in weight_files.not_finite(part.state_dict())), "")
    if broken:
        return ModelUnreadable(f"The model '{model.name}' holds weights that are not numbers, such as {broken:.120}.",
                               "Get another version of it.")
    return SDError(f"The model '{model.name}' produced pixels that are not numbers.",
                   "Set the precision to fp32 in the preferences, or choose another sampler or lower guidance.")
