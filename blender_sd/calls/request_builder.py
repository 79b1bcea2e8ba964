"""Requests from the keywords of the API: what was left open is filled in, and what cannot be is refused at once."""
from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from ..core.errors import InvalidRequest, ModelUnreadable, SDError, SourceUnusable
from ..core.parts import Axis, Control, Embedding, Lora
from ..core.prompt_choices import LoraTag, embeddings, with_lists, without_loras
from ..core.request import INPAINT, MAKE_SEAMLESS, MAX_SIDE, MIN_SIDE, OUTPAINT, PANEL_SEED, RANDOM_SEED, Request
from ..core.samplers import id_of
from ..library import png, source_copies, wildcards
from ..library.adapters import resolve_file
from ..library.checkpoints import EMBEDDING, IP_ADAPTER, LORA, STARTER, UPSCALER, VAE, VAE_PART, WORDS_PART
from ..library.model_folders import refuse_elsewhere
from ..library.models import ModelInfo
from . import styles
from .runtime import runtime

if TYPE_CHECKING:
    from .. import scene
    from ..session.job import Job

_OF_A_PART = (INPAINT, OUTPAINT, MAKE_SEAMLESS)  # tasks whose prompt may be about a part of the picture
_MAX_EDITS = 24  # of one picture that are followed

ControlInput = tuple[Control, Any]  # a control and what its picture is taken from
# Where results go; None makes new images. Text, since `scene` needs Blender: see `arguments`.
Place: TypeAlias = "scene.Target | Callable[[Job], list] | None"
Axes = Iterable[tuple[str, str | Iterable]]  # what changes along an axis of a grid, and its values


class CommonSettings(TypedDict, total=False):
    """The keywords of every call that paints, with the meaning and defaults that they have in `generate`."""

    negative: str
    seed: int | None
    steps: int | None
    guidance: float | None
    sampler: str | None
    model: str | None
    count: int
    style: str
    loras: Iterable[tuple[str, float]]
    controls: Iterable[ControlInput]
    variation_strength: float
    variation_seed: int
    axes: Axes
    reference: Any
    ip_adapter: str
    ip_adapter_weight: float
    vae: str | None
    prediction: str | None
    zero_snr: str | None
    target: Place
    label: str


class Settings(CommonSettings, total=False):
    """The same with `tiling`, which is an argument of its own in `make_seamless`."""

    tiling: str | None


def request(task: str, info: ModelInfo, prompt: str, size: tuple[int, int], *, model: str, seed: int | None = None,
            steps: int | None = None, guidance: float | None = None, sampler: str | None = None,
            tile: int | None = None, negative: str = "", loras: Iterable[tuple[str, float]] = (),
            axes: Iterable[tuple[str, Iterable]] = (), ip_adapter: str = "", upscaler: str = "",
            vae: str | None = None, prediction: str | None = None, zero_snr: str | None = None,
            **rest: Any) -> Request:
    """Return the request of `task`. What is None is filled in with what suits the model, or the first few-step LoRA
    that is applied; `seed` with a random one.

    LoRA tags in `prompt` are added to `loras` (names or files, and weights), and lists named in the prompts are filled
    in. LoRAs and textual inversions in choices are looked for if one of the pictures has them. `rest`: other fields.
    Raises InvalidRequest, ModelNotFound for an unknown LoRA, IP-Adapter or upscaler.
    """
    seed = random.SystemRandom().randint(0, PANEL_SEED) if seed is None or seed == RANDOM_SEED else seed
    prompt, tags = without_loras(with_lists(_text(prompt, "prompt"), _options, _whole(seed)))
    negative = with_lists(_text(negative, "negative prompt"), _options, _whole(seed))
    tags = [*(LoraTag(name, weight) for name, weight in loras), *tags]
    put_on = [(resolve_file(LORA, tag.name, runtime.folders.model_folders()), tag) for tag in tags]
    suited = next((few for lora, tag in put_on if (tag.weight or tag.text_weight) and (few := lora.few_steps)), info)
    made = Request(
        task=task, prompt=prompt, negative=negative, model=model, width=size[0], height=size[1], seed=seed,
        steps=suited.steps if steps is None else steps,
        guidance=suited.guidance if guidance is None else guidance,
        sampler=id_of(sampler) if sampler else suited.sampler,
        tile=min(max(info.default_width, 64), 4096) if tile is None else tile,
        loras=tuple(Lora(lora.file, tag.weight, tag.text_weight) for lora, tag in put_on),
        ip_adapter=resolve_file(IP_ADAPTER, ip_adapter, runtime.folders.model_folders()).file if ip_adapter else "",
        upscaler=resolve_file(UPSCALER, upscaler, runtime.folders.model_folders()).file if upscaler.strip() else "",
        vae=_vae(info, vae), prediction=info.choices.prediction if prediction is None else prediction,
        zero_snr=info.choices.zero_snr if zero_snr is None else zero_snr,
        axes=tuple(Axis(setting, _values(values)) for setting, values in axes), **rest)
    return _with_named(made)


def _vae(info: ModelInfo, wanted: str | None) -> str:
    """Return the file or folder of the VAE that is `wanted`; None is the one chosen for the model, "" its own. Raise
    ModelUnreadable if the model then lacks a VAE, or its text encoder."""
    folders = runtime.folders.model_folders()
    found = info.choices.vae if wanted is None else resolve_file(VAE, wanted, folders).file if wanted.strip() else ""
    if VAE_PART in info.lacks and not found:
        raise ModelUnreadable(f"The model '{info.name}' has no VAE.",
                              "Choose one for it (Settings › Model), or put a whole model of its family into a model "
                              "folder.")
    if WORDS_PART in info.lacks:
        raise ModelUnreadable(f"The model '{info.name}' has no text encoder.",
                              "Put a whole model of its family into a model folder: its text encoder is taken from "
                              "there.")
    return found


def _whole(seed: Any) -> int:
    return seed if isinstance(seed, int) else 0  # what is no seed, the request refuses


def _with_named(request: Request) -> Request:
    """Return `request` with the files of the LoRAs and textual inversions that its pictures' prompts name. Raises
    ModelNotFound."""
    loras: dict[str, Lora] = {}
    words: dict[str, str] = {}
    pictures = request.pictures if set("{<") & set(request.prompt + request.negative) or request.axes else 1
    for picture in (request.drawn(index) for index in range(pictures)):
        words |= embeddings(f"{picture.prompt} {picture.negative}")
        for tag in without_loras(picture.prompt)[1]:
            if tag.name not in loras:
                loras[tag.name] = Lora(resolve_file(LORA, tag.name, runtime.folders.model_folders()).file, tag=tag.name)
    learnt = tuple(
        Embedding(word,
                  resolve_file(EMBEDDING, name, runtime.folders.model_folders()).file) for word, name in words.items())
    return replace(request, loras=(*request.loras, *loras.values()), embeddings=learnt)


def styled(prompt: str, given: dict[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """Return the prompt and keywords of an order with what the style in `given` says: the prompts in its words, its
    LoRAs beside the others, and its settings where the order leaves them open (missing or None); apart from these its
    width, height and strength, which not every order takes. Raises StyleUnusable, ModelNotFound where its model is not
    here."""
    chosen = {key: value for key, value in given.items() if value is not None}
    name = chosen.pop("style", "")
    if not _text(name, "style").strip():
        return prompt, chosen, {}
    style = styles.find_style(name)
    words, negative = style.words(_text(prompt, "prompt"), _text(chosen.get("negative", ""), "negative prompt"))
    settings = dict(style.settings)
    apart: dict[str, Any] = {key: settings.pop(key) for key in ("width", "height", "strength") if key in settings}
    if "model" in settings and "model" not in chosen:
        settings["model"] = runtime.models.find(settings["model"]).id
    loras = (*chosen.get("loras", ()), *style.loras)
    return words, {**settings, **chosen, "negative": negative, "loras": loras, "style": style.name}, apart


def whole_request(source: Any) -> Callable[[], Request | None]:
    """Return a function, for any thread, that finds the request which painted `source` (an image datablock, the path of
    a PNG) as a whole; None where it is not known.

    What was painted into a picture later (inpainted, outpainted, a seam) has a prompt of its own, which may be about
    that part alone: the copies of the source images in the output folder lead back to the picture before. Raises
    nothing.
    """
    read = runtime.scene.request_reader(source)

    def find() -> Request | None:
        request = known(read)
        for _ in range(_MAX_EDITS):
            if request is None or request.task not in _OF_A_PART or not request.source:
                break
            edit, digest = request, request.source
            request = known(
                lambda: png.request_in(png.read_text(kept_input("source", digest))))  # noqa: B023 (called at once)
            if request is None and edit.task != INPAINT:
                return edit  # its prompt is as much as is known
        return request

    def known(read: Callable[[], Request]) -> Request | None:
        try:
            return read()
        except (SDError, OSError):
            return None

    return find


def loras_of(request: Request, model: str) -> tuple[tuple[str, float], ...]:
    """Return the (file, weight) of each LoRA of `request`; none for another `model`, for which they may not be made."""
    return tuple((lora.file, lora.weight) for lora in request.loras if not lora.tag) if request.model == model else ()


def words_from(source: Any, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the prompt that made `source`, "" where it is not known, and the keywords `given` of an order with that
    picture's negative prompt and LoRAs where they are left open."""
    made = whole_request(source)()
    if made is None:
        return "", given
    model = runtime.models.find(given.get("model") or STARTER).id
    chosen = {key: value for key, value in given.items() if value is not None}
    return made.prompt, {"negative": made.negative, "loras": loras_of(made, model), **chosen}


def _values(given: Any) -> str:
    """Return the values of an axis as the request holds them: text as it is, others in quotes and separated by
    commas."""
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
    """Return the options of the list that a prompt names: a text block's lines, or else a file's. Raises
    InvalidRequest."""
    scene = runtime.scene
    if "*" in name or "?" in name:
        texts = [scene.text_named(key) or "" for key in wildcards.matching(name, scene.text_names())]
        return wildcards.read_lists(name, runtime.folders.model_folders(),
                                    [line for text in texts for line in wildcards.options(text)])
    text = scene.text_named(name)
    options = wildcards.options(text) if text is not None else wildcards.read_list(
        name, runtime.folders.model_folders(), scene.text_names())
    if not options:
        raise InvalidRequest(f"The text block '{name}' is empty.", "Give it one option a line.")
    return options


def margins(width: int, height: int, aspect: tuple[float, float]) -> tuple[int, int, int, int]:
    """Return left, right, top and bottom pixels that bring a picture to `aspect`, width to height. Raises
    InvalidRequest."""
    try:
        across, down = map(float, aspect)
    except (TypeError, ValueError):
        across = down = 0.0
    if not (0 < across < float("inf") and 0 < down < float("inf")):
        raise InvalidRequest("The aspect must be two positive numbers: width and height.")
    wide, high = max(0, round(height * across / down) - width), max(0, round(width * down / across) - height)
    return wide // 2, wide - wide // 2, high // 2, high - high // 2


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return `size`, if a picture can have it. Raises InvalidRequest."""
    try:
        width, height = size
    except (TypeError, ValueError):
        raise InvalidRequest("The size must be two numbers: width and height in pixels.") from None
    checked = replace(Request(), width=width, height=height)  # before rounding, which would turn a 0 into something
    return checked.width, checked.height


def check_source_size(size: tuple[int, int]) -> None:
    """Raise SourceUnusable for a picture too small or too large."""
    if min(size) < MIN_SIDE or max(size) > MAX_SIDE:
        raise SourceUnusable(f"The source image is {size[0]} × {size[1]} pixels.",
                             f"Use one with sides between {MIN_SIDE} and {MAX_SIDE} pixels.")


def check_paths(request: Request) -> None:
    """Raise ModelNotFound where a request as it stands, names a file on another computer."""
    for _, path in request.nets:
        refuse_elsewhere(path, runtime.folders.model_folders())


def kept_input(role: str, digest: str) -> Path:
    """Return the copy that the engine kept of an input picture. Raises SourceUnusable where it is gone, or is another
    picture by now."""
    name = digest.removeprefix("sha256:")
    copies = sorted((runtime.folders.output_folder() / "sources").glob(f"{name}.*")) if name.isalnum() else []
    if not copies:
        raise SourceUnusable(f"The {role} image of these settings is no longer in the output folder.",
                             f"Choose a {role} image.")
    try:
        if source_copies.holds(copies[0], digest):
            return copies[0]
    except OSError:
        pass  # a pipe, or nothing that can be read
    raise SourceUnusable(f"The {role} image of these settings was changed in the output folder.",
                         f"Choose a {role} image.")
