"""Define every way a job can go wrong, as one closed family of exceptions.

An artist reads `message` (one sentence: what happened) and `hint` (one sentence: what to do); `detail` (a traceback, a
library's text) goes to the log. An error crosses the process boundary as `kind` and the three texts, and is raised
again on the other side as the same class.
"""
from __future__ import annotations


class SDError(Exception):
    """Base class of all errors that people are meant to read.

    Attributes:
        kind: Names the class in messages and never changes.
        about: The name of the LoRA that the error is about; "" for any other.
    """

    kind = "internal"
    about = ""

    def __init__(self, message: str, hint: str = "", detail: str = "") -> None:
        self.message, self.hint, self.detail = map(_drawable, (message, hint, detail))
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidRequest(SDError):
    """A setting that no model can honour: an unknown sampler, a size of 0, NaN guidance."""

    kind = "invalid_request"


class ModelNotFound(SDError):
    """There is no model of that name or at that path."""

    kind = "model_not_found"


class ModelUnreadable(SDError):
    """The folder exists, but its files are broken, truncated or of a kind that is refused."""

    kind = "model_unreadable"


class EngineMissing(SDError):
    """No interpreter with torch and diffusers is known, or the configured one cannot import them."""

    kind = "engine_missing"


class GeometryMissing(SDError):
    """The engine's Python cannot cast rays: the package embreex is missing, or does not exist for this platform."""

    kind = "geometry_missing"


class EngineDied(SDError):
    """The engine process ended or stopped answering during a job."""

    kind = "engine_died"


class OutOfMemory(SDError):
    """The picture does not fit into the device's memory."""

    kind = "out_of_memory"


class OutputUnwritable(SDError):
    """The folder for pictures, models or the engine is missing, read-only, full or locked."""

    kind = "output_unwritable"


class SourceUnusable(SDError):
    """The source image is missing, empty, not finite, or of a size that cannot be worked on."""

    kind = "source_unusable"


class NoRender(SourceUnusable):
    """The Render Result is empty because nothing was rendered yet."""

    kind = "no_render"


class TargetUnusable(SDError):
    """The object, material or image that should take the result is missing, linked or of the wrong type."""

    kind = "target_unusable"


class NeedsWindow(SDError):
    """The call needs something that only a Blender window has, such as the 3D View as it is displayed."""

    kind = "needs_window"


class NeedsBlender(SDError):
    """The call needs Blender's scene or one of its readers, and this Python has no bpy."""

    kind = "needs_blender"


class OnlineAccessOff(SDError):
    """Blender, or the environment, does not allow connections to the internet."""

    kind = "online_access"


class LicenceNotAccepted(SDError):
    """The model's licence has not been accepted yet."""

    kind = "licence"


class HubRefused(SDError):
    """The hub refuses the repository: it is gated, private or disabled, or the token is unknown."""

    kind = "hub_refused"


class ConnectionLost(SDError):
    """The hub or the package index cannot be reached, or stopped answering; what was downloaded is kept."""

    kind = "connection_lost"


class StyleUnusable(SDError):
    """A style does not exist, cannot be read, or cannot be saved under that name."""

    kind = "style"


class AssetUnusable(SDError):
    """An asset library or a list of materials is missing, broken or not writable."""

    kind = "asset"


class CertificateUnusable(SDError):
    """The certificate or private key for content credentials is missing, broken or unable to sign."""

    kind = "certificate"


class PolicyForbids(SDError):
    """The studio's policy does not allow the request, or the policy file is broken."""

    kind = "policy"


class WordBlocked(SDError):
    """A prompt contains a word that the studio has blocked.

    The message names the word, so it must be shown to the person only and never be logged.
    """

    kind = "blocked_word"


class PictureWithheld(SDError):
    """The safety filter withheld every picture of a job."""

    kind = "withheld"


class JobCancelled(SDError):
    """The job whose `result()` was asked for had been cancelled."""

    kind = "cancelled"


def _drawable(text: str) -> str:
    """Return `text` without lone surrogates, which neither Blender nor logs accept.

    Paths and other people's files may contain them.
    """
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


_CLASSES: list[type[SDError]] = [SDError, NoRender, *SDError.__subclasses__()]
_BY_KIND = {cls.kind: cls for cls in _CLASSES}


def error_of_kind(kind: str, message: str, hint: str = "", detail: str = "") -> SDError:
    """Return the exception that `kind` names; an unknown kind (from a newer engine) becomes a plain `SDError`."""
    return _BY_KIND.get(kind, SDError)(message, hint, detail)
