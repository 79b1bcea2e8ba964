"""Define the closed set of messages between the session and its child processes.

Every event carries its job's id: a stale one is dropped and never mistaken for the next job's. A job ends with exactly
one of ENDINGS.
"""
from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from ..core.errors import SDError, WordBlocked, error_of_kind
from ..core.request import Request
from ..core.tasks import PbrMaps
from .engine_config import EngineConfig
from .pictures import Result, Source
from .sequence_messages import Encode, FrameDone, Outline, Record
from .shots import ShotOrder
from .surfaces import Bare, Scenery

PROTOCOL = 2
# The roles of a child process: see `protocol.boot`.
PAINT, FETCH, INSTALL, CHECK, VERIFY, RECORD = "paint", "fetch", "install", "check", "verify", "record"

PROSE = "prose"  # in a field's metadata: a text for people, which may be of any length
_TEXT = {PROSE: True}


# ---- to the engine -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """The first message: the session's protocol and the engine's configuration."""

    config: EngineConfig
    protocol: int = PROTOCOL


@dataclass(frozen=True, eq=False)
class Generate:
    """Make a request's pictures.

    Attributes:
        job: The job's id.
        request: The request.
        folder: The folder or file of the model.
        output: The folder to write them to; "" for none: then the results carry their pixels, as live mode's frames do.
        inputs: The request's input pictures by role (`Request.inputs`).
        base_model: If `folder` is a file with only a denoiser, the folder of the model that provides all other parts.
        controls_only: Whether to paint nothing and return the pixels that the ControlNets would read, a picture for
            each.
        scenery: What the pictures are baked onto: those that are painted, or those in `inputs` if the task is a bake.
        maps: How the maps of a material are made of the first picture once it is painted; None for none.
        bare: Meshes to unwrap instead: nothing is painted, and `Unwrapped` brings their UVs.
        shot: The frames that are restyled if the task is that; `FrameDone` reports each.
    """

    job: str
    request: Request
    folder: str
    output: str
    inputs: dict[str, Source] = field(default_factory=dict)
    base_model: str = ""
    controls_only: bool = False
    scenery: Scenery | None = None
    maps: PbrMaps | None = None
    bare: tuple[Bare, ...] = ()
    shot: ShotOrder | None = None


@dataclass(frozen=True)
class Fetch:
    """Download from the Hugging Face hub what diffusers needs.

    Attributes:
        job: The job's id.
        repo: The repository, owner/name.
        file: One file of it; "" for the whole model.
        folder: The folder to download to.
        accepted: Whether the person has accepted the licence; nothing is downloaded before.
        token: The person's access token; "" for the one in the environment.
    """

    job: str
    repo: str
    file: str
    folder: str
    accepted: bool
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Install:
    """Manage the engine's environment.

    Attributes:
        job: The job's id.
        action: "install": install what the lock names, unless a working environment exists; "repair": install in any
            case; "remove": delete the environment and everything that belongs to it; "download": collect the needed
            wheels in `place`.
        place: The folder of the environment.
        lock: The lock file.
        wheels: A folder with all wheels, to use no network; "" for the package index.
    """

    job: str
    action: str
    place: str
    lock: str
    wheels: str


@dataclass(frozen=True)
class Check:
    """Check whether the running interpreter can be the engine's."""

    job: str


@dataclass(frozen=True, eq=False)
class Verify:
    """Check the content credentials of the file at `path`, or of the file whose bytes are in `picture`."""

    job: str
    path: str
    picture: Source | None = None


@dataclass(frozen=True)
class Cancel:
    """Cancel a job."""

    job: str


@dataclass(frozen=True)
class Shutdown:
    """End the process."""


# ---- from the engine -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """Report that the engine can take requests.

    Attributes:
        device: The device that it uses.
        precision: The number format that it uses.
        versions: Package names and versions.
        card: The name of the graphics card; "" for none.
    """

    device: str
    precision: str
    versions: dict[str, str]
    card: str = ""


@dataclass(frozen=True)
class Alive:
    """A heartbeat, about once a second, from a thread of its own.

    `worked`: the processor time used so far, in milliseconds.
    """

    worked: int = 0


@dataclass(frozen=True)
class Loading:
    """Report what is being loaded."""

    job: str
    text: str = field(metadata=_TEXT)


@dataclass(frozen=True, eq=False)
class Step:
    """Report progress.

    Attributes:
        job: The job's id.
        step: The finished step, from 1; 0 when the model is loaded and painting begins.
        steps: The number of steps.
        image: The picture, from 1.
        images: The number of pictures.
        preview: h×w×3 uint8 sRGB, row 0 on top; or None.
    """

    job: str
    step: int
    steps: int
    image: int
    images: int
    preview: np.ndarray | None = None


@dataclass(frozen=True)
class Note:
    """Tell the artist something that is not an error, such as which part of the prompt was cut.

    Attributes:
        job: The job's id.
        text: What to tell.
        about: The name of the LoRA that it is about; "" for the job as a whole.
    """

    job: str
    text: str = field(metadata=_TEXT)
    about: str = ""


@dataclass(frozen=True, eq=False)
class Unwrapped:
    """Report the UVs of the meshes in `Generate.bare`: for each T×3×2 float32, 0 to 1, of each triangle's corners."""

    job: str
    maps: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Found:
    """Report what a `Fetch` is about to download.

    Attributes:
        job: The job's id.
        licence: The licence as the model card names it; "" if it names none.
        link: The address of its text or page.
        done: The bytes that are on disk already.
        total: The bytes in all.
    """

    job: str
    licence: str = field(metadata=_TEXT)
    link: str = field(metadata=_TEXT)
    done: int
    total: int


@dataclass(frozen=True)
class Fetched:
    """Report that `done` bytes of a `Fetch` are on disk."""

    job: str
    done: int


@dataclass(frozen=True)
class Stage:
    """Report the stage of an `Install`: its text, and how many of its `total` bytes are done (0: not counted in bytes);
    or of a `Record` or an `Encode`, with frames in place of bytes.
    """

    job: str
    text: str = field(metadata=_TEXT)
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Installed:
    """Report that a request is complete.

    Attributes:
        job: The job's id.
        path: The model's folder or the one file of a `Fetch`; the interpreter of an `Install` ("" after removing it) or
            a `Check`; the folder of a `Record`; the file of an `Encode` or an `Outline`.
    """

    job: str
    path: str


@dataclass(frozen=True)
class Verified:
    """Report that a `Verify` is complete, with a `core.content_credentials.Proof` as JSON in `report`."""

    job: str
    report: str


@dataclass(frozen=True)
class Finished:
    """Report the finished pictures."""

    job: str
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Cancelled:
    """Report that a job was cancelled."""

    job: str


@dataclass(frozen=True)
class Failed:
    """Report an error (see `core.errors`); `job` is "" if the engine itself could not start."""

    job: str
    kind: str
    message: str = field(metadata=_TEXT)
    hint: str = field(default="", metadata=_TEXT)
    detail: str = field(default="", metadata=_TEXT)
    about: str = ""

    @classmethod
    def of(cls, job: str, error: SDError) -> Failed:
        """Return the message for an error."""
        return cls(job, error.kind, error.message, error.hint, error.detail, error.about)

    @property
    def logged(self) -> str:
        """The text for a log. A blocked word is part of the prompt, which is private."""
        return f"({self.kind})" if self.kind == WordBlocked.kind else f"({self.kind}): {self.message}\n{self.detail}"

    def error(self) -> SDError:
        """Return the error as an exception."""
        error = error_of_kind(self.kind, self.message, self.hint, self.detail)
        error.about = self.about
        return error


WorkRequest = Generate | Fetch | Install | Check | Verify | Record | Encode | Outline
Ending = Finished | Installed | Verified | Cancelled | Failed
Event = Ready | Alive | Loading | Step | FrameDone | Note | Unwrapped | Found | Fetched | Stage | Ending
ENDINGS: tuple[type, ...] = get_args(Ending)
EVENTS: tuple[type, ...] = get_args(Event)
MESSAGES: tuple[type, ...] = (Hello, *get_args(WorkRequest), Cancel, Shutdown, *EVENTS)


def text_of(error: BaseException) -> str:
    """Return the traceback of `error` as text, for `detail`."""
    import traceback

    return "".join(traceback.format_exception(error))
