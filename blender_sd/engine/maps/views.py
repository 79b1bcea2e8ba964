"""The maps of an object's view: what the estimator makes of it, without the object's own shape in its relief."""
from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from ...core.tasks import PbrMaps
from ...geometry import colours
from ...geometry.fusing import ViewMaps
from .height import blur, integrate, slopes
from .material import estimated

_NOWHERE = (False, False)  # views wrap around nowhere
_FORM = 1 / 32  # of a view's side: what is wider than a few times that is the object's shape, which its mesh has
_LEAST = 1e-3


@torch.inference_mode()
def maps_of_view(picture: Image.Image, shows: np.ndarray, task: PbrMaps, check: Callable[[], None],
                 device: torch.device) -> ViewMaps:
    """Return the maps of a view.

    Args:
        picture: RGB, sRGB as displayed.
        shows: H×W bool, where it shows the objects; what is beside them is not looked at.
        task: How.
        check: Raises JobCancelled if the job was cancelled.
        device: Where Marigold runs.
    """
    pixels = np.asarray(picture.convert("RGB"))
    pixels = pixels[tuple(distance_transform_edt(~shows, return_distances=False, return_indices=True))]
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255
    maps = estimated(tensor, _NOWHERE, task, check, lambda share: None, device)
    detail = _without_form(integrate(maps.slope, maps.coarse, _NOWHERE), torch.from_numpy(shows)[None, None])
    base = (maps.base[0].clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    return ViewMaps(colours.linear(base), slopes(detail, _NOWHERE)[0].permute(1, 2, 0).numpy(),
                    maps.roughness[0, 0].numpy(), maps.metallic[0, 0].numpy())


def _without_form(height: Tensor, shows: Tensor) -> Tensor:
    """Return a height (1, 1, H, W) less its smooth part, which is taken from the objects' own pixels alone."""
    sigma = max(height.shape[-2:]) * _FORM
    weight = shows.float()
    smooth = blur(height * weight, sigma, _NOWHERE) / blur(weight, sigma, _NOWHERE).clamp_min(_LEAST)
    return (height - smooth) * weight
