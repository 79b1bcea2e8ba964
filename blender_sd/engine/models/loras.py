"""LoRAs (Hu et al. 2021) and LyCORIS' variants: applied to a model before a picture, and removed without a trace.

`lora_keys` matches names, `lora_changes` has the arithmetic, and `lora_layers` applies it. A model keeps its LoRAs
until another set is requested, so a batch loads them once.
"""
from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from ...core.errors import InvalidRequest, ModelUnreadable, SDError
from ...core.lora_names import family_hint, foreign_kind
from ...core.parts import Lora
from ..memory import memory_modes
from . import lora_layers, unchanged, weight_files
from .cache import Model
from .lora_changes import Change, Contents, contents_of
from .lora_keys import Table
from .lora_layers import Journal, Misfit, Target

_WHAT = "LoRA"
_NAMED = 4  # parts that a note names
_INPUTS = ("x_embedder", "conv_in", "all_x_embedder.2-1", "pos_embed.proj", "img_in")  # what sees the picture first
_MOST_MISFITS = 0.1  # the share of parts of another shape from which on a LoRA was made for another model


@dataclass(frozen=True)
class LoraNote:
    """What a person should know about the LoRA called `lora`."""

    lora: str
    text: str


def apply(model: Model, loras: Sequence[Lora], say: Callable[[str], None],
          check: Callable[[], None]) -> tuple[LoraNote, ...]:
    """Make `loras` exactly what is applied to a model.

    Args:
        model: The loaded model.
        loras: The LoRAs; those with weight 0 are left out.
        say: Receives what is being loaded.
        check: May raise to cancel.

    Returns:
        Notes about parts that were left out.

    Raises:
        ModelNotFound: A file is missing.
        ModelUnreadable: A file is broken.
        InvalidRequest: A LoRA does not fit the model. In all cases none is applied, the model is exactly as without,
            and the error names the LoRA (`about`).
    """
    wanted = tuple((_existing(lora.file), lora.weight,
                    lora.weight if lora.text_weight is None else lora.text_weight)
                   for lora in loras if lora.counts)
    key = tuple((weight_files.stamp(file), *weights) for file, *weights in wanted)
    if key != model.loras:
        with memory_modes.parts_at_rest(model):
            remove(model)
            _apply(model, wanted, say, check)
        model.loras = key
    return model.lora_notes


def remove(model: Model) -> None:
    """Remove all LoRAs from `model`."""
    model.loras, model.lora_notes, model.lora_bundle = (), (), {}
    model.lora_journal.undo()


def _apply(model: Model, wanted: Sequence[tuple[Path, float, float]], say: Callable[[str], None],
           check: Callable[[], None]) -> None:
    notes: list[LoraNote] = []
    bundle: dict[str, Mapping[str, torch.Tensor]] = {}
    journal = Journal()
    nets = {name: part for name, part in model.base.components.items() if isinstance(part, torch.nn.Module)}
    encoders = [part for name, part in nets.items() if name.startswith("text_encoder")]
    table = Table(nets) if wanted else None
    with unchanged.on_failure(model.modules()):
        for number, (file, weight, text_weight) in enumerate(wanted):
            check()
            say(f"Loading {file.stem}")
            with _about(file.stem):
                contents, sorted_out = _read(model, file, table, nets)
                try:
                    for change, target in sorted_out.fitting:
                        strength = text_weight if any(target.net is encoder for encoder in encoders) else weight
                        lora_layers.apply(change, target, f"lora{number}", strength, journal, model.dtype)
                except Exception as error:
                    raise weight_files.refusal(model.name, file, _WHAT, error) from error
            bundle |= contents.bundle if model.family.embeddings else {}
            notes += [LoraNote(file.stem, text) for text in _notes(model, file, contents, sorted_out)]
    model.lora_journal, model.lora_notes, model.lora_bundle = journal, tuple(notes), bundle


def _existing(file: str) -> Path:
    with _about(Path(file).stem):
        return weight_files.existing(file, _WHAT)


@contextmanager
def _about(lora: str) -> Iterator[None]:
    """Return a context whose errors are about the LoRA of that name."""
    try:
        yield
    except SDError as error:
        error.about = lora
        raise


@dataclass(frozen=True)
class _Sorted:
    """The changes in a LoRA, by how they fit the model.

    Attributes:
        fitting: Changes that fit, with where they go.
        misfits: Changes of another shape, with the layers' names.
        unknown: Names of what the model has no layer for.
    """

    fitting: tuple[tuple[Change, Target], ...]
    misfits: tuple[tuple[Change, tuple[str, ...]], ...]
    unknown: tuple[str, ...]


def _read(model: Model, file: Path, table: Table, nets: dict[str, torch.nn.Module]) -> tuple[Contents, _Sorted]:
    """Return the contents of a LoRA's file, and where they go. Raises ModelUnreadable, InvalidRequest."""
    if not model.family.loras:
        raise InvalidRequest(f"LoRAs do not work with the model '{model.name}'.",
                             "Choose another model, or take the LoRA out.")
    tensors = weight_files.read(file, _WHAT, named=False)  # names are looked up in a table, and make nothing
    if kind := foreign_kind(tensors):
        raise InvalidRequest(f"The LoRA '{file.stem}' is of the kind {kind}, which cannot be put on.",
                             "Choose a LoRA, LoHa, LoKr or DoRA.")
    if broken := weight_files.not_finite(tensors):
        raise ModelUnreadable(f"The LoRA '{file.stem}' holds values that are not numbers, in: {_some(broken)}.",
                              "Get another version of it: pictures would be black.")
    contents = contents_of(tensors, file)
    fitting, misfits, unknown = [], [], list(contents.other)
    for change in contents.changes:
        place = table.find(change.name)
        if place is None:
            unknown.append(change.name)
            continue
        target = lora_layers.target_of(nets, place)
        try:
            lora_layers.check(change, target)
        except Misfit:
            misfits.append((change, place.layers))
        else:
            fitting.append((change, target))
    fit = _Sorted(tuple(fitting), tuple(misfits), tuple(unknown))
    _check_fit(model, file, contents, fit)
    return contents, fit


def _check_fit(model: Model, file: Path, contents: Contents, fit: _Sorted) -> None:
    """Raise InvalidRequest if too little of the LoRA fits."""
    count = len(contents.changes)
    message = f"The LoRA '{file.stem}' does not fit the model '{model.name}'."
    inputs = [change.name for change, layers in fit.misfits if set(layers) & set(_INPUTS)]
    if inputs:
        raise InvalidRequest(message,
                             "It makes the model take another input, as control LoRAs do, which cannot be put on.",
                             inputs[0])
    if fit.fitting and len(fit.misfits) <= _MOST_MISFITS * count:
        return
    family = _family(contents)
    if family and not any(model.family.name.startswith(name) for name in family.split(" or ")):
        raise InvalidRequest(message,
                             f"It was made for {family} models: choose one that was made for {model.family.name}.",
                             f"{len(fit.fitting)} of {count} parts fit")
    if fit.misfits:
        raise InvalidRequest(message, f"Of its {count} parts, {len(fit.misfits)} have another shape: it was made for a "
                                      "model of another size.", _some([change.name for change, _ in fit.misfits]))
    names = [*(change.name for change in contents.changes), *contents.other]
    if names:
        raise InvalidRequest(message, f"The model has none of the layers that it names, such as '{names[0]:.80}'.",
                             _some(names))
    raise InvalidRequest(message, "It holds nothing that changes a model.")


def _family(contents: Contents) -> str:
    """Return the family that the LoRA was made for, "" if the file does not tell."""
    reading = ("down", "hada_w1_b", "diff")
    return family_hint({change.name: next((tuple(change.parts[role].shape) for role in reading if role in change.parts),
                                          ())
                        for change in contents.changes})


def _notes(model: Model, file: Path, contents: Contents, fit: _Sorted) -> list[str]:
    """Return the notes about a LoRA that was not applied completely."""
    notes = []
    left_out = [*(change.name for change, _ in fit.misfits), *fit.unknown]
    if left_out:
        notes.append(f"Parts of the LoRA '{file.stem}' did not fit the model and were left out ({len(left_out)}): "
                     f"{_some(left_out)}.")
    if contents.bundle and not model.family.embeddings:
        notes.append(f"The textual inversions in the LoRA '{file.stem}' were left out: {_some(list(contents.bundle))}.")
    return notes


def _some(names: Sequence[str]) -> str:
    return ", ".join(f"{name:.80}" for name in names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
