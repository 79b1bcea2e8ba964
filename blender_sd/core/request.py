"""Define the request: frozen and complete. The same request gives the same pixels, wherever it comes from."""
from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .choices import Choices
from .common_settings import MAX_SIDE, MIN_SIDE, CommonSettings
from .declarations import find
from .errors import InvalidRequest
from .names import suggestion
from .parts import Axis, Control, Embedding, Lora
from .prompt_choices import LoraTag, chosen, without_loras
from .regions import Region
from .request_format import FORMAT, upgraded
from .samplers import id_of
from .settings import checked, from_dict, object_field, parts_field, shown
from .tasks import KNOWN, TASKS, Task, TextToImage, task_fields

PANEL_SEED = 2**31 - 1  # Blender's IntProperty is 32-bit signed; seeds that are drawn fit into it
RANDOM_SEED = -1  # as a seed: one that is drawn when the request is made
MAX_PICTURES = 256
_INPUTS = ("source", "mask", "reference")
_MAX_TEXT = 1 << 20  # characters of the text form; ours have a few thousand
_MAX_PROMPT = 1 << 16  # characters that a grid's axis may lengthen it to


@dataclass(frozen=True, kw_only=True)
class Request(CommonSettings):
    """Describe pictures to be made: the settings of all requests, and the task with its own.

    `count` pictures are made with the seeds `seed`, `seed + 1`, … (variation seeds, if there is a variation). With
    `axes`, as many are made for each cell of the grid. Each is the same picture that `single(i)`, a request for one
    picture, gives alone.

    Attributes:
        task: What is made from what.
        model_name: What people call the model.
        model_digest: The content of its files, "sha256:…" (`library.content_digests`); "" while it is not known. With
            it the same model is found on another machine, and a changed one is noticed; the path in `model` only says
            where one machine had it.
        source, mask, reference: The digests "sha256:…" of the input pictures, "" for none. The pictures travel beside
            the request (`messages.Source`), each under its role.
    """

    task: Task = object_field(TextToImage(), Task)
    loras: tuple[Lora, ...] = parts_field(Lora, "LoRAs", "Low-rank additions to the model's weights")
    embeddings: tuple[Embedding, ...] = parts_field(Embedding, "Textual Inversions",
                                                    "Words of their own that the prompts name")
    axes: tuple[Axis, ...] = parts_field(Axis, "Grid",
                                         "Up to two settings that change from picture to picture: across, and down")
    controls: tuple[Control, ...] = parts_field(Control, "Controls", "ControlNets that steer the picture's structure")
    regions: tuple[Region, ...] = parts_field(Region, "Regions", "Parts of the picture with settings of their own")
    model_name: str = ""
    model_digest: str = ""
    source: str = ""
    mask: str = ""
    reference: str = ""

    def __post_init__(self) -> None:
        for name in ("seed", "variation_seed"):
            value = getattr(self, name)
            if type(value) is not bool and value == RANDOM_SEED:
                object.__setattr__(self, name, random.SystemRandom().randint(0, PANEL_SEED))
        checked(self)
        if len(self.axes) > 2 or self.pictures > MAX_PICTURES:
            many = f"{self.pictures} pictures" if len(self.axes) <= 2 else f"{len(self.axes)} axes"
            raise InvalidRequest(f"A grid has at most two axes and {MAX_PICTURES} pictures, not {many}.",
                                 "Take some values out.")
        for index in range(self.cells if self.axes else 0):
            self.cell(index)

    @property
    def cells(self) -> int:
        """The number of cells of the grid; 1 without axes."""
        return math.prod(len(axis.options) for axis in self.axes)

    @property
    def pictures(self) -> int:
        """The number of pictures in all."""
        return self.cells * self.count

    @property
    def final_size(self) -> tuple[int, int]:
        """(width, height) of each finished picture in pixels, after the high-res fix if there is one."""
        scale = self.task.refine_scale if isinstance(self.task, TextToImage) else 1.0
        return min(MAX_SIDE, round(self.width * scale)), min(MAX_SIDE, round(self.height * scale))

    @property
    def first_size(self) -> tuple[int, int]:
        """(width, height) in pixels of what the model paints, before it is enlarged: the request's own size, or less
        where a picture from words has a scale."""
        task, side = self.task, min(self.width, self.height)
        painted = task.scale * task.native if isinstance(task, TextToImage) else 0.0
        if not 0 < painted < side:
            return self.width, self.height
        return (max(MIN_SIDE, round(self.width * painted / side)), max(MIN_SIDE, round(self.height * painted / side)))

    @classmethod
    def of(cls, task: str, **settings: Any) -> Request:
        """Return the request of a task by its name, with common settings and the task's own beside each other.

        Raises:
            InvalidRequest: There is no such task or setting, or a value is of the wrong type or out of range.
        """
        if not isinstance(task, str) or task not in KNOWN:
            raise InvalidRequest(f"There is no task called {shown(task)}.", suggestion(str(task), TASKS))
        return cls(task=KNOWN[task]()).changed(**settings)

    def changed(self, **changes: Any) -> Request:
        """Return the request with settings changed: its own, or its task's (those of the new task, where `changes` has
        one).

        Raises:
            InvalidRequest: Neither has a setting of that name, or a value is of the wrong type or out of range.
        """
        rest = dict(changes)
        task = rest.pop("task", self.task)
        known = task_fields(type(task)) if isinstance(task, Task) else ()
        own = {name: rest.pop(name) for name in known if name in rest}
        for name in rest.keys() - self.__dataclass_fields__.keys():
            raise InvalidRequest(f"There is no setting called '{name:.40}'.",
                                 suggestion(name, (*self.__dataclass_fields__, *known)))
        return dataclasses.replace(self, task=dataclasses.replace(task, **own) if own else task, **rest)

    def cell(self, index: int) -> Request:
        """Return the request of one cell of the grid, counted row by row. An axis of a setting that the task does not
        have changes nothing. Raise InvalidRequest for an impossible value.
        """
        changes: dict[str, Any] = {"axes": ()}
        for axis in self.axes:
            index, at = divmod(index, len(axis.options))
            value = self._on_axis(axis, at)
            if axis.setting in self.__dataclass_fields__ or axis.setting in task_fields(type(self.task)):
                changes[axis.setting] = value
        return self.changed(**changes)

    def _on_axis(self, axis: Axis, at: int) -> Any:
        value, kind = axis.options[at], find(axis.setting).kind
        if axis.setting == "prompt":
            if axis.options[0] not in self.prompt:
                raise InvalidRequest(
                    f"The prompt does not hold '{axis.options[0]:.80}', the first value of the grid's prompt axis.",
                    "Begin the axis with a part of the prompt; it is replaced by each value.")
            longer = self.prompt.count(axis.options[0]) * (len(value) - len(axis.options[0]))
            if len(self.prompt) + longer > max(_MAX_PROMPT, len(self.prompt)):
                raise InvalidRequest("The grid's prompt axis makes the prompt too long.",
                                     "Begin it with a longer part of the prompt.")
            return self.prompt.replace(axis.options[0], value)
        if axis.setting == "sampler":
            return id_of(value)
        convert: dict[str, type] = {"int": int, "float": float}
        try:
            return convert.get(kind, str)(value)
        except ValueError:
            raise InvalidRequest(f"'{value:.40}' on the grid's axis '{axis.setting}' is no number.",
                                 "Separate numbers by commas.") from None

    @property
    def inputs(self) -> dict[str, str]:
        """The known digests of the input pictures by role: "source", "mask", "reference", "control0", …, "region0",
        …."""
        digests = {"source": self.source, "mask": self.mask, "reference": self.reference,
                   **{f"control{index}": control.image for index, control in enumerate(self.controls)},
                   **{f"region{index}": region.mask for index, region in enumerate(self.regions)}}
        return {role: digest for role, digest in digests.items() if digest}

    @property
    def prompts(self) -> tuple[str, ...]:
        """The texts that it is painted from: the prompt, the negative prompt, those of its regions ("" for none), and
        those of its task."""
        return (self.prompt, self.negative, *(region.prompt for region in self.regions), *self.task.prompts)

    def with_prompts(self, prompts: Sequence[str]) -> Request:
        """Return the request with other texts in the places of `prompts`."""
        prompt, negative, *others = prompts
        count = len(self.regions)
        regions = tuple(region if region.prompt == text else dataclasses.replace(region, prompt=text)
                        for region, text in zip(self.regions, others[:count], strict=True))
        return dataclasses.replace(self, prompt=prompt, negative=negative, regions=regions,
                                   task=self.task.with_prompts(others[count:]))

    @property
    def choices(self) -> Choices:
        """What was chosen for the model instead of what its files say."""
        return Choices(self.vae, self.prediction, self.zero_snr)

    @property
    def upscaler(self) -> str:
        """The file or folder of the upscaler that the task uses; "" for none."""
        unused = isinstance(self.task, TextToImage) and self.first_size == self.final_size
        return "" if unused else getattr(self.task, "upscaler", "")

    @property
    def nets(self) -> list[tuple[str, str]]:
        """The nets that take part beside the model: each one's kind, and its file or folder.

        The built-in ControlNet and upscaler are called "starter".
        """
        nets = [("LoRA", lora.file) for lora in self.loras]
        nets += [("ControlNet", control.model) for control in self.controls]
        nets += [("textual inversion", embedding.file) for embedding in self.embeddings]
        nets += [("IP-Adapter", self.ip_adapter), ("upscaler", self.upscaler), ("VAE", self.vae)]
        return [(kind, file) for kind, file in nets if file]

    def with_inputs(self, digests: Mapping[str, str]) -> Request:
        """Return the request with the digests of its input pictures filled in.

        Args:
            digests: The digests by role, as in `inputs`; other roles are passed over.
        """
        controls = tuple(dataclasses.replace(control, image=digests.get(f"control{index}", control.image))
                         for index, control in enumerate(self.controls))
        regions = tuple(dataclasses.replace(region, mask=digests.get(f"region{index}", region.mask))
                        for index, region in enumerate(self.regions))
        plain: dict[str, Any] = {role: digest for role, digest in digests.items() if role in _INPUTS}
        return dataclasses.replace(self, controls=controls, regions=regions, **plain)

    def single(self, index: int) -> Request:
        """Return the request of one picture alone, its choices {a|b} made and the LoRAs of its tags added.

        This is what is written into its PNG.
        """
        drawn = self.drawn(index)
        named = {lora.tag: lora for lora in self.loras if lora.tag}
        if not named:
            return drawn
        prompt, negative, *others = drawn.prompts
        read = [without_loras(text, named) for text in (prompt, *others)]
        loras = [lora for lora in self.loras if not lora.tag]
        loras += [_with_tag(named[tag.name], tag) for _, tags in read for tag in tags]
        (prompt, _), *rest = read
        return dataclasses.replace(drawn.with_prompts((prompt, negative, *(text for text, _ in rest))),
                                   loras=tuple(loras))

    def drawn(self, index: int) -> Request:
        """Return the request of one picture with its choices made; the LoRA tags in them are still in its prompts."""
        cell, number = divmod(index, self.count)
        request = self.cell(cell)
        single = request.changed(**request.task.of_picture(request, number), count=1)
        return single.with_prompts([chosen(text, single.seed) for text in request.prompts])

    def to_json(self) -> str:
        """Return a stable text form that includes the format's number."""
        raw = dataclasses.asdict(self)
        raw["task"] = {"name": self.task.name, **raw["task"]}
        return json.dumps({"format": FORMAT, **raw}, ensure_ascii=False, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Request:
        """Read the text that `to_json` wrote, possibly in a file from somebody else.

        Raises:
            InvalidRequest: `text` is anything else, or a setting is out of range.
        """
        try:
            if len(text) > _MAX_TEXT:
                raise ValueError(f"{len(text)} characters")
            raw = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidRequest("These settings cannot be read.", "The image was not made by this add-on.",
                                 repr(error)) from None
        return cls.from_dict(raw)

    @classmethod
    def from_dict(cls, raw: object) -> Request:
        """Return the request in a decoded JSON object, also of an earlier format. Raise InvalidRequest for anything
        else."""
        raw = upgraded(raw)
        given = raw.pop("task", {})
        name = given.get("name") if isinstance(given, dict) else None
        if not isinstance(name, str) or name not in KNOWN:
            raise InvalidRequest(f"There is no task called {shown(name)}.", "Update the add-on.")
        task = from_dict(KNOWN[name], {key: value for key, value in given.items() if key != "name"})
        return from_dict(cls, {**raw, "task": task})


def _with_tag(lora: Lora, tag: LoraTag) -> Lora:
    return dataclasses.replace(lora, weight=tag.weight, text_weight=tag.text_weight, tag="")


def round_size(width: int, height: int, multiple: int) -> tuple[int, int]:
    """Return the nearest size (width, height) whose sides are positive multiples of `multiple` pixels."""
    def rounded(side: int) -> int:
        return max(multiple, (side + multiple // 2) // multiple * multiple)

    return rounded(width), rounded(height)
