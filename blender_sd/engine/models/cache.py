"""Models in memory: loaded from folders, kept within a budget, shared by all tasks."""
from __future__ import annotations

import gc
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from ...core import families, memory_modes
from ...core.choices import AUTO, ON
from ...core.errors import InvalidRequest, ModelUnreadable, OutOfMemory, SDError
from ...core.families import Family
from ...core.tasks import TASKS
from ...protocol.messages import text_of
from ..memory import budget as memory_budget, memory_modes as placement
from ..memory.devices import Device
from . import leftovers, nets, single_file, vaes, vision
from .folders import Folder
from .lora_layers import Journal

log = logging.getLogger(__name__)
Check = Callable[[], None]
Say = Callable[[str], None]
_LIBRARIES = {"diffusers": diffusers, "transformers": transformers}


class Model:
    """One loaded model. All tasks' pipelines share its parts.

    Attributes:
        base: The diffusers pipeline that it was loaded as.
        own_scheduler: The model's own scheduler; only copies of it are used.
    """

    def __init__(self, folder: Folder, base: Any, device: Device, dtype: torch.dtype,
                 notes: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.name = folder.name
        self.base = base
        self.device = device
        self.dtype = dtype
        self.notes = notes  # what a person should read about its files
        self.own_scheduler = base.scheduler
        self.family = _family(base)
        # Loaded beside it, least recently used first
        self.controlnets: OrderedDict[tuple, torch.nn.Module] = OrderedDict()
        self.memory_mode = memory_modes.FULL  # where its weights are (`memory.memory_modes.apply`)
        self.acceleration_set_up = False  # whether `acceleration.enable` has run, and what it has switched on:
        self.attention = ""
        self.compiled = False
        self.lowered = False  # whether memory ran out in a faster memory mode
        self.loras: tuple = ()  # what `loras.apply` has applied, its notes, and how to undo it
        self.lora_notes: tuple = ()
        self.lora_journal = Journal()
        self.lora_bundle: Mapping[str, Mapping[str, torch.Tensor]] = {}  # the textual inversions in them, by word
        self.embeddings: tuple = ()  # what `embeddings.apply` has added
        self.ip_adapter: tuple = ()  # stamp of the adapter that `reference.apply` has loaded
        self.vae_needs_fp32 = False  # its half-precision VAE has given NaN
        self.preview: Any = None  # a `previews.Preview`, made when first needed
        self._pipes: dict[tuple, Any] = {}

    @property
    def size(self) -> int:
        """Return the bytes that its weights take, those of its ControlNets included."""
        modules = (*self.modules(), *self.controlnets.values())
        return sum(part.numel() * part.element_size() for module in modules for part in module.parameters())

    def modules(self) -> list[torch.nn.Module]:
        """Return the pipeline's networks."""
        return [part for part in self.base.components.values() if isinstance(part, torch.nn.Module)]

    def pipe(self, task: str, controlnets: Sequence[torch.nn.Module] = ()) -> Any:
        """Return the pipeline for a task over the same weights.

        Args:
            task: One of `core.tasks.TASKS`.
            controlnets: The ControlNets that guide it, all of one class.

        Raises:
            InvalidRequest: The model's family has no such pipeline.
        """
        net = type(controlnets[0]).__name__ if controlnets else None
        refused = self.family.refusal(task, net)
        if refused:
            raise InvalidRequest(refused, f"Choose another model than '{self.name}'.")
        call = TASKS[task].call
        name = self.family.pipelines[call] if net is None else self.family.controls[net][call]
        key = (name, *map(id, controlnets))
        if key not in self._pipes:
            for other in [other for other in self._pipes if controlnets and len(other) > 1]:
                del self._pipes[other]  # it would keep dropped ControlNets alive
            self._pipes[key] = self._made(getattr(diffusers, name), controlnets)
        return self._pipes[key]

    def _made(self, cls: type, controlnets: Sequence[torch.nn.Module]) -> Any:
        """Return a pipeline of `cls` with the model's parts and the options of the model's index."""
        parts, options = cls._get_signature_keys(cls)
        given = {name: part for name, part in self.base.components.items() if name in parts}
        if self.ip_adapter:
            given["image_encoder"] = None  # `reference` uses the base's and removes it again
        given |= {name: value for name, value in self.base.config.items() if name in options}
        if controlnets:
            given["controlnet"] = list(controlnets) if len(controlnets) > 1 else controlnets[0]
        pipe = cls(**given)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    @property
    def denoiser(self) -> Any:
        """Return the UNet or transformer."""
        return getattr(self.base, "unet", None) or getattr(self.base, "transformer", None)

    @property
    def is_transformer(self) -> bool:
        """Return whether the denoiser is a transformer."""
        return getattr(self.base, "unet", None) is None

    @property
    def vae_scale(self) -> int:
        """Return pixels per latent pixel and side."""
        return int(getattr(self.base, "vae_scale_factor", 8))

    @property
    def multiple(self) -> int:
        """Return the number of pixels that both sides of a picture must be multiples of."""
        scale = self.vae_scale
        if not self.is_transformer:
            return math.lcm(8, scale)  # diffusers' UNet pipelines demand 8, whatever the VAE
        patch = getattr(getattr(self.denoiser, "config", None), "patch_size", 1)
        return scale if scale >= 16 else scale * max(2, patch if isinstance(patch, int) else 2)


class Library:
    """Keep loaded models within a budget; the least recently used go first. Not thread-safe.

    Args:
        device: Where models run.
        budget: Bytes that the models may take.
        memory_use: The memory mode to start with (`memory.memory_modes.choose`).
    """

    def __init__(self, device: Device, budget: int, memory_use: str = "auto") -> None:
        self.device = device
        self.memory_use = memory_use
        self.budget = budget
        self._models: OrderedDict[tuple, Model] = OrderedDict()

    def find(self, folder: Folder) -> Model | None:
        """Return the model of `folder` if it is loaded and its files are unchanged, and mark it as used.

        A model that was loaded while memory was short is dropped once there is enough for a faster memory mode.
        """
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
        if model.lowered or model.memory_mode in (memory_modes.FULL, memory_modes.TILES):
            return False
        # A graphics card holds nothing of a model that waits in RAM
        held = model.size if self.device.kind == "cpu" else 0
        try:
            mode = placement.choose(self.device, _bytes(model.folder, model.dtype), self.memory_use, held)
        except OutOfMemory:
            return False
        order = list(memory_modes.MEMORY_MODES)
        return order.index(mode) < order.index(model.memory_mode)

    def load(self, folder: Folder, say: Say, check: Check) -> Model:
        """Load a model.

        Args:
            folder: The inspected folder.
            say: Receives what is being read.
            check: May raise between the parts to cancel; then nothing of the model stays in memory.

        Raises:
            ModelUnreadable: A part cannot be read.
            OutOfMemory: The model does not fit.
        """
        transformer = "unet" not in folder.components
        dtype = self.device.dtype(transformer, folder.fp32_bytes)
        self._make_room(sum(_bytes(folder, dtype)))
        mode = placement.choose(self.device, _bytes(folder, dtype), self.memory_use)
        try:
            pipe, notes = _read(folder, dtype, say, check, mode)
            model = Model(folder, pipe, self.device, dtype, notes)
            check()
            for part in model.modules():
                self.device.lay_out(part)
            placement.apply(model, mode)
        except SDError:
            self._collect()
            raise
        except Exception as error:
            self._collect()
            if memory_budget.is_out_of_memory(error):
                raise memory_budget.translated(error) from error
            raise ModelUnreadable(f"The model '{folder.name}' cannot be loaded.",
                                  "Its folder may be incomplete: download it again.",
                                  text_of(error)) from error
        self._models[self._key(folder)] = model
        log.info("loaded %s: %.0f MB, %s on %s", folder.path, model.size / 1e6, dtype, self.device.torch)
        return model

    def drop(self, model: Model) -> None:
        """Drop `model`; it is read again when it is next needed."""
        self._models = OrderedDict((key, other) for key, other in self._models.items() if other is not model)
        self._collect()

    def drop_others(self, kept: Model) -> None:
        """Drop every model but `kept`, because memory is short."""
        self._models = OrderedDict((key, model) for key, model in self._models.items() if model is kept)
        self._collect()

    def clear(self) -> None:
        """Drop every model and free the device's memory."""
        self._models.clear()
        self._collect()

    def loaded(self) -> list[str]:
        """Return the names of the loaded models, the most recently used last."""
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
    """Return the size of each part's weights in bytes."""
    return [size * dtype.itemsize // 4 for size in folder.fp32_parts]


def _read(folder: Folder, dtype: torch.dtype, say: Say, check: Check, mode: str) -> tuple[Any, tuple[str, ...]]:
    """Return the pipeline of `folder`, in CPU memory, with weights as the memory mode wants them, and notes about its
    files.

    Large parts are read one by one, so that reading can be cancelled.
    """
    lent_all = folder.path.is_file() and single_file.kind_of(folder.path, alone=None).alone
    if folder.path.is_file() and not lent_all:
        say(f"Loading {folder.name}")
        pipe, left = single_file.read(folder.path, dtype, folder.base_model, own_vae=not folder.choices.vae)
        placement.cast_while_reading("unet", pipe.unet, mode, dtype)
        return _chosen(folder, pipe, dtype, left, say, check)
    place = folder.base_model or folder.path
    parts: dict[str, Any] = dict.fromkeys(folder.absent)  # named as None: some families do not treat these as optional
    left: list[str] = []
    for name, (library, class_name) in folder.components.items():
        cls = getattr(_LIBRARIES.get(library) or getattr(diffusers.pipelines, library, None), class_name, None)
        if cls is None:
            raise ModelUnreadable(f"The model's part '{name}' asks for {class_name:.80}, which the engine's version of "
                                  f"{library} does not have.", "Update the engine in the add-on's preferences.")
        if not isinstance(cls, type) or not issubclass(cls, torch.nn.Module):
            continue  # the pipeline reads tokenizers, schedulers and the like itself: they are small
        check()
        say(f"Loading {folder.name}: {name.replace('_', ' ')}")
        if folder.base_model and name == single_file.PART:
            parts[name], left = single_file.read_part(folder.path, cls, place, dtype)
        else:
            variant = {"variant": folder.variants[name]} if name in folder.variants else {}
            parts[name] = nets.read(cls, place, "model", name, dtype=dtype, **variant)
        placement.cast_while_reading(name, parts[name], mode, dtype)
    check()
    readers = vision.of(place, folder.components)
    # Asked of the class itself: DiffusionPipeline does not know which parts are optional there.
    pipe = getattr(diffusers, folder.pipeline).from_pretrained(
        str(place), dtype=dtype, local_files_only=True, use_safetensors=True, **parts, **dict.fromkeys(readers))
    pipe.register_modules(**readers)
    return _chosen(folder, pipe, dtype, left, say, check)


def _chosen(folder: Folder, pipe: Any, dtype: torch.dtype, left: list[str], say: Say,
            check: Check) -> tuple[Any, tuple[str, ...]]:
    """Return `pipe` with the person's choices in place of its own parts, and notes about unused tensors.

    Every part is checked to have all of its weights. `left` holds the names of unused tensors in the model's own file.

    Raises:
        ModelUnreadable: A part is incomplete.
        InvalidRequest: A choice does not fit the model.
    """
    choices, notes = folder.choices, leftovers.notes(folder.path, left)
    if choices.vae:
        check()
        place = Path(choices.vae)
        say(f"Loading {place.stem}")
        config = folder.base_model or folder.path
        if config.is_file() or folder.path.is_file() and single_file.kind_of(folder.path, alone=None).is_checkpoint:
            config = Path(single_file.CONFIGS, single_file.kind_of(folder.path).name)
        vae, unused = vaes.read(place, getattr(diffusers, folder.components["vae"][1]), config, folder.name, dtype)
        pipe.register_modules(vae=vae)
        notes += leftovers.notes(place, unused)
        pipe = type(pipe)(**pipe.components,
                          **{name: value for name, value in pipe.config.items() if name in pipe._get_signature_keys(
            type(pipe))[1]})  # which asks the VAE for its scale
    if (choices.prediction, choices.zero_snr) != (AUTO, AUTO):
        if not families.has_prediction(type(pipe.scheduler).__name__, pipe.scheduler.config):
            raise InvalidRequest(f"What the model '{folder.name}' predicts cannot be chosen: it was trained by flow "
                                 "matching.",
                                 "Set Prediction and Zero SNR to Automatic.")
        pipe.scheduler = single_file.scheduler_for(pipe.scheduler,
                                                   "" if choices.prediction == AUTO else choices.prediction,
                                                   None if choices.zero_snr == AUTO else choices.zero_snr == ON)
    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module):
            nets.check_whole(part, {}, name, "model")
    return pipe, tuple(notes)
