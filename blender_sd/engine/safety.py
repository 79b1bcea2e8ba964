"""The safety filter: a model that looks at every finished picture, of whichever family, before anybody else does.

It is an image classifier of transformers (`AutoModelForImageClassification`), or Stable Diffusion's own safety checker, from a folder that
the person or the studio's policy names. A picture that it flags is withheld: it is neither written nor sent, and no smaller form of it is.
Nothing is ever painted unfiltered because a filter is missing or broken: the order is refused before anything else is loaded.
"""
from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..protocol.checkpoints import STARTER, STARTER_FOLDER
from ..protocol.errors import InvalidRequest, ModelNotFound, ModelUnreadable, PictureWithheld
from ..protocol.messages import EngineConfig, text_of
from ..protocol.policy import Filter, Policy
from ..protocol.request import Request
from . import memory

log = logging.getLogger(__name__)
FILTER_KEY = "blender_sd_filter"  # of a PIL image's `info`: the filters that have looked at it, by name
UNSAFE = frozenset((
    "nsfw porn pornography pornographic hentai sexy sexual sensual erotic erotica explicit nude nudity naked adult unsafe gore gory blood "
    "bloody violence violent").split())
_NOT = frozenset(("not", "non", "no", "safe"))  # what a label may begin with that names an unsafe one and means the opposite
_CHECKER = "StableDiffusionSafetyChecker"
_PROCESSOR = "preprocessor_config.json"
_ANOTHER = "Choose another one in the preferences."


def wanted(policy: Policy, config: EngineConfig) -> tuple[Filter, ...]:
    """The filters that are on: the policy's, or else the person's. Raises InvalidRequest."""
    if policy.filters or not config.safety_filter:
        return policy.filters
    threshold = config.safety_threshold
    if type(threshold) not in (int, float) or not 0 < threshold <= 1:
        raise InvalidRequest(f"The safety filter's threshold must be above 0 and at most 1, not {threshold!r:.20}.")
    labels = tuple(label for part in config.safety_labels.split(",") if (label := part.strip()))
    return (Filter(config.safety_filter, labels, float(threshold)),)


def is_needed(request: Request, folder: str) -> bool:
    """Whether a picture must be looked at. The built-in starter model's need not: it was trained on procedural textures alone. That holds
    as long as nothing of another origin is put on it."""
    starter = os.path.realpath(folder) == os.path.realpath(STARTER_FOLDER)
    foreign = request.loras or request.embeddings or request.ip_adapter or os.path.isdir(request.upscaler)
    return not starter or bool(foreign) or any(one.model != STARTER for one in request.controls)


class Guard:
    """The filters of one order. `name`: theirs, "" for none."""

    def __init__(self, filters: Sequence[_Loaded], count: int) -> None:
        self._filters = filters
        self._count, self._withheld = count, 0
        self.name = ", ".join(one.name for one in filters)

    def __bool__(self) -> bool:
        return bool(self._filters)

    def passes(self, image: Image.Image) -> bool:
        """Whether `image` may be seen; it is then marked with the filters' names."""
        if any(one.flags(image.convert("RGB")) for one in self._filters):
            self._withheld += 1
            return False
        if self._filters:
            image.info[FILTER_KEY] = self.name
        return True

    def summary(self) -> str:
        """What the person should know at the end, "" where nothing was withheld. Raises PictureWithheld where all was."""
        if not self._withheld:
            return ""
        log.info("the safety filter %s withheld %d of %d pictures", self.name, self._withheld, self._count)
        if self._withheld == self._count:
            what = "The picture was" if self._count == 1 else f"All {self._count} pictures were"
            raise PictureWithheld(f"{what} withheld by the safety filter {self.name}.", "Try another seed, or other words.")
        verb = "was" if self._withheld == 1 else "were"
        return f"{self._withheld} of {self._count} pictures {verb} withheld by the safety filter {self.name}."


class Filters:
    """The filters that are loaded: those of the last order that needed some."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._loaded: dict[tuple, _Loaded] = {}

    def guard(self, wanted: Sequence[Filter], count: int, say: Callable[[str], None]) -> Guard:
        """What looks at the `count` pictures of an order. Raises ModelNotFound, ModelUnreadable, InvalidRequest, OutOfMemory."""
        keys = [(one, _stamp(one.folder)) for one in wanted]
        kept = {key: self._loaded[key] for key in keys if key in self._loaded}
        if wanted:
            self._loaded = kept  # those of other orders go first, to make room
        for key in keys:
            if key not in kept:
                say(f"Loading {Path(key[0].folder).name}")
                kept[key] = _load(key[0], self._device)
        return Guard([kept[key] for key in keys], count)


class _Loaded:
    """A filter in memory."""

    def __init__(self, name: str, model: Any, processor: Any, device: torch.device) -> None:
        self.name = name
        self._model = model.eval().requires_grad_(False).to(device)
        self._processor = processor
        self._device = device

    def flags(self, image: Image.Image) -> bool:
        """Whether `image` (RGB) is to be withheld."""
        with torch.inference_mode():
            return self._judged(self._processor(images=image, return_tensors="pt")["pixel_values"].to(self._device), image)

    def _judged(self, pixels: torch.Tensor, image: Image.Image) -> bool:
        raise NotImplementedError


class _Classifier(_Loaded):
    """`unsafe`: which of its outputs are; `threshold`: their certainty in all, or of any where each is judged by itself."""

    unsafe: list[int]
    threshold: float

    def _judged(self, pixels: torch.Tensor, image: Image.Image) -> bool:
        logits = self._model(pixel_values=pixels).logits[0].float()
        if getattr(self._model.config, "problem_type", None) == "multi_label_classification":
            certainty = logits.sigmoid()[self.unsafe].max()
        else:
            certainty = logits.softmax(-1)[self.unsafe].sum()
        return not float(certainty) < self.threshold  # what is not a number counts as unsafe


class _Checker(_Loaded):
    """Stable Diffusion's own, which has thresholds of its own for each of the concepts that it knows."""

    def _judged(self, pixels: torch.Tensor, image: Image.Image) -> bool:
        _, found = self._model(clip_input=pixels, images=[np.zeros((1, 1, 3))])  # which it would blacken, and needs for nothing else
        return bool(found[0])


def _load(one: Filter, device: torch.device) -> _Loaded:
    folder = Path(one.folder)
    config = _config(folder)
    try:
        if _CHECKER in (config.get("architectures") or ()):
            return _read_checker(folder, device)
        return _read_classifier(folder, one, device)
    except (InvalidRequest, ModelUnreadable):
        raise
    except Exception as error:  # transformers raises whatever it runs into
        if memory.is_out_of_memory(error):
            raise memory.translated(error) from error
        raise ModelUnreadable(f"The safety filter '{folder.name}' cannot be loaded.", f"Its folder may be incomplete. {_ANOTHER}",
                              text_of(error)) from error


def _config(folder: Path) -> dict[str, Any]:
    try:
        found = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelNotFound(f"There is no safety filter in {folder}, so nothing is painted.",
                            f"It must hold a config.json of transformers. {_ANOTHER}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnreadable(f"The safety filter's config.json cannot be read: {folder}", _ANOTHER, repr(error)) from None
    if not isinstance(found, dict):
        raise ModelUnreadable(f"The safety filter's config.json describes no model: {folder}", _ANOTHER)
    if not any(folder.glob("*.safetensors")):
        raise ModelUnreadable(f"The safety filter '{folder.name}' has no weights in safetensors.",
                              "Pickle files are not opened: they could run any program. Get its safetensors version.")
    return found


def _read_classifier(folder: Path, one: Filter, device: torch.device) -> _Classifier:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    safe = {"local_files_only": True, "trust_remote_code": False}
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil", **safe)  # the other one needs torchvision
    model, told = AutoModelForImageClassification.from_pretrained(folder, use_safetensors=True, dtype=torch.float32,
                                                                  output_loading_info=True, **safe)
    _check_whole(folder, told)
    found = _Classifier(folder.name, model, processor, device)
    found.unsafe, found.threshold = unsafe_labels(folder.name, model.config.id2label, one.labels), one.threshold
    return found


def unsafe_labels(name: str, labels: dict[int, str], named: Sequence[str]) -> list[int]:
    """Which outputs of the classifier `name` are unsafe: those whose labels are `named`, or else those known. Raises InvalidRequest where
    there are none."""
    if named:
        index = {str(label).casefold(): number for number, label in labels.items()}
        missing = [label for label in named if label.casefold() not in index]
        found = [index[label.casefold()] for label in named if label.casefold() in index]
    else:
        missing = []
        found = [number for number, label in labels.items() if _is_unsafe(str(label))]
    if missing or not found:
        there = ", ".join(f"'{label}'" for label in list(labels.values())[:20])
        what = f"no label '{missing[0]:.40}'" if missing else "no label that is known to be unsafe"
        raise InvalidRequest(f"The safety filter '{name}' has {what}; its labels are {there:.400}.",
                             "Name those that are unsafe in the setting Unsafe Labels, or choose another filter.")
    return found


def _is_unsafe(label: str) -> bool:
    words = re.findall(r"[a-z]+", label.casefold())
    return bool(UNSAFE.intersection(words)) and words[0] not in _NOT


def _read_checker(folder: Path, device: torch.device) -> _Checker:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessorPil

    # Of a pipeline's folder the processor lies beside the checker.
    place = next((one for one in (folder, folder.parent / "feature_extractor") if (one / _PROCESSOR).is_file()), None)
    if place is None:
        raise ModelUnreadable(f"The safety filter '{folder.name}' lacks its {_PROCESSOR}.", "Put it beside its config.json.")
    processor = CLIPImageProcessorPil.from_pretrained(place, local_files_only=True)
    model, told = StableDiffusionSafetyChecker.from_pretrained(folder, use_safetensors=True, local_files_only=True, dtype=torch.float32,
                                                               output_loading_info=True)
    _check_whole(folder, told)
    return _Checker(folder.name, model, processor, device)


def _check_whole(folder: Path, told: dict[str, Any]) -> None:
    """transformers fills what a file lacks with random numbers, by which nobody could be judged."""
    missing = sorted(told.get("missing_keys") or ()) + [str(one) for one in told.get("mismatched_keys") or ()]
    if missing:
        raise ModelUnreadable(f"The safety filter '{folder.name}' lacks some of its weights.", "Download it again.",
                              ", ".join(missing)[:500])


def _stamp(folder: str) -> tuple:
    """What changes with the filter's files."""
    found = []
    for file in sorted(Path(folder).glob("*")):
        if file.suffix in (".json", ".safetensors"):
            stat = file.stat()
            found.append((file.name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
