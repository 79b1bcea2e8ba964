"""Map kinds of errors to the buttons that help. The error's own hint describes everything else."""
from __future__ import annotations

from dataclasses import dataclass, field

from ..core import errors
from . import layout, preference_access


@dataclass(frozen=True)
class Remedy:
    """A button: the operator that it runs, its text and icon, and the operator's properties."""

    operator: str
    label: str
    icon: str
    settings: dict[str, str] = field(default_factory=dict)


PREFERENCES = Remedy("preferences.addon_show", "Preferences", "PREFERENCES", {"module": preference_access.PACKAGE})
SET_UP = Remedy("sd.set_up_engine", "Set Up the Engine", "IMPORT")
START = Remedy("sd.start_engine", "Retry", "FILE_REFRESH")
REFRESH = Remedy("sd.refresh_models", "Refresh Models", "FILE_REFRESH")
CHOOSE = Remedy("wm.context_menu_enum", "Choose Model", "DOWNARROW_HLT", {"data_path": "scene.sd.model_choice"})
GET_MODELS = Remedy("wm.call_panel", "Get Models", "IMPORT", {"name": layout.GET_MODELS})
SMALLER = Remedy("sd.smaller_picture", "Smaller Picture", "FULLSCREEN_EXIT")
CAMERA = Remedy("wm.context_set_enum", "Use the Camera", "CAMERA_DATA",
                {"data_path": "scene.sd.render_source", "value": "CAMERA"})
NO_STYLE = Remedy("wm.context_set_string", "Use No Style", "X", {"data_path": "scene.sd.style", "value": ""})
NETWORK = Remedy("screen.userpref_show", "System Preferences", "INTERNET", {"section": "SYSTEM"})
DOWNLOAD = Remedy("sd.fetch", "Try Again", "FILE_REFRESH")
REPORT = Remedy("sd.copy_report", "Copy Report", "COPYDOWN")

# Kinds that are missing here cannot be fixed by a single click: select an object, correct a setting.
_REMEDIES: dict[str, tuple[Remedy, ...]] = {
    errors.SDError.kind: (REPORT,),
    errors.EngineMissing.kind: (SET_UP, PREFERENCES, START),
    errors.EngineDied.kind: (START, PREFERENCES, REPORT),
    errors.ModelNotFound.kind: (REFRESH, CHOOSE, GET_MODELS),
    errors.ModelUnreadable.kind: (CHOOSE,),
    errors.OutOfMemory.kind: (SMALLER, PREFERENCES),
    errors.OutputUnwritable.kind: (PREFERENCES,),
    errors.NeedsWindow.kind: (CAMERA,),
    errors.NoRender.kind: (CAMERA,),
    errors.StyleUnusable.kind: (NO_STYLE,),
    errors.OnlineAccessOff.kind: (NETWORK,),
    errors.HubRefused.kind: (PREFERENCES,),
    errors.CertificateUnusable.kind: (PREFERENCES,),
    errors.ConnectionLost.kind: (DOWNLOAD,),
}


def of(kind: str) -> tuple[Remedy, ...]:
    """Return the buttons for an error of that kind, the likeliest first; none if only the hint helps."""
    return _REMEDIES.get(kind, ())
