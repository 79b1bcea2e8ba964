"""Build requests from the keywords of a call: what was left open is filled in, and what cannot be is refused at once.

This is pure: models, styles, files and lists are looked up by an object that the caller passes in. So Blender's calls
and the engine's own build the same request from the same keywords.
"""
from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from . import part_prompts
from .choices import Choices
from .common_settings import MAX_SIDE, CommonSettings
from .declarations import SETTINGS
from .errors import InvalidRequest, ModelUnreadable
from .few_steps import FewSteps
from .names import suggestion
from .nets import EMBEDDING, IP_ADAPTER, LORA, STARTER, UPSCALER, VAE, VAE_PART, WORDS_PART
from .parts import Axis, Embedding, Lora
from .prompt_choices import LoraTag, embeddings, with_lists, without_loras
from .request import PANEL_SEED, RANDOM_SEED, Request, round_size
from .regions import Region
from .samplers import id_of
from .settings import STYLE, plain, shown
from .style_format import Style
from .tasks import KNOWN, TEXT_TO_IMAGE, TextToImage, task_fields

PARTS = ("loras", "axes", "controls", "regions")  # keywords that a request holds in another form
_FILLED = ("steps", "guidance", "sampler")  # settings that a model, or a few-step LoRA, has a value of its own for
_SIZE = ("width", "height")
_TEXTS = {declared.name for declared in SETTINGS if declared.kind == "str"}
SIDES = ("left", "right", "top", "bottom")  # of a picture that grows


class Model(Protocol):
    """What a request needs to know of a model; `library.models.ModelInfo` in fact."""

    id: str
    name: str
    default_width: int
    default_height: int
    steps: int
    guidance: float
    sampler: str
    multiple: int
    scale: float
    upscaler: str
    lacks: tuple[str, ...]
    choices: Choices


class NetFile(Protocol):
    """A file that was looked up by its name."""

    @property
    def file(self) -> str:
        """Its path."""

    @property
    def few_steps(self) -> FewSteps | None:
        """The kind of few-step LoRA that it is, or None."""


class LookUps(Protocol):
    """Find what keywords name. Every method raises SDError where there is no such thing."""

    def model(self, name: str) -> Any:
        """Return the `Model` of that name, id or path."""

    def digest(self, model: Any) -> str:
        """Return the digest of a model's content, "" where it is not known yet. Reads no weights."""

    def style(self, name: str) -> Style:
        """Return the style of that name."""

    def file(self, kind: str, name: str) -> NetFile:
        """Return the file of a net: LORA, IP_ADAPTER, EMBEDDING, UPSCALER or VAE."""

    def options(self, name: str) -> list[str]:
        """Return the options of the list that a prompt names."""


@dataclass(frozen=True)
class Built:
    """A whole request, and the model that paints it.

    Attributes:
        request: The request; where the call gave no size, of the model's (or the style's).
        model: What was looked up for it.
        notes: What the person should know.
    """

    request: Request
    model: Any
    notes: tuple[str, ...] = ()


def build(task: str, prompt: str, keywords: Mapping[str, Any], look_ups: LookUps) -> Built:
    """Return the request of `task` for a call's keywords.

    What is missing or None is the task's own default, or else taken from the style, or else from what suits the model
    or the first few-step LoRA that counts, or else from the setting's default; `seed` is drawn, and so is the variation
    seed of a task that leans towards it by itself. LoRA tags in `prompt` are added to `loras`, and lists
    named in the prompts are filled in. LoRAs and textual inversions in choices are looked up if one of the pictures
    has them.

    Args:
        task: The name of one of `tasks.KNOWN`.
        prompt: What the picture should show.
        keywords: The settings of all requests and of the task, by their names; `loras`: pairs of a name or file and a
            weight; `axes`: pairs of a setting and its values; `controls`: `Control`s; `regions`: `Region`s, before
            those of the style.
        look_ups: Finds what the keywords name.

    Raises:
        InvalidRequest: There is no such keyword for the task, or a value cannot be used.
        SDError: A style, model, file or list is not there, or cannot be used.
    """
    check_names(task, keywords)
    given = {**KNOWN[task].defaults, **{name: plain(value) for name, value in keywords.items() if value is not None}}
    for name in _TEXTS & given.keys():
        _text(given[name], name)
    prompt, given = _in_style(task, prompt, given, look_ups)
    model = look_ups.model(given.pop("model", STARTER))
    seed = given.pop("seed", RANDOM_SEED)
    if type(seed) is not bool and seed == RANDOM_SEED:
        seed = random.SystemRandom().randint(0, PANEL_SEED)
    if "variation_strength" in KNOWN[task].sets:
        given.setdefault("variation_seed", RANDOM_SEED)
    whole = seed if isinstance(seed, int) else 0  # what is no seed, the request refuses
    words, tags = without_loras(with_lists(_text(prompt, "prompt"), look_ups.options, whole))
    negative = with_lists(_text(given.pop("negative", ""), "negative prompt"), look_ups.options, whole)
    regions, tags_there = _regions(task, given.pop("regions", ()), lambda text: with_lists(
        text, look_ups.options, whole))
    tags_there += _parts(given, lambda text: with_lists(text, look_ups.options, whole))
    tags = [*(LoraTag(name, weight) for name, weight in _pairs(given.pop("loras", ()), "loras")), *tags, *tags_there]
    put_on = [(look_ups.file(LORA, tag.name), tag) for tag in tags]
    suited = next((few for lora, tag in put_on if (tag.weight or tag.text_weight) and (few := lora.few_steps)), model)
    filled: dict[str, Any] = {name: getattr(suited, name) for name in _FILLED}
    filled |= {"width": model.default_width, "height": model.default_height,
               "tile": min(max(model.default_width, 64), 4096),
               "native": min(model.default_width, model.default_height), "scale": model.scale,
               "upscaler": model.upscaler,
               "prediction": model.choices.prediction, "zero_snr": model.choices.zero_snr}
    filled = {name: value for name, value in filled.items() if name in _known(task)}
    filled |= {name: given.pop(name) for name in list(given) if name not in PARTS}
    filled["vae"] = _vae(model, filled.get("vae"), look_ups)
    filled["sampler"] = id_of(filled["sampler"])
    for name, kind in (("ip_adapter", IP_ADAPTER), ("upscaler", UPSCALER)):
        if str(filled.get(name, "")).strip():
            filled[name] = look_ups.file(kind, filled[name]).file
    made = Request.of(task, **{
        **filled, "prompt": words, "negative": negative, "model": model.id, "seed": seed,
        "model_name": model.name, "model_digest": look_ups.digest(model),
        "loras": tuple(Lora(lora.file, tag.weight, tag.text_weight) for lora, tag in put_on),
        "axes": tuple(Axis(name, _values(values)) for name, values in _pairs(given.pop("axes", ()), "axes")),
        "controls": tuple(given.pop("controls", ())), "regions": regions})
    made, notes = _rounded(made, model)
    return Built(_with_named(_without_idle(made), look_ups), model, notes)


def check_names(task: str, keywords: Iterable[str], others: Iterable[str] = ()) -> None:
    """Raise InvalidRequest for a keyword that is neither a setting of the task nor one of `others`, with the closest
    one that is."""
    known = (*_known(task), *others)
    for name in keywords:
        if name not in known:
            raise InvalidRequest(f"There is no setting called '{name}'.", suggestion(name, known))


def check_reference(reference: Any, keywords: Mapping[str, Any]) -> None:
    """Raise InvalidRequest where only one of a reference image and the IP-Adapter that reads it is given."""
    if (reference is None) != (not keywords.get("ip_adapter")):
        raise InvalidRequest("A reference image and an IP-Adapter that reads it go together; one of them is missing.",
                             "Give both `reference` and `ip_adapter`, or neither.")


def checked_size(size: Any) -> tuple[int, int]:
    """Return `size`, if a picture can have it. Raise InvalidRequest."""
    try:
        width, height = size
    except (TypeError, ValueError):
        raise InvalidRequest("The size must be two numbers: width and height in pixels.") from None
    checked = Request(width=width, height=height)  # before rounding, which would turn a 0 into something
    return checked.width, checked.height


def checked_scale(scale: Any) -> float:
    """Return `scale`, if a picture can be enlarged or reduced by it. Raise InvalidRequest."""
    if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 < scale <= MAX_SIDE:
        raise InvalidRequest(f"The scale must be a number above 0, not {shown(scale)}.")
    return scale


def checked_seam(tiling: str) -> str:
    """Return `tiling`, if there is an axis along which a picture is to repeat. Raise InvalidRequest."""
    if tiling == "none":
        raise InvalidRequest("No axis was chosen along which the texture is to repeat.", "Set Tiling to X, Y or Both.")
    return tiling


def checked_aspect(aspect: Any) -> tuple[float, float]:
    """Return `aspect`, width and height of a shape, as numbers. Raise InvalidRequest for anything else."""
    try:
        across, down = map(float, aspect)
    except (TypeError, ValueError):
        across = down = 0.0
    if not (0 < across < float("inf") and 0 < down < float("inf")):
        raise InvalidRequest("The aspect must be two positive numbers: width and height.")
    return across, down


def growth(width: int, height: int, keywords: Mapping[str, Any], aspect: Any = None) -> dict[str, int]:
    """Return by how many pixels a picture grows on each side: "left", "right", "top" and "bottom".

    Args:
        width, height: The picture's size in pixels.
        keywords: Hold the sides; what is missing or None is 0.
        aspect: Width and height of the shape to reach instead, half of the growth on each side; None for the sides.

    Raises:
        InvalidRequest: It does not grow at all, or the aspect is no shape.
    """
    if aspect is None:
        grown = {side: keywords.get(side) or 0 for side in SIDES}
    else:
        across, down = checked_aspect(aspect)
        wide, high = max(0, round(height * across / down) - width), max(0, round(width * down / across) - height)
        grown = {"left": wide // 2, "right": wide - wide // 2, "top": high // 2, "bottom": high - high // 2}
    if not any(grown.values()):
        raise InvalidRequest("There is nothing to add to the picture.",
                             "Say by how many pixels it is to grow, or choose another aspect.")
    return grown


def _known(task: str) -> tuple[str, ...]:
    common = (name for name in CommonSettings.__dataclass_fields__ if name not in KNOWN[task].sets)
    return (*common, *task_fields(task), *(part for part in PARTS if part != "regions" or KNOWN[task].regional))


def _in_style(task: str, prompt: str, given: dict[str, Any], look_ups: LookUps) -> tuple[str, dict[str, Any]]:
    """Return the prompt in the words of the style that the keywords name, and the keywords with its LoRAs beside the
    others and its settings where they are left open.

    A size is a style's to choose only for a task without a source.
    """
    name = given.pop("style", "")
    if not _text(name, "style").strip():
        return prompt, given
    style = look_ups.style(name)
    words, negative = style.words(_text(prompt, "prompt"), _text(given.get("negative", ""), "negative prompt"))
    takes = {declared.name for declared in SETTINGS if STYLE in declared.setting.uses and declared.task in ("", task)}
    over = bool(KNOWN[task].needs) or KNOWN[task].of_frames
    if over:
        takes -= set(_SIZE)
    settings = {key: value for key, value in style.settings.items() if key in takes}
    more: dict[str, Any] = {"loras": (*_pairs(given.get("loras", ()), "loras"), *style.loras)}
    if KNOWN[task].regional:
        # things of a scene are in no picture that is painted from words alone
        regions = (*given.get("regions", ()), *(style.regions if over else ()))
        more["regions"] = [replace(region, prompt=style.words(region.prompt)[0]) if region.prompt else region
                           for region in regions]
    if given.get("parts"):
        more["parts"] = part_prompts.reworded(given["parts"], lambda text: style.words(text)[0])
    return words, {**settings, **given, **more, "negative": negative, "style": style.name}


def _regions(task: str, given: Any, with_options: Callable[[str], str]) -> tuple[tuple[Region, ...], list[LoraTag]]:
    """Return the regions of a call with the lists in their prompts filled in, and the LoRA tags of these prompts.

    Raises:
        InvalidRequest: One is to keep what no source has.
    """
    regions, tags = [], []
    for region in given:
        if KNOWN[task].call == TEXT_TO_IMAGE and (region.keep or region.strength is not None):
            raise InvalidRequest("A region can be kept, or have a strength, only where there is a source picture.",
                                 "Give it a prompt instead, or restyle a picture.")
        text, more = without_loras(with_options(region.prompt))
        regions.append(replace(region, prompt=text))
        tags += more
    return tuple(regions), tags


def _parts(given: dict[str, Any], with_options: Callable[[str], str]) -> list[LoraTag]:
    """Fill in the lists in the prompts of an object's parts, and return the LoRA tags of these prompts."""
    tags: list[LoraTag] = []

    def read(text: str) -> str:
        text, more = without_loras(with_options(text))
        tags.extend(more)
        return text

    if given.get("parts"):
        given["parts"] = part_prompts.reworded(given["parts"], read)
    return tags


def _vae(model: Model, wanted: str | None, look_ups: LookUps) -> str:
    """Return the file or folder of the VAE that is `wanted`; None is the one chosen for the model, "" its own. Raise
    ModelUnreadable if the model then lacks a VAE, or its text encoder."""
    chosen = model.choices.vae if wanted is None else look_ups.file(VAE, wanted).file if wanted.strip() else ""
    if VAE_PART in model.lacks and not chosen:
        raise ModelUnreadable(f"The model '{model.name}' has no VAE.",
                              "Choose one for it (Settings › Model), or put a whole model of its family into a model "
                              "folder.")
    if WORDS_PART in model.lacks:
        raise ModelUnreadable(f"The model '{model.name}' has no text encoder.",
                              "Put a whole model of its family into a model folder: its text encoder is taken from "
                              "there.")
    return chosen


def _rounded(request: Request, model: Model) -> tuple[Request, tuple[str, ...]]:
    """Return the request in a size that the model can paint, and a note if that is another one. What is painted over a
    picture is padded instead."""
    width, height = round_size(request.width, request.height, model.multiple)
    if request.task.needs or (width, height) == (request.width, request.height):
        return request, ()
    return request.changed(width=width, height=height), (
        f"The size {request.width} × {request.height} was rounded to {width} × {height}, which this model can paint.",)


def _without_idle(request: Request) -> Request:
    """Return `request` without what would have nothing to do: an upscaler where nothing is enlarged, and the model's
    native size without a scale."""
    if not isinstance(request.task, TextToImage):
        return request
    return request.changed(upscaler=request.upscaler, native=request.task.native if request.task.scale else 0)


def _with_named(request: Request, look_ups: LookUps) -> Request:
    """Return `request` with the files of the LoRAs and textual inversions that its pictures' prompts name."""
    loras: dict[str, Lora] = {}
    words: dict[str, str] = {}
    pictures = request.pictures if set("{<") & set("".join(request.prompts)) or request.axes else 1
    for picture in (request.drawn(index) for index in range(pictures)):
        words |= embeddings(" ".join(picture.prompts))
        prompt, _, *others = picture.prompts
        for tag in (tag for text in (prompt, *others) for tag in without_loras(text)[1]):
            if tag.name not in loras:
                loras[tag.name] = Lora(look_ups.file(LORA, tag.name).file, tag=tag.name)
    learnt = tuple(Embedding(word, look_ups.file(EMBEDDING, name).file) for word, name in words.items())
    return replace(request, loras=(*request.loras, *loras.values()), embeddings=learnt)


def _values(given: Any) -> str:
    """Return the values of an axis as the request holds them: text as it is, others in quotes and separated by
    commas."""
    if isinstance(given, str):
        return given
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(list(given))
    return line.getvalue()


def _pairs(given: Any, what: str) -> list[tuple[Any, Any]]:
    try:
        return [(first, second) for first, second in given]
    except (TypeError, ValueError):
        raise InvalidRequest(f"{what} must be a list of pairs, not {shown(given)}.") from None


def _text(given: Any, what: str) -> str:
    if not isinstance(given, str):
        raise InvalidRequest(f"The {what} must be text, not {shown(given)}.")
    return given
