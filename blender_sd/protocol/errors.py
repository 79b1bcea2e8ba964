"""Every way a job can go wrong, as one closed family of exceptions.

An artist reads `message` (one sentence: what happened) and `hint` (one sentence: what to do); `detail` (traceback,
library text) goes to the log. An error crosses the process boundary as `kind` + the three texts and is raised again
on the other side as the same class.
"""
from __future__ import annotations


class SDError(Exception):
    """Base of all errors that a person is meant to read. `kind` names the class on the wire and never changes."""

    kind = "internal"

    def __init__(self, message: str, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class InvalidRequest(SDError):
    """A setting that no model could honour: an unknown sampler, a size of 0, NaN guidance."""

    kind = "invalid_request"


class ModelNotFound(SDError):
    """No folder of that name or path holds a model."""

    kind = "model_not_found"


class ModelUnreadable(SDError):
    """The folder is there, but its files are broken, truncated or of a kind that is refused."""

    kind = "model_unreadable"


class EngineMissing(SDError):
    """No interpreter with torch and diffusers is known, or the one named cannot import them."""

    kind = "engine_missing"


class EngineDied(SDError):
    """The engine process ended or stopped answering in the middle of a job."""

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


class TargetUnusable(SDError):
    """The object, material or image that should take the result is missing, linked or of the wrong type."""

    kind = "target_unusable"


class NeedsWindow(SDError):
    """Something that only a Blender window can give, such as the 3D View as it is seen."""

    kind = "needs_window"


class OnlineAccessOff(SDError):
    """Blender, or the environment, does not allow connections to the internet."""

    kind = "online_access"


class LicenceNotAccepted(SDError):
    """A model's licence was not accepted yet."""

    kind = "licence"


class HubRefused(SDError):
    """The hub does not give a repository out: gated, private, disabled, or a token that it does not know."""

    kind = "hub_refused"


class ConnectionLost(SDError):
    """The hub or the package index cannot be reached, or stopped answering; what was downloaded is kept."""

    kind = "connection_lost"


class StyleUnusable(SDError):
    """There is no style of that name, or its file cannot be read, or a style cannot be kept under that name."""

    kind = "style"


class AssetUnusable(SDError):
    """An asset library or a list of materials that is missing, broken, or cannot be written to."""

    kind = "asset"


class PolicyForbids(SDError):
    """The studio's policy does not allow it, or its file is broken."""

    kind = "policy"


class WordBlocked(SDError):
    """A prompt holds a word that the studio has blocked. The message names it, so it is for the person alone, and for no log."""

    kind = "blocked_word"


class PictureWithheld(SDError):
    """The safety filter has kept back every picture of a job."""

    kind = "withheld"


class CertificateUnusable(SDError):
    """The certificate or private key for content credentials is missing or broken, or cannot sign them."""

    kind = "certificate"


class JobCancelled(SDError):
    """Raised by `Job.result()` of a job that somebody cancelled."""

    kind = "cancelled"


_BY_KIND = {cls.kind: cls for cls in [SDError, *SDError.__subclasses__()]}


def error_of_kind(kind: str, message: str, hint: str = "", detail: str = "") -> SDError:
    """The exception that `kind` names; an unknown kind (a newer engine) becomes a plain `SDError`."""
    return _BY_KIND.get(kind, SDError)(message, hint, detail)
