"""Marigold (Ke et al. 2024, https://marigoldcomputervision.github.io): intrinsics and normals by diffusers' pipelines.

Pictures that are larger than what the weights were trained for are done in overlapping tiles. Each tile is brought to
the mean and the contrast that the whole picture, done small, has there, so that the tiles agree.
"""
from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ...core.errors import ModelUnreadable, SDError
from ...geometry import slices
from ...library import policy
from ..models import inspection, nets
from . import deterministic
from .estimator import Estimate
from .slabs import padded

_OVERLAP = 96  # pixels
_USUAL = 768  # pixels, where the weights do not say what they were trained for
_STEEP = 0.12  # the least that a normal may face the viewer, so that slopes stay finite
_SEED = 1
_WHAT = "Marigold model"
_CLASSES = {"intrinsics": "MarigoldIntrinsicsPipeline", "normals": "MarigoldNormalsPipeline"}
_KEPT = 2  # pipelines in memory
_POLL = 0.05  # seconds between looks at whether to stop

_Key = tuple[str, str, torch.device]
_loaded: dict[_Key, Any] = {}
_reading: threading.Thread | None = None


def _pipeline(kind: str, folder: str, device: torch.device, check: Callable[[], None]) -> Any:
    """Return a pipeline. Where `check` raises, that passes through at once; the reading ends by itself at its next
    part."""
    global _reading
    key = kind, folder, device
    _wait(_reading, check)  # for what a cancelled job has left behind
    if key not in _loaded:
        stop, result = threading.Event(), {}

        def read() -> None:
            try:
                result["pipe"] = _read(kind, folder, device, stop)
            except Exception as error:
                result["error"] = error

        _reading = threading.Thread(target=read, name="blender_sd marigold", daemon=True)
        _reading.start()
        try:
            _wait(_reading, check)
        except BaseException:
            stop.set()
            raise
        if "error" in result:
            raise result["error"]
        while len(_loaded) >= _KEPT:
            _loaded.pop(next(iter(_loaded)), None)
        _loaded[key] = result["pipe"]
    return _loaded[key]


def _wait(thread: threading.Thread | None, check: Callable[[], None]) -> None:
    while thread is not None and thread.is_alive():
        check()
        thread.join(_POLL)


def _read(kind: str, folder: str, device: torch.device, stop: threading.Event) -> Any:
    import diffusers
    import transformers

    dtype = torch.float16 if device.type == "cuda" else torch.float32
    classes = {"unet": diffusers.UNet2DConditionModel, "vae": diffusers.AutoencoderKL,
               "text_encoder": transformers.CLIPTextModel}
    parts, place = {}, Path(folder)
    try:
        for part in ("", "scheduler", "tokenizer"):
            inspection.check(place / part, _WHAT)
        for name, cls in classes.items():
            slices.check(stop.is_set)
            parts[name] = nets.read(cls, place, _WHAT, name, dtype=dtype)
        pipe = getattr(diffusers, _CLASSES[kind]).from_pretrained(place, local_files_only=True, **parts)
    except SDError:
        raise
    except Exception as error:
        raise ModelUnreadable(f"The Marigold model in {folder} cannot be read.",
                              "Download it again, or choose another source of the maps.", repr(error)) from error
    pipe.set_progress_bar_config(disable=True)
    return pipe.to(device)


def release() -> None:
    """Free the weights. They are read again when they are needed."""
    _loaded.clear()


def estimate(picture: Tensor, wraps: tuple[bool, bool], intrinsics: str, normals: str, device: torch.device,
             check: Callable[[], None] = lambda: None, progress: Callable[[float], None] = lambda share: None
             ) -> Estimate:
    """Return the maps of a picture (1, 3, H, W), sRGB 0…1.

    Args:
        picture: The picture.
        wraps: Whether it wraps around across, and down.
        intrinsics: The folder of the weights for base colour, roughness and metallic.
        normals: The folder of the weights for normals; "" for a plain estimate of the slopes.
        device: Where the pipelines run.
        check: Called between pieces, and while weights are read; raises to stop.
        progress: Called with the share that is done, 0 to 1.

    Raises:
        PolicyForbids: The studio's policy does not allow the weights, by their name or licence.
        ModelUnreadable: Weights cannot be read, or are of another version.
    """
    for folder in filter(None, (intrinsics, normals)):
        policy.current().check_model(folder, _WHAT)
    pipe = _pipeline("intrinsics", intrinsics, device, check)
    places = _targets(pipe.target_properties, intrinsics)
    share = 0.6 if normals else 1.0
    maps = _whole(pipe, picture, wraps, check, lambda done: progress(done * share))
    base, roughness, metallic = (maps[:, channel:channel + count] for channel, count in places)
    if not normals:
        return Estimate(base, deterministic.estimate(picture, wraps).slope, None, roughness, metallic)
    vectors = _whole(_pipeline("normals", normals, device, check), picture, wraps, check,
                     lambda done: progress(share + done * (1 - share))) * 2 - 1
    facing = vectors[:, 2:].clamp_min(_STEEP)
    slope = torch.cat((-vectors[:, :1] / facing, vectors[:, 1:2] / facing), 1)  # Marigold's y points up
    return Estimate(base, slope, None, roughness, metallic)


def _targets(properties: Any, folder: str) -> tuple[tuple[int, int], ...]:
    """Return (first channel, number of channels) of base colour, roughness and metallic among all targets' channels."""
    names = list((properties or {}).get("target_names") or ())
    channels = {"albedo": (3 * names.index("albedo"), 3)} if "albedo" in names else {}
    for number, name in enumerate(names):
        for channel, sub in enumerate((properties.get(name) or {}).get("sub_target_names") or ()):
            if sub in ("roughness", "metallicity"):
                channels[sub] = (3 * number + channel, 1)
    missing = [name for name in ("albedo", "roughness", "metallicity") if name not in channels]
    if missing:
        raise ModelUnreadable(f"The Marigold weights in {folder} estimate no {' and no '.join(missing)}.",
                              "Use marigold-iid-appearance, or choose another source of the maps.")
    return channels["albedo"], channels["roughness"], channels["metallicity"]


def _whole(pipe: Any, picture: Tensor, wraps: tuple[bool, bool], check: Callable[[], None],
           progress: Callable[[float], None]) -> Tensor:
    """Return what a pipeline makes of a picture of any size, all targets' channels, 0 to 1."""
    side = int(pipe.default_processing_resolution or _USUAL)
    height, width = picture.shape[-2:]
    check()
    coarse = _run(pipe, picture, side)
    if max(height, width) <= side:
        return coarse
    inner = max(side - 2 * _OVERLAP, side // 2)
    margin = (side - inner) // 2
    tops, lefts = range(0, height, inner), range(0, width, inner)
    total, weight = torch.zeros_like(coarse), torch.zeros_like(coarse[:, :1])
    done = 0
    for top in tops:
        for left in lefts:
            check()
            piece = _run(pipe, padded(picture, (left, inner), (top, inner), margin, wraps), 0)
            like = padded(coarse, (left, inner), (top, inner), margin, wraps)
            piece = _matched(piece, like)
            rows, columns = (_places(start, inner, margin, length, wrap) for start, length, wrap in
                             ((top, height, wraps[1]), (left, width, wraps[0])))
            fade = _fade(piece.shape[-2], rows[1], margin)[:, None] * _fade(piece.shape[-1], columns[1], margin)[None]
            _add(total, piece * fade, rows, columns)
            _add(weight, fade[None, None], rows, columns)
            done += 1
            progress(done / (len(tops) * len(lefts)))
    return total / weight.clamp_min(1e-6)


def _places(start: int, inner: int, margin: int, side: int, wraps: bool) -> tuple[Tensor, Tensor]:
    """Return the places in the picture of a tile's rows or columns, and which of them count."""
    places = torch.arange(start - margin, start + -(-inner // 16) * 16 + margin)
    return places % side, torch.ones_like(places, dtype=torch.bool) if wraps else (places >= 0) & (places < side)


def _fade(length: int, counts: Tensor, margin: int) -> Tensor:
    ramp = torch.linspace(0, 1, margin + 2)[1:-1] if margin else torch.ones(0)
    fade = torch.ones(length)
    fade[:margin], fade[length - margin:] = ramp, ramp.flip(0)
    return fade * counts[:length]


def _add(total: Tensor, piece: Tensor, rows: tuple[Tensor, Tensor], columns: tuple[Tensor, Tensor]) -> None:
    lines = torch.zeros(*total.shape[:2], total.shape[2], piece.shape[3])
    lines.index_add_(2, rows[0], piece)
    total.index_add_(3, columns[0], lines)


def _matched(piece: Tensor, like: Tensor) -> Tensor:
    """Return a tile with the mean and the contrast that the coarse estimate has there, channel by channel."""
    smooth = F.interpolate(F.avg_pool2d(piece, 4, ceil_mode=True), piece.shape[-2:], mode="bilinear")
    contrast = like.std((2, 3), keepdim=True) / smooth.std((2, 3), keepdim=True).clamp_min(1e-3)
    return ((piece - piece.mean((2, 3), keepdim=True)) * contrast.clamp(0.5, 1.5)
            + like.mean((2, 3), keepdim=True)).clamp(0, 1)


def _run(pipe: Any, picture: Tensor, side: int) -> Tensor:
    """Return a pipeline's estimate of one picture, all targets' channels beside each other, 0 to 1, on the CPU."""
    generator = torch.Generator().manual_seed(_SEED)
    values = pipe(picture, processing_resolution=side, output_type="pt", generator=generator).prediction.float().cpu()
    if type(pipe).__name__ == _CLASSES["normals"]:
        return values * 0.5 + 0.5
    return values.reshape(1, -1, *values.shape[-2:])
