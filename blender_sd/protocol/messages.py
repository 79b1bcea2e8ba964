"""The closed set of messages between the session and an engine, and the pipeline that both speak of.

Every event carries its job's id: a stale one is dropped, never mistaken for the next job's. A job ends with exactly
one of ENDINGS.
"""
from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, Union

import numpy as np

from .errors import SDError, WordBlocked, error_of_kind
from .request import Request

PROTOCOL = 1
# The roles of a child process: see `engine.boot`.
PAINT, FETCH, INSTALL, CHECK, VERIFY = "paint", "fetch", "install", "check", "verify"
ATTENTION = ("auto", "flash", "sage", "xformers")  # what computes it: torch itself, or a package beside it


@dataclass(frozen=True)
class EngineConfig:
    """How an engine runs. `device`: auto, cpu, cuda, mps, xpu (with ":1" for the second …); `precision`: auto, fp32,
    bf16, fp16; `threads`: CPU threads, 0 = all cores; `memory_mb`: budget for models kept loaded, 0 = half of
    what the machine has; `memory_use`: auto, or the rung (`protocol.rungs`) to begin at; `preview_px`: longest side of
    previews, 0 = none; `attention`: one of `ATTENTION`; `compile`: whether torch compiles the model's blocks, which makes the
    first picture of each size wait and later ones faster. `marking`: whether files say in ways that other programs read that a model made
    them (XMP, content credentials). `credentials`: the folder for the key that credentials are signed with, "" = they are not signed;
    `certificate`, `private_key`: PEM files to sign with instead. `safety_filter`: the folder of the model that looks at every
    finished picture, "" = none, `safety_labels`: which of its labels are unsafe, separated by commas, "" = those known by their names,
    `safety_threshold`: from which share of certainty on (above 0, up to 1); `blocked_words`: a text file of words that prompts may not
    hold, "" = none. What a studio's policy (`protocol.policy`) says of these counts before."""

    device: str = "auto"
    precision: str = "auto"
    threads: int = 0
    memory_mb: int = 0
    memory_use: str = "auto"
    preview_px: int = 256
    attention: str = "auto"
    compile: bool = False
    marking: bool = True
    credentials: str = ""
    certificate: str = ""
    private_key: str = ""
    safety_filter: str = ""
    safety_labels: str = ""
    safety_threshold: float = 0.5
    blocked_words: str = ""


@dataclass(frozen=True, eq=False)
class Source:
    """An input picture of a request, as it travels. Either `pixels` (H×W×4 uint8, row 0 on top, sRGB as displayed,
    straight alpha) or `encoded` (the bytes of a PNG, JPEG, … file holding the same)."""

    pixels: np.ndarray | None = None
    encoded: bytes | None = None

    def digest(self) -> str:
        """What the request says of it: "sha256:…" of the encoded bytes, or of "HxWxC\\n" (ASCII) and the pixel bytes."""
        if self.encoded is not None:
            return f"sha256:{hashlib.sha256(self.encoded).hexdigest()}"
        digest = hashlib.sha256("x".join(map(str, self.pixels.shape)).encode("ascii") + b"\n")
        digest.update(memoryview(np.ascontiguousarray(self.pixels)).cast("B"))
        return f"sha256:{digest.hexdigest()}"


@dataclass(frozen=True)
class Result:
    """One finished picture. `request` is the picture's own (`Request.single`). It is on disk already, under `path`; or, where the
    order named no folder or that can no longer be written, it is here alone: `pixels`, H×W×4 uint8, sRGB as displayed, row 0 on
    top, straight alpha."""

    path: str
    request: Request
    width: int
    height: int
    pixels: np.ndarray | None = field(default=None, compare=False, repr=False)


# ---- to the engine -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hello:
    """The first message: which protocol the session speaks and how the engine is to run."""

    config: EngineConfig
    protocol: int = PROTOCOL


@dataclass(frozen=True, eq=False)
class Generate:
    """Make `request`'s pictures with the model in `folder` and write them into `output` (a folder; "" = nowhere:
    the results then carry their pixels, as the frames of live mode do). `inputs`: the request's input pictures by role (`Request.inputs`).
    `borrowed`: where `folder` is a file with a denoiser alone, the model folder that it takes all other parts from."""

    job: str
    request: Request
    folder: str
    output: str
    inputs: dict[str, Source] = field(default_factory=dict)
    borrowed: str = ""


@dataclass(frozen=True)
class Fetch:
    """Bring what diffusers needs of the repository `repo` (owner/name) on the Hugging Face hub, or of its one `file`, into
    the folder `folder`. `accepted`: whether a person has accepted its licence; nothing is downloaded before. `token`: the
    person's, "" = what the environment has."""

    job: str
    repo: str
    file: str
    folder: str
    accepted: bool
    token: str = field(default="", repr=False)


@dataclass(frozen=True)
class Install:
    """`action` "install": set up the engine's environment in the folder `place` with what the lock file `lock` names, unless the one
    there is sound; "repair": anew in any case; "remove": delete it and all that belongs to it. `wheels`: a folder of wheels to take
    everything from, with no network; "" = the package index."""

    job: str
    action: str
    place: str
    lock: str
    wheels: str


@dataclass(frozen=True)
class Check:
    """Say whether the interpreter that is running can be the engine's."""

    job: str


@dataclass(frozen=True, eq=False)
class Verify:
    """Check the content credentials of the file at `path`, or of the file whose bytes are in `picture`."""

    job: str
    path: str
    picture: Source | None = None


@dataclass(frozen=True)
class Cancel:
    job: str


@dataclass(frozen=True)
class Shutdown:
    pass


# ---- from the engine -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """The engine can take orders. `versions`: package name -> version."""

    device: str
    precision: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Alive:
    """A heartbeat, about once a second, from a thread of its own."""


@dataclass(frozen=True)
class Loading:
    job: str
    text: str


@dataclass(frozen=True, eq=False)
class Step:
    """`step` of `steps` of picture `image` of `images` (all from 1) is done; step 0: the model is loaded, and painting begins.
    `preview`: h×w×3 uint8 sRGB, row 0 on top."""

    job: str
    step: int
    steps: int
    image: int
    images: int
    preview: np.ndarray | None = None


@dataclass(frozen=True)
class Note:
    """Something the artist should know that is no error, such as what of the prompt was cut."""

    job: str
    text: str


@dataclass(frozen=True)
class Found:
    """What a `Fetch` is about: the licence as the model card names it ("" where it names none), `link` to its text or
    page, and how many bytes of `total` are here already."""

    job: str
    licence: str
    link: str
    done: int
    total: int


@dataclass(frozen=True)
class Fetched:
    """`done` bytes of a `Fetch` are on disk."""

    job: str
    done: int


@dataclass(frozen=True)
class Stage:
    """An `Install` is at the stage `text`, of which `done` of `total` bytes are done; a `total` of 0: not counted in bytes."""

    job: str
    text: str
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class Installed:
    """An order is complete. `path`: of a `Fetch` the model's folder, or the one file that was asked for; of an `Install` the
    environment's interpreter ("" after a removal); of a `Check` the interpreter."""

    job: str
    path: str


@dataclass(frozen=True)
class Verified:
    """A `Verify` is complete; `report`: a `protocol.proof.Proof` as JSON."""

    job: str
    report: str


@dataclass(frozen=True)
class Finished:
    job: str
    results: tuple[Result, ...]


@dataclass(frozen=True)
class Cancelled:
    job: str


@dataclass(frozen=True)
class Failed:
    """`job` is "" where the engine itself failed (it could not start)."""

    job: str
    kind: str
    message: str
    hint: str = ""
    detail: str = ""

    @classmethod
    def of(cls, job: str, error: SDError) -> Failed:
        return cls(job, error.kind, error.message, error.hint, error.detail)

    @property
    def logged(self) -> str:
        """What a log may hold of it: a blocked word is of the prompt, which is the person's alone."""
        return f"({self.kind})" if self.kind == WordBlocked.kind else f"({self.kind}): {self.message}\n{self.detail}"

    def error(self) -> SDError:
        return error_of_kind(self.kind, self.message, self.hint, self.detail)


Order = Union[Generate, Fetch, Install, Check, Verify]
ORDERS = (Generate, Fetch, Install, Check, Verify)
Command = Union[Hello, Generate, Fetch, Install, Check, Verify, Cancel, Shutdown]
Event = Union[Ready, Alive, Loading, Step, Note, Finished, Found, Fetched, Stage, Installed, Verified, Cancelled, Failed]
ENDINGS = (Finished, Installed, Verified, Cancelled, Failed)


class Pipeline(Protocol):
    """What carries out orders: an engine process at arm's length, an engine inside the thread, or a download."""

    def warm(self) -> Ready:
        """Get ready to take orders (start the process, import the libraries). Idempotent; raises SDError."""

    def run(self, order: Order, emit: Callable[[Event], None], cancelled: Callable[[], bool]) -> None:
        """Carry out one order. Emits its events, the last being exactly one of ENDINGS; raises nothing for the
        order's own failures. `cancelled()` is polled; it may be asked from any thread."""

    def close(self) -> None:
        """Free everything. Idempotent."""


def text_of(error: BaseException) -> str:
    """The traceback text of `error`, for `detail`."""
    import traceback

    return "".join(traceback.format_exception(error))
