"""Which buttons help against which kind of error. The error's own hint says the rest in words."""
from __future__ import annotations

from dataclasses import dataclass, field

from ..protocol import errors
from . import preferences


@dataclass(frozen=True)
class Remedy:
    """A button: the operator that it presses, its words and icon, and the operator's properties."""

    operator: str
    label: str
    icon: str
    settings: dict[str, str] = field(default_factory=dict)


PREFERENCES = Remedy("preferences.addon_show", "Preferences", "PREFERENCES", {"module": preferences.PACKAGE})
SET_UP = Remedy("sd.set_up_engine", "Set Up the Engine", "IMPORT")
START = Remedy("sd.start_engine", "Retry", "FILE_REFRESH")
REFRESH = Remedy("sd.refresh_models", "Refresh Models", "FILE_REFRESH")
CHOOSE = Remedy("wm.context_menu_enum", "Choose Model", "DOWNARROW_HLT", {"data_path": "scene.sd.model_choice"})
SMALLER = Remedy("sd.smaller_picture", "Smaller Picture", "FULLSCREEN_EXIT")
CAMERA = Remedy("wm.context_set_enum", "Use the Camera", "CAMERA_DATA", {"data_path": "scene.sd.render_source", "value": "CAMERA"})
NETWORK = Remedy("screen.userpref_show", "System Preferences", "INTERNET", {"section": "SYSTEM"})
DOWNLOAD = Remedy("sd.fetch", "Try Again", "FILE_REFRESH")
REPORT = Remedy("sd.copy_report", "Copy Report", "COPYDOWN")

# Kinds that are missing here have remedies that no single click can perform: an object to select, a setting to mend.
_REMEDIES: dict[str, tuple[Remedy, ...]] = {
    errors.SDError.kind: (REPORT,),
    errors.EngineMissing.kind: (SET_UP, PREFERENCES, START),
    errors.EngineDied.kind: (START, PREFERENCES, REPORT),
    errors.ModelNotFound.kind: (REFRESH, CHOOSE),
    errors.ModelUnreadable.kind: (CHOOSE,),
    errors.OutOfMemory.kind: (SMALLER, PREFERENCES),
    errors.OutputUnwritable.kind: (PREFERENCES,),
    errors.NeedsWindow.kind: (CAMERA,),
    errors.OnlineAccessOff.kind: (NETWORK,),
    errors.HubRefused.kind: (PREFERENCES,),
    errors.CertificateUnusable.kind: (PREFERENCES,),
    errors.ConnectionLost.kind: (DOWNLOAD,),
}


def of(kind: str) -> tuple[Remedy, ...]:
    """The buttons for an error of that kind, the likeliest first; none where words alone can help."""
    return _REMEDIES.get(kind, ())
