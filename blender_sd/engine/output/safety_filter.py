"""The safety filter: a classifier that checks every finished picture before anybody sees it.

It is an image classifier of transformers (`AutoModelForImageClassification`), or Stable Diffusion's own safety checker,
from a folder that the person or the studio's policy names. A flagged picture is withheld: it is neither written nor
sent, nor is a smaller version of it. Nothing is ever painted unfiltered because a filter is missing or broken: the
request is refused before anything else is loaded.
"""
from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ...core.errors import InvalidRequest, ModelNotFound, ModelUnreadable, PictureWithheld
from ...core.request import Request
from ...library import model_paths
from ...library.policy import Filter, Policy
from ...protocol.messages import EngineConfig, text_of
from ..memory import budget
from ..models import inspection, nets

log = logging.getLogger(__name__)
FILTER_KEY = "blender_sd_filter"  # in a PIL image's `info`: the names of the filters that checked it
UNSAFE = frozenset((
    "nsfw porn pornography pornographic hentai sexy sexual sensual erotic erotica explicit nude nudity naked adult "
    "unsafe gore gory blood bloody violence violent").split())
# A label that starts with one of these names something unsafe, but means the opposite
_NOT = frozenset(("not", "non", "no", "safe"))
_WHAT = "safety filter"
_CHECKER = "StableDiffusionSafetyChecker"
_PROCESSOR = "preprocessor_config.json"
_ANOTHER = "Choose another one in the preferences."


def wanted(policy: Policy, config: EngineConfig) -> tuple[Filter, ...]:
    """Return the filters that are on: the policy's, or else the person's.

    Raises:
        InvalidRequest: The threshold is not above 0 and at most 1.
    """
    if policy.filters or not config.safety_filter:
        return tuple(replace(entry, folder=model_paths.real(entry.folder)) for entry in policy.filters)
    threshold = config.safety_threshold
    if type(threshold) not in (int, float) or not 0 < threshold <= 1:
        raise InvalidRequest(f"The safety filter's threshold must be above 0 and at most 1, not {threshold!r:.20}.")
    labels = tuple(label for part in config.safety_labels.split(",") if (label := part.strip()))
    return (Filter(model_paths.real(config.safety_filter), labels, float(threshold)),)


def is_needed(request: Request, folder: str) -> bool:
    """Return whether pictures of a request must be checked.

    Those of the built-in starter model need not be: it was trained only on procedural textures. That holds as long as
    nothing of another origin is added to it.

    Args:
        request: The request with real paths (`library.model_paths`).
        folder: The real path of the model's folder.
    """
    foreign = request.loras or request.embeddings or request.ip_adapter or os.path.isdir(request.upscaler)
    return not model_paths.is_starter(folder) or bool(foreign) or any(
        control.weight and not model_paths.is_starter_control(control.model) for control in request.controls)


class Guard:
    """Check the pictures of one request; false if no filter is on.

    Attributes:
        name: The filters' names, "" for none.
    """

    def __init__(self, filters: Sequence[_Loaded], count: int) -> None:
        self._filters = filters
        self._count, self._withheld = count, 0
        self.name = ", ".join(loaded.name for loaded in filters)

    def __bool__(self) -> bool:
        return bool(self._filters)

    def passes(self, image: Image.Image) -> bool:
        """Return whether `image` may be seen, and mark it with the filters' names if so."""
        if any(loaded.flags(image.convert("RGB")) for loaded in self._filters):
            self._withheld += 1
            return False
        if self._filters:
            image.info[FILTER_KEY] = self.name
        return True

    def summary(self) -> str:
        """Return what the person should know at the end, "" if nothing was withheld.

        Raises:
            PictureWithheld: All pictures were withheld.
        """
        if not self._withheld:
            return ""
        log.info("the safety filter %s withheld %d of %d pictures", self.name, self._withheld, self._count)
        if self._withheld == self._count:
            what = "The picture was" if self._count == 1 else f"All {self._count} pictures were"
            raise PictureWithheld(f"{what} withheld by the safety filter {self.name}.",
                                  "Try another seed, or other words.")
        verb = "was" if self._withheld == 1 else "were"
        return f"{self._withheld} of {self._count} pictures {verb} withheld by the safety filter {self.name}."


class Filters:
    """Keep the filters of the last request that needed some."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._loaded: dict[tuple, _Loaded] = {}

    def guard(self, wanted: Sequence[Filter], count: int, say: Callable[[str], None]) -> Guard:
        """Return the check for the `count` pictures of a request, with filters loaded as needed.

        Raises:
            ModelNotFound: A filter's folder holds no classifier.
            ModelUnreadable: A filter is broken.
            InvalidRequest: None of a classifier's labels is known to be unsafe, or a named one is missing.
            OutOfMemory: A filter does not fit into memory.
        """
        keys = [(entry, _stamp(entry.folder)) for entry in wanted]
        kept = {key: self._loaded[key] for key in keys if key in self._loaded}
        if wanted:
            self._loaded = kept  # filters of other requests go first, to make room
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
        """Return whether `image` (RGB) must be withheld."""
        with torch.inference_mode():
            return self._judged(self._processor(images=image, return_tensors="pt")["pixel_values"].to(self._device),
                                image)

    def _judged(self, pixels: torch.Tensor, image: Image.Image) -> bool:
        raise NotImplementedError


class _Classifier(_Loaded):
    """An image classifier of transformers.

    Attributes:
        unsafe: Indices of the unsafe outputs.
        threshold: From this certainty on a picture is withheld. Compared with the sum of the unsafe outputs, or with
            each if they are judged separately (several labels).
    """

    unsafe: list[int]
    threshold: float

    def _judged(self, pixels: torch.Tensor, image: Image.Image) -> bool:
        logits = self._model(pixel_values=pixels).logits[0].float()
        if getattr(self._model.config, "problem_type", None) == "multi_label_classification":
            certainty = logits.sigmoid()[self.unsafe].max()
        else:
            certainty = logits.softmax(-1)[self.unsafe].sum()
        return not float(certainty) < self.threshold  # NaN counts as unsafe


class _Checker(_Loaded):
    """Stable Diffusion's own checker, which has a threshold of its own for each concept that it knows."""

    def _judged(self, pixels: torch.Tensor, image: Image.Image) -> bool:
        # The checker blackens `images` where it flags them, and uses them for nothing else.
        _, flagged = self._model(clip_input=pixels, images=[np.zeros((1, 1, 3))])
        return bool(flagged[0])


def _load(filter: Filter, device: torch.device) -> _Loaded:
    folder = Path(filter.folder)
    config = _config(folder)
    try:
        if _CHECKER in (config.get("architectures") or ()):
            return _read_checker(folder, device)
        return _read_classifier(folder, filter, device)
    except (InvalidRequest, ModelUnreadable):
        raise
    except Exception as error:  # transformers raises whatever it runs into
        if budget.is_out_of_memory(error):
            raise budget.translated(error) from error
        raise ModelUnreadable(f"The safety filter '{folder.name}' cannot be loaded.",
                              f"Its folder may be incomplete. {_ANOTHER}",
                              text_of(error)) from error


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = inspection.read_json(folder, "config.json")
    except FileNotFoundError:
        raise ModelNotFound(f"There is no safety filter in {folder}, so nothing is painted.",
                            f"It must hold a config.json of transformers. {_ANOTHER}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnreadable(f"The safety filter's config.json cannot be read: {folder} ({error})", _ANOTHER,
                              repr(error)) from None
    if not any(folder.glob("*.safetensors")):
        raise ModelUnreadable(f"The safety filter '{folder.name}' has no weights in safetensors.",
                              "Pickle files are not opened: they could run any program. Get its safetensors version.")
    return config


def _read_classifier(folder: Path, filter: Filter, device: torch.device) -> _Classifier:
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    model = nets.read(AutoModelForImageClassification, folder, _WHAT, dtype=torch.float32, trust_remote_code=False)
    # The other one needs torchvision
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil", local_files_only=True,
                                                   trust_remote_code=False)
    classifier = _Classifier(folder.name, model, processor, device)
    classifier.unsafe = unsafe_labels(folder.name, model.config.id2label, filter.labels)
    classifier.threshold = filter.threshold
    return classifier


def unsafe_labels(name: str, labels: dict[int, str], named: Sequence[str]) -> list[int]:
    """Return the indices of a classifier's unsafe outputs: those whose labels are `named`, or else those known to be
    unsafe.

    Args:
        name: The classifier's name, for messages.
        labels: Its labels by output.
        named: The labels that the person calls unsafe; may be empty.

    Raises:
        InvalidRequest: A named label is missing, or no label is known to be unsafe.
    """
    if named:
        index = {str(label).casefold(): number for number, label in labels.items()}
        missing = [label for label in named if label.casefold() not in index]
        unsafe = [index[label.casefold()] for label in named if label.casefold() in index]
    else:
        missing = []
        unsafe = [number for number, label in labels.items() if _is_unsafe(str(label))]
    if missing or not unsafe:
        there = ", ".join(f"'{label}'" for label in list(labels.values())[:20])
        what = f"no label '{missing[0]:.40}'" if missing else "no label that is known to be unsafe"
        raise InvalidRequest(f"The safety filter '{name}' has {what}; its labels are {there:.400}.",
                             "Name those that are unsafe in the setting Unsafe Labels, or choose another filter.")
    return unsafe


def _is_unsafe(label: str) -> bool:
    words = re.findall(r"[a-z]+", label.casefold())
    return bool(UNSAFE.intersection(words)) and words[0] not in _NOT


def _read_checker(folder: Path, device: torch.device) -> _Checker:
    from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
    from transformers import CLIPImageProcessorPil

    # In a pipeline's folder the processor lies beside the checker.
    places = (folder, folder.parent / "feature_extractor")
    place = next((place for place in places if (place / _PROCESSOR).is_file()), None)
    if place is None:
        raise ModelUnreadable(f"The safety filter '{folder.name}' lacks its {_PROCESSOR}.",
                              "Put it beside its config.json.")
    model = nets.read(StableDiffusionSafetyChecker, folder, _WHAT, dtype=torch.float32)
    inspection.check(place, _WHAT)
    processor = CLIPImageProcessorPil.from_pretrained(place, local_files_only=True)
    return _Checker(folder.name, model, processor, device)


def _stamp(folder: str) -> tuple:
    """Return a value that changes with the filter's files."""
    stamps = []
    for file in sorted(Path(folder).glob("*")):
        if file.suffix in (".json", ".safetensors"):
            stat = file.stat()
            stamps.append((file.name, stat.st_mtime_ns, stat.st_size))
    return tuple(stamps)
