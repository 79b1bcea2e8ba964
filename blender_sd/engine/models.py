"""Models in memory: loaded from folders, kept within a budget, shared by all tasks."""
from __future__ import annotations

import gc
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import diffusers
import torch
import transformers

from ..protocol import families, rungs
from ..protocol.errors import InvalidRequest, ModelUnreadable, OutOfMemory, SDError
from ..protocol.families import Family
from ..protocol.messages import text_of
from . import ladder, memory, single_file, vision
from .devices import Device
from .folders import Folder

log = logging.getLogger(__name__)
Check = Callable[[], None]
Say = Callable[[str], None]
_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}


class Model:
    """One loaded model. All tasks' pipelines share its parts; `own_scheduler` is never used itself, only copied."""

    def __init__(self, folder: Folder, base: Any, device: Device, dtype: torch.dtype) -> None:
        self.folder = folder
        self.name = folder.name
        self.base = base
        self.device = device
        self.dtype = dtype
        self.own_scheduler = base.scheduler
        self.family = _family(base)
        self.controlnets: OrderedDict[tuple, torch.nn.Module] = OrderedDict()  # loaded beside it (`controls`), least recently used first
        self.rung = rungs.FULL  # where its weights are (`ladder.settle`)
        self.set_up = False  # whether `speed.set_up` has been there, and what it has switched on:
        self.attention = ""
        self.compiled = False
        self.lowered = False  # whether memory ran out on a faster rung
        self.loras: tuple = ()  # what `loras.put_on` has put on
        self.embeddings: tuple = ()  # what `embeddings.put_on` has added
        self.ip_adapter: tuple = ()  # what `reference.put_on` has put on
        self.vae_needs_fp32 = False  # learned when its half-precision VAE gave NaN once
        self.preview: Any = None  # previews.Preview, made when first needed
        self._pipes: dict[tuple, Any] = {}

    @property
    def size(self) -> int:
        """Bytes that its weights take, those of its ControlNets included."""
        modules = (*self.modules(), *self.controlnets.values())
        return sum(part.numel() * part.element_size() for module in modules for part in module.parameters())

    def modules(self) -> list[torch.nn.Module]:
        return [part for part in self.base.components.values() if isinstance(part, torch.nn.Module)]

    def pipe(self, task: str, controlnets: Sequence[torch.nn.Module] = ()) -> Any:
        """The pipeline that does `task` (`protocol.request.TASKS`) over the same weights, steered by `controlnets`, all of one
        class. Raises InvalidRequest where the model's family has none."""
        net = type(controlnets[0]).__name__ if controlnets else None
        refused = self.family.refusal(task, net)
        if refused:
            raise InvalidRequest(refused, f"Choose another model than '{self.name}'.")
        call = families.CALLS[task]
        name = self.family.pipelines[call] if net is None else self.family.controls[net][call]
        key = (name, *map(id, controlnets))
        if key not in self._pipes:
            for other in [other for other in self._pipes if controlnets and len(other) > 1]:
                del self._pipes[other]  # it would keep ControlNets alive that were dropped
            self._pipes[key] = self._made(getattr(diffusers, name), controlnets)
        return self._pipes[key]

    def _made(self, cls: type, controlnets: Sequence[torch.nn.Module]) -> Any:
        """A pipeline of `cls` over the model's parts, with what the model's index sets."""
        parts, options = cls._get_signature_keys(cls)
        given = {name: part for name, part in self.base.components.items() if name in parts}
        if self.ip_adapter:
            given["image_encoder"] = None  # `reference` reads with the base's, which it takes off again
        given |= {name: value for name, value in self.base.config.items() if name in options}
        if controlnets:
            given["controlnet"] = list(controlnets) if len(controlnets) > 1 else controlnets[0]
        pipe = cls(**given)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @property
    def denoiser(self) -> Any:
        return getattr(self.base, "unet", None) or getattr(self.base, "transformer", None)

    @property
    def is_transformer(self) -> bool:
        return getattr(self.base, "unet", None) is None

    @property
    def vae_scale(self) -> int:
        """Pixels per latent pixel and side."""
        return int(getattr(self.base, "vae_scale_factor", 8))

    @property
    def multiple(self) -> int:
        """Pixels of which both sides of a picture must be multiples."""
        scale = self.vae_scale
        if not self.is_transformer:
            return math.lcm(8, scale)  # 8 is demanded by diffusers' UNet pipelines whatever the VAE
        patch = getattr(getattr(self.denoiser, "config", None), "patch_size", 1)
        return scale if scale >= 16 else scale * max(2, patch if isinstance(patch, int) else 2)

    @property
    def default_size(self) -> tuple[int, int]:
        """Width and height in pixels that the model was trained for."""
        side = getattr(getattr(self.denoiser, "config", None), "sample_size", None)
        if not isinstance(side, int):
            return self.family.side, self.family.side
        pixels = max(self.multiple, side * self.vae_scale // self.multiple * self.multiple)
        return pixels, pixels


class Library:
    """The models that are loaded, the least recently used going first when `budget` (bytes) is exceeded. `memory_use`: the
    rung to begin at (`ladder.choose`). Not thread-safe: one thread at a time uses an engine."""

    def __init__(self, device: Device, budget: int, memory_use: str = "auto") -> None:
        self.device = device
        self.memory_use = memory_use
        self.budget = budget
        self._models: OrderedDict[tuple, Model] = OrderedDict()

    def find(self, folder: Folder) -> Model | None:
        """The model of `folder` if it is loaded and its files have not changed since; marks it as used. One that was loaded
        while memory was short is forgotten once there is enough to load it on a faster rung."""
        key = self._key(folder)
        model = self._models.get(key)
        if model is not None and self._could_be_faster(model):
            log.info("dropping %s, which was loaded while memory was short", self._models.pop(key).name)
            model = None
            self._collect()
        if model is not None:
            self._models.move_to_end(key)
        return model

    def _could_be_faster(self, model: Model) -> bool:
        if model.lowered or model.rung in (rungs.FULL, rungs.TILES):
            return False
        held = model.size if self.device.kind == "cpu" else 0  # a card holds nothing of a model that waits in RAM
        try:
            found = ladder.choose(self.device, _bytes(model.folder, model.dtype), self.memory_use, held)
        except OutOfMemory:
            return False
        return list(rungs.RUNGS).index(found) < list(rungs.RUNGS).index(model.rung)

    def load(self, folder: Folder, say: Say, check: Check) -> Model:
        """Loads `folder`; `say` hears what is being read, `check` may raise to break off between the parts. Raises
        ModelUnreadable, OutOfMemory, or what `check` raises; then nothing of the model stays in memory."""
        transformer = "unet" not in folder.components
        dtype = self.device.dtype(transformer, folder.fp32_bytes)
        self._make_room(sum(_bytes(folder, dtype)))
        rung = ladder.choose(self.device, _bytes(folder, dtype), self.memory_use)
        try:
            model = Model(folder, _read(folder, dtype, say, check, rung), self.device, dtype)
            check()
            for part in model.modules():
                self.device.lay_out(part)
            ladder.settle(model, rung)
        except SDError:
            self._collect()
            raise
        except Exception as error:
            self._collect()
            if memory.is_out_of_memory(error):
                raise memory.translated(error) from error
            raise ModelUnreadable(f"The model '{folder.name}' cannot be loaded.", "Its folder may be incomplete: download it again.",
                                  text_of(error)) from error
        self._models[self._key(folder)] = model
        log.info("loaded %s: %.0f MB, %s on %s", folder.path, model.size / 1e6, dtype, self.device.torch)
        return model

    def drop(self, model: Model) -> None:
        """Forgets `model`: it is read anew when it is wanted again."""
        self._models = OrderedDict((key, one) for key, one in self._models.items() if one is not model)
        self._collect()

    def drop_others(self, kept: Model) -> None:
        """Forgets every model but `kept`, where memory is short."""
        self._models = OrderedDict((key, model) for key, model in self._models.items() if model is kept)
        self._collect()

    def clear(self) -> None:
        """Forgets every model and frees the device's memory."""
        self._models.clear()
        self._collect()

    def loaded(self) -> list[str]:
        """The names of the loaded models, the most recently used last."""
        return [model.name for model in self._models.values()]

    def _make_room(self, needed: int) -> None:
        while self._models and (self._size() + needed > self.budget or needed > self.device.free_bytes()):
            log.info("dropping %s to make room", self._models.popitem(last=False)[1].name)
            self._collect()

    def _size(self) -> int:
        return sum(model.size for model in self._models.values())

    def _collect(self) -> None:
        gc.collect()
        self.device.release()

    @staticmethod
    def _key(folder: Folder) -> tuple:
        return str(folder.path.resolve()), folder.stamp


def _family(base: Any) -> Family:
    configs = {name: getattr(getattr(base, name, None), "config", None) for name in ("unet", "transformer")}
    return families.family_of(type(base).__name__, **configs, distilled=bool(base.config.get("is_distilled")),
                              scheduler={**base.scheduler.config, "_class_name": type(base.scheduler).__name__})


def _bytes(folder: Folder, dtype: torch.dtype) -> list[int]:
    """What each part's weights take."""
    return [size * dtype.itemsize // 4 for size in folder.fp32_parts]


def _read(folder: Folder, dtype: torch.dtype, say: Say, check: Check, rung: str) -> Any:
    """The pipeline of `folder`, in CPU memory, with weights as `rung` wants them. Heavy parts are read one by one, so that
    the reading can be broken off."""
    place = folder.borrowed or folder.path
    if place.is_file():
        say(f"Loading {folder.name}")
        pipe = single_file.read(folder.path, dtype)
        ladder.cast_while_reading("unet", pipe.unet, rung, dtype)
        return pipe
    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    if folder.variant:
        options["variant"] = folder.variant
    parts: dict[str, Any] = dict.fromkeys(folder.absent)  # said aloud: some families do not count these as optional
    for name, (library, class_name) in folder.components.items():
        cls = getattr(_LIBRARIES.get(library), class_name, None)
        if not isinstance(cls, type) or not issubclass(cls, torch.nn.Module):
            continue  # tokenizers, schedulers and the like are quick: the pipeline reads them itself
        check()
        say(f"Loading {folder.name}: {name.replace('_', ' ')}")
        if folder.borrowed and name == single_file.PART:
            parts[name] = single_file.read_part(folder.path, cls, place, dtype)
        else:
            parts[name] = cls.from_pretrained(place, subfolder=name, dtype=dtype, **options).eval()
        ladder.cast_while_reading(name, parts[name], rung, dtype)
    check()
    readers = vision.of(place, folder.components)
    pipe = diffusers.DiffusionPipeline.from_pretrained(str(place), dtype=dtype, **options, **parts, **dict.fromkeys(readers))
    pipe.register_modules(**readers)
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module) and any(weight.is_meta for weight in part.parameters()):
            raise ModelUnreadable(f"The model's part '{name}' lacks some of its weights.", "Download the model again.")
    return pipe
