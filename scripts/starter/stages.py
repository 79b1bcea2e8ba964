"""What each stage that needs torch does: functions of the minutes that it takes in all and the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from . import (
    classifier, control, decoder, detail, evaluate, export, latents, maps, maps_data, recogniser, restore, unet, vae,
    workers,
)  # fmt: skip
from .common import CACHE, CONTROL, MODEL, log, write_json

Stage = Callable[[float, int], None]


def _together(module: ModuleType) -> Stage:
    """Return the stage that trains in several processes."""
    return lambda minutes, count: workers.run(module.train, CACHE, minutes, size=count)


def _restore(_minutes: float, _count: int) -> None:
    restore.write(CACHE, MODEL, CONTROL)
    maps.restore(CACHE)


def _classifier(minutes: float, _count: int) -> None:
    for number in classifier.WEIGHTS:
        classifier.train(CACHE, minutes / len(classifier.WEIGHTS), number)


def _recogniser(minutes: float, count: int) -> None:
    maps_data.prepare(CACHE / "maps", count)
    _together(recogniser)(minutes, count)


def _maps(minutes: float, count: int) -> None:
    maps_data.prepare(CACHE / "maps", count)
    _together(maps)(minutes, count)
    maps.export(CACHE)


def _detail(minutes: float, count: int) -> None:
    detail.prepare(CACHE / "detail", count)
    _together(detail)(minutes, 1)
    detail.export(CACHE)


def _export(_minutes: float, _count: int) -> None:
    export.write(CACHE, MODEL)
    export.write_control(CACHE, CONTROL)


RUN: dict[str, Stage] = {
    "restore": _restore,
    "classifier": _classifier,
    "vae": _together(vae),
    "latents": lambda minutes, count: latents.prepare(CACHE),
    "decoder": lambda minutes, count: decoder.train(CACHE, minutes),
    "unet": _together(unet),
    "control": _together(control),
    "recogniser": _recogniser,
    "maps": _maps,
    "detail": _detail,
    "export": _export,
    "evaluate": lambda minutes, count: write_json(CACHE / "gates.json", evaluate.gates(MODEL, CONTROL, log)),
}
