"""What a pipeline's call needs so that it paints all views of an object in one batch."""
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...geometry.agreement import Links, link
from ...geometry.gather import FADE
from ...geometry.slices import Cancelled
from ...geometry.surface import Surface
from ...geometry.views import View
from ..models.cache import Model
from . import composing, latents
from .agreeing import SurfaceBlend, SurfaceNoise, agreeing, packed, unpacked
from .shared_attention import Sharing, micro_batches, shared

# The power of quality in the weights, at the first and the last blended step. A mean of details that differ is blurred:
# in the end, the best view has its way up to the next pixel.
SOFT, SHARP = composing.MEAN, 200.0
# The share of the steps up to which views are blended. In the others each view finishes its details by itself: where a
# warped pattern runs as the model would never paint it, every blended step takes contrast from it.
UNTIL = 0.4
NEIGHBOURS = 2

Preview = Callable[[Any, torch.Tensor], None]


@dataclass(frozen=True, eq=False)
class Together:
    """Several views that are painted together.

    Attributes:
        prompts: One for each.
        links: What their latents see of the same points.
        pixel_links: What their pixels do; None to let only latents agree.
        pictures: What each is painted over, RGB; () if they are painted from words alone.
        keep: V×1×h×w float32, 1 where the latents keep the picture that they are painted over; None for nowhere.
        controls: For each ControlNet the picture of each view.
        share: Whether views look at their neighbours.
        batch: How many views the model sees at a time.
        sharp: The power of quality in the weights of the last step that is blended.
        blend: Whether views have anything in common; without, each is painted alone, for comparison.
        noise: The noise that they start from; None for noise that is attached by `links`.
        begins: For each view the share of the steps after which it is painted; until then it keeps its picture, as if
            it were painted at a lower strength. () for all of them.
        turning: For each view another prompt, and how far its own turns into that: the embeddings lie between. () for
            none.
        until: The share of the steps up to which views are blended.
    """

    prompts: tuple[str, ...]
    links: Links
    pixel_links: Links | None
    pictures: tuple[Image.Image, ...] = ()
    keep: torch.Tensor | None = None
    controls: tuple[tuple[Image.Image, ...], ...] = ()
    share: bool = True
    batch: int = 0
    sharp: float = SHARP
    blend: bool = True
    noise: SurfaceNoise | None = None
    begins: tuple[float, ...] = ()
    turning: tuple[tuple[str, float], ...] = ()
    until: float = UNTIL

    @property
    def count(self) -> int:
        """The number of views."""
        return len(self.prompts)

    def arguments(self, call: Callable[[str], dict[str, Any]]) -> dict[str, Any]:
        """Return the arguments of the pipeline's call for all views; `call` returns them for one view's prompt."""
        others = [prompt for prompt, share in self.turning if share > 0]
        different = {prompt: call(prompt) for prompt in dict.fromkeys((*self.prompts, *others))}
        each = [_between(different[own], different[other], share) if share > 0 else different[own]
                for own, (other, share) in zip(self.prompts, self.turning or [("", 0.0)] * self.count)]
        given = dict(each[0])
        for name in ("prompt", "negative_prompt"):
            if name in given:
                given[name] = [one[name] for one in each]
        for name in [name for name in given if name.endswith("prompt_embeds")]:
            rows = [one[name] for one in each]
            longest = max(row.shape[1] for row in rows) if rows[0].ndim == 3 else 0
            given[name] = torch.cat([_lengthened(row, longest) for row in rows])
        if self.pictures:
            given["image"] = list(self.pictures)
        if self.controls:
            name = "control_image" if "control_image" in given else "image"
            shown = list(map(list, zip(*self.controls)))
            given[name] = shown if len(self.controls) > 1 else [one for one, in shown]
        return given

    def agreed(self, pictures: Sequence[Image.Image], check: Callable[[], None]) -> list[Image.Image]:
        """Return the finished views, RGB, each with what the best view shows of its points.

        The agreement of latents ends with their squares, so finished pictures still differ in detail. A bake that mixes
        them is blurred, and one that does not has steps where the best view changes (see `composing`).

        Args:
            pictures: The finished views.
            check: Raises to cancel.
        """
        if self.pixel_links is None or not self.blend:
            return list(pictures)
        values = torch.stack([_tensor(picture) for picture in pictures])
        values = composing.composed(self.pixel_links, values, check).clamp(-1, 1)
        return [Image.fromarray(np.rint((value.permute(1, 2, 0).numpy() + 1) * 127.5).astype(np.uint8))
                for value in values]

    @contextmanager
    def painted_by(self, model: Model, pipe: Any, nets: Sequence[torch.nn.Module], seed: int,
                   variation: tuple[int, float], preview: Preview, check: Callable[[], None]) -> Iterator[None]:
        """Return a context in which a call of `pipe` with `arguments` paints views that agree.

        Args:
            model, pipe, nets: The model, its pipeline and the ControlNets.
            seed: Of the noise.
            variation: Another seed, and how far the noise leans towards it.
            preview: Called with the pipeline and the predicted clean latents at each step.
            check: Raises to cancel; called many times within a step, which is long for so many views.
        """
        rows, columns = self.links.height, self.links.width
        sharing = Sharing(neighbours(self.links, NEIGHBOURS), (rows, columns))
        vae = model.base.vae
        with ExitStack() as stack:
            if self.blend:
                noise = self.noise or SurfaceNoise(self.links)
                stack.enter_context(noise.drawn_by(pipe, seed, variation))
            stack.enter_context(latents.one_by_one(vae))
            if 0 < self.batch < self.count:
                def begin(views: list[int]) -> None:
                    sharing.views = views

                stack.enter_context(micro_batches([model.denoiser, *nets], self.count, self.batch, begin))
            for block in _blocks(model.denoiser):
                stack.callback(block.register_forward_pre_hook(lambda *_: check()).remove)
            if self.share and self.blend and self.count > 1:
                stack.enter_context(shared(model.denoiser, sharing))
            agree = _Agreement(self, pipe, vae, sharing, preview)
            stack.enter_context(agreeing(pipe.scheduler, agree, agree.planes, agree.tokens))
            yield


class _Agreement:
    """Decide at every step how views are brought together."""

    def __init__(self, together: Together, pipe: Any, vae: Any, sharing: Sharing, preview: Preview) -> None:
        self._together, self._pipe, self._vae, self._sharing = together, pipe, vae, sharing
        self._preview = preview
        self._blend = self._kept = None
        self._is_packed = False

    def planes(self, value: torch.Tensor) -> torch.Tensor:
        self._is_packed = value.ndim == 3
        return unpacked(value, self._together.links.height, self._together.links.width) if self._is_packed else value

    def tokens(self, planes: torch.Tensor) -> torch.Tensor:
        return packed(planes) if self._is_packed else planes

    def __call__(self, x0: torch.Tensor, share: float) -> torch.Tensor:
        """Return the latents to go on with. `share` counts the scheduler's whole list of steps."""
        listed = len(self._pipe.scheduler.timesteps)
        total = getattr(self._pipe, "num_timesteps", None) or listed  # fewer where a picture is painted over
        done = round(share * listed)
        share = done / max(1, total)
        self._sharing.share = share
        together, result = self._together, x0
        if together.blend:
            self._blend = self._blend or SurfaceBlend(together.links, x0.device)
            if share < together.until:
                power = SOFT + (together.sharp - SOFT) * share / together.until
                result = (self._blend(result, power) if together.pixel_links is None else
                          _best(self._blend, together.links, result, power))
        keep = self._keep(share, x0)
        if keep is not None and together.pictures:
            if self._kept is None:
                self._kept = latents.encoded(self._vae, [_tensor(picture) for picture in together.pictures],
                                             x0.device).to(x0)
            result = result * (1 - keep) + self._kept * keep
        self._preview(self._pipe, result)
        return result

    def _keep(self, share: float, x0: torch.Tensor) -> torch.Tensor | None:
        """Return where latents keep their pictures at this step, V×1×h×w; None for nowhere."""
        together = self._together
        waiting = [share < begin - 1e-6 for begin in together.begins]
        if not any(waiting):
            return None if together.keep is None else together.keep.to(x0)
        keep = x0.new_zeros((x0.shape[0], 1, *x0.shape[-2:])) if together.keep is None else together.keep.to(x0).clone()
        keep[waiting] = 1
        return keep


def _best(blend: SurfaceBlend, links: Links, values: torch.Tensor, power: float) -> torch.Tensor:
    """Return V×C×H×W values with the details of the best view; what varies slowly comes from the mean of the views."""
    return composing.levelled(blend(values, power), blend(values, SOFT), links)


def _blocks(denoiser: Any) -> list[torch.nn.Module]:
    """Return the denoiser's repeated parts."""
    lists = (part for part in denoiser.modules() if isinstance(part, torch.nn.ModuleList))
    return [block for part in lists for block in part]


def links_of(surface: Surface, views: Sequence[View], scale: int, cancelled: Cancelled) -> Links:
    """Return the links of `views` (in the unit box) between squares of `scale` pixels."""
    return link(surface, [smaller(view, scale) for view in views], cancelled, fade=FADE / scale)


def smaller(view: View, scale: int) -> View:
    """Return a view with pixels `scale` times as large."""
    return replace(view, scale=(view.scale[0] / scale, view.scale[1] / scale),
                   centre=(view.centre[0] / scale, view.centre[1] / scale), width=view.width // scale,
                   height=view.height // scale)


def neighbours(links: Links, most: int) -> list[list[int]]:
    """Return for each view the others that see most of what it sees, the best first; an equal number for all."""
    size = links.height * links.width
    own = links.pixel[:, 0] // size
    common = np.zeros((links.views, links.views), np.int64)
    for column in range(1, links.pixel.shape[1]):
        there = links.quality[:, column] > 0
        np.add.at(common, (own[there], links.pixel[there, column] // size), 1)
    np.fill_diagonal(common, -1)
    count = min(most, links.views - 1)
    return np.argsort(-common, axis=1, kind="stable")[:, :count].tolist()


def _between(own: dict[str, Any], other: dict[str, Any], share: float) -> dict[str, Any]:
    """Return the arguments for a prompt between two: their embeddings mixed; the nearer one's where there are none."""
    result = dict(own if share < 0.5 else other)
    for name in [name for name in result if name.endswith("prompt_embeds") and not name.startswith("negative")]:
        longest = max(own[name].shape[1], other[name].shape[1])
        result[name] = torch.lerp(_lengthened(own[name], longest), _lengthened(other[name], longest), share)
    return result


def _lengthened(row: torch.Tensor, length: int) -> torch.Tensor:
    """Return text features repeated up to `length` tokens, in whole rounds, as prompts of several chunks need."""
    if row.ndim != 3 or row.shape[1] >= length:
        return row
    return torch.cat([row] * -(-length // row.shape[1]), 1)[:, :length]


def _tensor(picture: Image.Image) -> torch.Tensor:
    values = torch.from_numpy(np.asarray(picture.convert("RGB"), np.float32).copy())
    return values.permute(2, 0, 1) / 127.5 - 1
