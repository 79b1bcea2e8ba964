"""Requests from the keywords of the API: what was left open is filled in, and what cannot be is refused at once."""
from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from . import catalogue, config, scene, stylebook
from .protocol import wording
from .protocol.checkpoints import EMBEDDING, IP_ADAPTER, LORA, UPSCALER
from .protocol.errors import InvalidRequest, SourceUnusable
from .protocol.parts import Axis, Control, Embedding, Lora
from .protocol.request import MAX_SEED, MAX_SIDE, MIN_SIDE, Request
from .session import wildcards
from .session.folders import refuse_elsewhere
from .session.job import Job
from .session.library import ModelInfo
from .session.named_files import resolve_file


Steer = tuple[Control, Any]  # a control and what its picture is taken from
Place = scene.Target | Callable[[Job], list] | None  # where results go; None makes new images
Axes = Iterable[tuple[str, str | Iterable]]  # what changes along an axis of a grid, and its values


class Settings(TypedDict, total=False):
    """The keywords that every order takes, with the meaning and defaults that they have in `generate`."""

    negative: str
    seed: int | None
    steps: int | None
    guidance: float | None
    sampler: str | None
    model: str | None
    count: int
    tiling: str | None
    style: str
    loras: Iterable[tuple[str, float]]
    controls: Iterable[Steer]
    variation_strength: float
    variation_seed: int
    axes: Axes
    reference: Any
    ip_adapter: str
    ip_adapter_weight: float
    target: Place
    label: str


def request(task: str, info: ModelInfo, prompt: str, size: tuple[int, int], *, model: str, seed: int | None = None,
            steps: int | None = None, guidance: float | None = None, sampler: str | None = None, tile: int | None = None,
            negative: str = "", loras: Iterable[tuple[str, float]] = (), axes: Iterable[tuple[str, Iterable]] = (), ip_adapter: str = "",
            upscaler: str = "", **rest: Any) -> Request:
    """The request of `task`, what is None filled in with what suits the model, or the first few-step LoRA among those that are put
    on (`seed`: a random one). LoRA tags in `prompt` are added to `loras` (names or files, and weights), lists named in the prompts are
    filled in. `rest`: other fields. Raises InvalidRequest, ModelNotFound for an unknown LoRA, IP-Adapter or upscaler."""
    prompt, tags = wording.without_loras(wording.with_lists(_text(prompt, "prompt"), _options))
    negative = wording.with_lists(_text(negative, "negative prompt"), _options)
    put_on = [(resolve_file(LORA, name, config.model_folders()), weight) for name, weight in (*loras, *tags)]
    suited = next((few for lora, weight in put_on if weight and (few := lora.few_steps)), info)
    words = dict(wording.embeddings(f"{prompt} {negative}"))
    return Request(
        task=task, prompt=prompt, negative=negative,
        embeddings=tuple(Embedding(word, resolve_file(EMBEDDING, name, config.model_folders()).file) for word, name in words.items()),
        model=model, width=size[0], height=size[1],
        seed=random.SystemRandom().randint(0, MAX_SEED) if seed is None else seed,
        steps=suited.steps if steps is None else steps,
        guidance=suited.guidance if guidance is None else guidance,
        sampler=sampler or suited.sampler,
        tile=min(max(info.default_width, 64), 4096) if tile is None else tile,
        loras=tuple(Lora(lora.file, weight) for lora, weight in put_on),
        ip_adapter=resolve_file(IP_ADAPTER, ip_adapter, config.model_folders()).file if ip_adapter else "",
        upscaler=resolve_file(UPSCALER, upscaler, config.model_folders()).file if upscaler.strip() else "",
        axes=tuple(Axis(setting, _values(values)) for setting, values in axes), **rest)


def styled(prompt: str, given: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The prompt and keywords of an order with what the style in `given` says: the prompts in its words, its LoRAs beside the others, and
    its settings where the order leaves them open (missing or None); apart from these its width, height and strength, which not every
    order takes. Raises StyleUnusable, ModelNotFound where its model is not here."""
    said = {key: value for key, value in given.items() if value is not None}
    name = said.pop("style", "")
    if not _text(name, "style").strip():
        return prompt, said, {}
    style = stylebook.find_style(name)
    words, negative = style.words(_text(prompt, "prompt"), _text(said.get("negative", ""), "negative prompt"))
    settings = dict(style.settings)
    apart = {key: settings.pop(key) for key in ("width", "height", "strength") if key in settings}
    if "model" in settings and "model" not in said:
        settings["model"] = catalogue.find_model(settings["model"]).id
    loras = (*said.get("loras", ()), *style.loras)
    return words, {**settings, **said, "negative": negative, "loras": loras, "style": style.name}, apart


def _values(given: Any) -> str:
    """The values of an axis as the request holds them: text as it is, others in quotes and separated by commas."""
    if isinstance(given, str):
        return given
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(list(given))
    return line.getvalue()


def _text(given: Any, what: str) -> str:
    if not isinstance(given, str):
        raise InvalidRequest(f"The {what} must be text, not {given!r:.40}.")
    return given


def _options(name: str) -> list[str]:
    """The options of the list that a prompt names: a text block's lines, or else a file's. Raises InvalidRequest."""
    text = scene.text_named(name)
    found = wildcards.options(text) if text is not None else wildcards.read_list(name, config.model_folders(), scene.text_names())
    if not found:
        raise InvalidRequest(f"The text block '{name}' is empty.", "Give it one option a line.")
    return found


def margins(width: int, height: int, aspect: tuple[float, float]) -> tuple[int, int, int, int]:
    """Left, right, top and bottom pixels that bring a picture to `aspect`, width to height. Raises InvalidRequest."""
    try:
        across, down = map(float, aspect)
    except (TypeError, ValueError):
        across = down = 0.0
    if not (0 < across < float("inf") and 0 < down < float("inf")):
        raise InvalidRequest("The aspect must be two positive numbers: width and height.")
    wide, high = max(0, round(height * across / down) - width), max(0, round(width * down / across) - height)
    return wide // 2, wide - wide // 2, high // 2, high - high // 2


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """`size`, if a picture can have it. Raises InvalidRequest."""
    try:
        width, height = size
    except (TypeError, ValueError):
        raise InvalidRequest("The size must be two numbers: width and height in pixels.") from None
    checked = replace(Request(), width=width, height=height)  # before rounding, which would turn a 0 into something
    return checked.width, checked.height


def check_source_size(size: tuple[int, int]) -> None:
    """Raises SourceUnusable for a picture too small or too large."""
    if min(size) < MIN_SIDE or max(size) > MAX_SIDE:
        raise SourceUnusable(f"The source image is {size[0]} × {size[1]} pixels.",
                             f"Use one with sides between {MIN_SIDE} and {MAX_SIDE} pixels.")


def check_paths(request: Request) -> None:
    """Raises ModelNotFound where a request as it stands, which may be a stranger's, names a file on another computer."""
    for _, path in request.nets:
        refuse_elsewhere(path, config.model_folders())


def kept_input(role: str, digest: str) -> Path:
    """The copy that the engine kept of an input picture. Raises SourceUnusable where it is gone."""
    digest = digest.removeprefix("sha256:")
    kept = sorted((config.output_folder() / "sources").glob(f"{digest}.*")) if digest.isalnum() else []
    if not kept:
        raise SourceUnusable(f"The {role} image of these settings is no longer in the output folder.", f"Choose a {role} image.")
    return kept[0]
