"""Small previews of what is being denoised: cheap, and without any effect on the picture."""
from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

INTERVAL = 0.25  # least seconds between previews
SHARE = 0.05  # of the time that previews may take
_FIT_SIDE = 16  # side in latents of the noise that the first guess is fitted on
_LEARN_SIDE = 64


class Preview:
    """Make previews for one loaded model.

    A tiny autoencoder decodes latents shrunk to the preview's size. Any other VAE is replaced by a linear map from
    latent channels to RGB, fitted to one small decode of smooth noise when first needed, and again to every finished
    picture (after "latent2rgb" of the community's web UIs, which ship fixed factors per family).
    """

    def __init__(self, pipe: Any) -> None:
        self._vae = getattr(pipe, "vae", None)
        self._tiny = type(self._vae).__name__ == "AutoencoderTiny"
        self._map: np.ndarray | None = None  # (channels + 1) × 3: latents and 1 -> RGB in [-1, 1]
        self._guessed = False
        self._next = 0.0

    def begin(self) -> None:
        """Start a picture: its first preview comes soon, however much time earlier previews have taken."""
        self._next = min(self._next, time.monotonic() + INTERVAL)

    def due(self) -> bool:
        """Return whether a preview may be made now without slowing the picture down."""
        return time.monotonic() >= self._next

    def picture(self, pipe: Any, latents: torch.Tensor, size: tuple[int, int], longest: int) -> np.ndarray | None:
        """Return a preview of `latents` as an h×w×3 uint8 sRGB array, row 0 on top. Uses no random generator.

        Args:
            pipe: The diffusers pipeline.
            latents: Latents as a pipeline's step callback gives them.
            size: (width, height) of the final picture in pixels.
            longest: Longest side of the preview in pixels.

        Returns:
            The preview; None for latents of an unknown form.
        """
        started = time.monotonic()
        planes = _planes(pipe, latents, size)
        shown = None
        if planes is not None:
            planes = planes / planes.std().clamp(min=1.0)  # sigma-scaled samplers start with large latents
            shown = self._decoded(planes, size, longest) if self._tiny else self._mapped(planes, size, longest)
        cost = time.monotonic() - started
        self._next = time.monotonic() + max(INTERVAL, cost / SHARE)
        return shown

    def learn(self, pipe: Any, latents: torch.Tensor, picture: torch.Tensor, size: tuple[int, int]) -> None:
        """Fit the map to a finished picture.

        Args:
            pipe: The diffusers pipeline.
            latents: The last step's latents.
            picture: The VAE's output, 1×3×H×W in [-1, 1].
            size: (width, height) of the final picture in pixels.
        """
        planes = None if self._tiny else _planes(pipe, latents, size)
        if planes is not None:
            self._fit(planes, _still(picture))

    def _decoded(self, planes: torch.Tensor, size: tuple[int, int], longest: int) -> np.ndarray:
        shrunk = F.interpolate(planes, size=_shown(size, longest, size[0] / planes.shape[-1]), mode="area")
        return _bytes(self._decode(shrunk))

    def _mapped(self, planes: torch.Tensor, size: tuple[int, int], longest: int) -> np.ndarray | None:
        if self._map is None and not self._guessed:
            self._guessed = True
            self._guess(planes)
        if self._map is None:
            return None
        rows = np.concatenate([_rows(planes), np.ones((planes.shape[-2] * planes.shape[-1], 1), np.float32)], axis=1)
        colours = torch.from_numpy((rows @ self._map).T.reshape(1, 3, *planes.shape[-2:]))
        return _bytes(F.interpolate(colours, size=_shown(size, longest, 1.0), mode="bilinear", align_corners=False))

    def _guess(self, planes: torch.Tensor) -> None:
        if self._vae is None:
            return
        own = torch.Generator().manual_seed(0)  # neither the picture's nor torch's global generator
        noise = torch.randn((1, planes.shape[1], 4, 4), generator=own)
        smooth = F.interpolate(noise, size=(_FIT_SIDE, _FIT_SIDE), mode="bicubic").to(planes.device)
        self._fit(smooth, self._decode(smooth))

    def _decode(self, planes: torch.Tensor) -> torch.Tensor:
        vae = self._vae
        means, deviations = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
        scale = getattr(vae.config, "scaling_factor", None) or 1.0
        if means is not None and deviations is not None:
            means, deviations = (planes.new_tensor(values).view(1, -1, 1, 1) for values in (means, deviations))
            video = isinstance(getattr(vae.config, "z_dim", None), int)  # video VAEs have no scale
            scaled = (planes * deviations + means).unsqueeze(2) if video else planes * deviations / scale + means
        else:
            scaled = planes / scale + (getattr(vae.config, "shift_factor", None) or 0.0)
        # Not the instance's method, which `vae_guard` may have replaced.
        return _still(type(vae).decode(vae, scaled.to(vae.device, vae.dtype), return_dict=False)[0])

    def _fit(self, planes: torch.Tensor, picture: torch.Tensor) -> None:
        side = (min(_LEARN_SIDE, planes.shape[-2]), min(_LEARN_SIDE, planes.shape[-1]))
        values = _rows(F.interpolate(planes.float(), size=side, mode="area"))
        colours = _rows(F.interpolate(picture.float(), size=side, mode="area")[:, :3])
        if np.isfinite(values).all() and np.isfinite(colours).all():
            system = np.concatenate([values, np.ones((len(values), 1), np.float32)], axis=1)
            self._map = np.linalg.lstsq(system, colours, rcond=None)[0].astype(np.float32)


def _planes(pipe: Any, latents: torch.Tensor, size: tuple[int, int]) -> torch.Tensor | None:
    """Return the first picture's latents as 1×C×h×w in fp32; None for an unknown form."""
    latents = latents.detach()[:1]
    if latents.ndim == 3:  # Flux and similar families pack 2×2 latents into a token
        try:
            latents = _unpacked(pipe, latents, size)
        except (AttributeError, RuntimeError, TypeError, ValueError):
            return None
    latents = _still(latents)
    return latents.float() if latents.ndim == 4 else None


def _unpacked(pipe: Any, tokens: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if hasattr(pipe, "_unpack_latents"):
        return pipe._unpack_latents(tokens, size[1], size[0], pipe.vae_scale_factor)
    rows, columns = (side // (2 * pipe.vae_scale_factor) for side in (size[1], size[0]))
    packed = tokens.unflatten(1, (rows, columns)).permute(0, 3, 1, 2)
    norm = pipe.vae.bn  # Flux.2 normalises latents by their statistics in training
    deviation = torch.sqrt(norm.running_var.view(1, -1, 1, 1) + pipe.vae.config.batch_norm_eps)
    return pipe._unpatchify_latents(packed * deviation.to(packed) + norm.running_mean.view(1, -1, 1, 1).to(packed))


def _still(value: torch.Tensor) -> torch.Tensor:
    """Return the only frame of what a video VAE takes or gives; anything else unchanged."""
    return value[:, :, 0] if value.ndim == 5 and value.shape[2] == 1 else value


def _shown(size: tuple[int, int], longest: int, per_cell: float) -> tuple[int, int]:
    """Return (rows, columns) of the grid that shows a picture of `size` in at most `longest` pixels.

    A cell of the grid shows `per_cell` pixels of the picture.
    """
    scale = min(1.0, longest / max(size))
    return tuple(max(1, int(side * scale / per_cell)) for side in (size[1], size[0]))


def _rows(planes: torch.Tensor) -> np.ndarray:
    return planes[0].flatten(1).T.float().cpu().numpy()


def _bytes(picture: torch.Tensor) -> np.ndarray:
    """Convert 1×3×h×w in [-1, 1] to h×w×3 uint8."""
    shown = torch.nan_to_num(picture[0, :3].float(), nan=0.0).mul(127.5).add(127.5).clamp(0, 255)
    return shown.round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()
