"""Define `WindowManager.sd_model`: the choices for the scene's model that override what its files say.

They are kept in a small file beside the model (`library.model_choices`), so that they are the same in every scene; this
is a view of them.

(No `from __future__ import annotations` here: Blender reads properties from the annotations themselves.)
"""
from typing import Any

import bpy
from bpy.props import EnumProperty, PointerProperty, StringProperty

from ..calls import models
from ..core.choices import AUTO, EDM, EDM_VELOCITY, EPSILON, NOTHING, OFF, ON, VELOCITY, Choices
from ..core.errors import SDError
from ..core.declarations import find
from ..core.nets import STARTER
from .state import show_error

_LABELS = {
    AUTO: ("Automatic", "What the model's files say"), EPSILON: ("Noise", "Most models of SD 1.5 and SDXL (epsilon)"),
    VELOCITY: ("Velocity", "Models that were trained with v-prediction"), EDM: ("EDM", "Playground 2.5"),
    EDM_VELOCITY: ("EDM Velocity", "CosXL"), ON: ("On", "It was: very dark and very bright pictures come out as such"),
    OFF: ("Off", "It was not"),
}


def _items(name: str) -> list[tuple[str, str, str, int]]:
    return [(key, *_LABELS[key], number) for number, key in enumerate(find(name).setting.choices)]


def shown() -> Choices:
    """Return the choices for the scene's model as last read. Reads no file, so it suits drawing."""
    info = models.known_model(bpy.context.scene.sd.model)
    return NOTHING if info is None else info.choices


def _change(**changes: Any) -> None:
    """Save other choices for the scene's model; an error is shown in the panel."""
    _choose(bpy.context.scene.sd.model, **changes)


def _choose(model: str, **changes: Any) -> None:
    try:
        models.choose(model, **changes)
    except SDError as error:
        show_error(error)


def take(model: str, chosen: Choices, whole: bool) -> None:
    """Choose for a model what a picture was made with; what is no longer here is shown as an error.

    Args:
        model: The model's id.
        chosen: What the picture was made with.
        whole: Whether what it leaves to the model is left to it from now on; otherwise only what it says counts.
    """
    info = models.known_model(model)
    if info is None or info.id == STARTER:
        return
    given = {name: value for name, value in vars(chosen).items()
             if value != getattr(info.choices, name) and (whole or value != getattr(NOTHING, name))}
    vae = {name: given.pop(name) for name in ("vae",) if name in given}  # apart: it may be gone
    for changes in filter(None, (vae, given)):
        _choose(model, **changes)


def _enum(name: str) -> Any:
    keys = find(name).setting.choices
    return EnumProperty(name=find(name).setting.label, description=find(name).setting.tip, items=_items(name),
                        get=lambda self: keys.index(getattr(shown(), name)),
                        set=lambda self, number: _change(**{name: keys[number]}))


class SD_PG_model(bpy.types.PropertyGroup):
    """What was chosen for the scene's model."""

    vae: StringProperty(
        name=find("vae").setting.label, search=lambda self, context, text: [vae.name for vae in models.vaes()],
        get=lambda self: bpy.path.display_name_from_filepath(shown().vae)
        if shown().vae else "", set=lambda self, name: _change(vae=name),
        description="The VAE that decodes the pictures: a name from the model folders, or its file or folder. Empty: "
                    "the model's own"
    )
    prediction: _enum("prediction")
    zero_snr: _enum("zero_snr")


CLASSES = (SD_PG_model,)


def register() -> None:
    bpy.types.WindowManager.sd_model = PointerProperty(type=SD_PG_model, name="Model",
                                                       description="What was chosen for the model")


def unregister() -> None:
    del bpy.types.WindowManager.sd_model
