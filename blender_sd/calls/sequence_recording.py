"""What an output folder has of an earlier run of an animation, whether a call can go on with it, and what is recorded.
"""
from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..core.errors import InvalidRequest
from ..core.names import suggestion
from ..core.regions import REGION_KINDS
from ..core.request import Request
from ..core.tasks import RestyleSequence
from ..library import files, shot_folders
from ..library.kept_pictures import key_of
from ..protocol.messages import Record
from ..protocol.shot_names import parts_of
from ..protocol.shots import FLOW, LINKS, Course, Shot, ShotInfo
from .runtime import runtime
from .sequence_frames import SCENE, Asked, of_recording, recorded_in
from .sequence_guides import Guides
from .sequence_work import SavedCopy, SequenceWork
from .submission import Order

AUTO = "auto"
_VARYING = ("strength", "guidance", "seed", "blend")
_AGAIN = "Record it again: leave out `resume`, or switch off Use Recorded Frames."
_SETTINGS = {"motion": "Motion", "scene": "They Show This Scene"}  # as the panel calls them
_IDLE: dict[str, Any] = {"batch": 0, "skip_broken": False}  # settings that change no pixel


@dataclass(frozen=True)
class Begun:
    """What an output folder has of an earlier run, and how a call goes on with it.

    Attributes:
        output: The folder, a whole path; "" for a new one.
        resume: Whether to go on with what is there.
        recorded: The shot to go on with, if all of it was recorded.
        contents: What that is of (`shot_folders.contents_of`).
        request: What the frames were last painted with.
        of_scene, link: As the call, or else the earlier run, has them.
        part: Whether the call makes a part of the frames.
        taken_over: The folder whose recording is used for another one.
    """

    output: str
    resume: bool
    recorded: ShotInfo | None
    contents: Mapping[str, str]
    request: Request | None
    of_scene: bool
    link: str
    part: bool = False
    taken_over: str = ""

    @classmethod
    def at(cls, output: str | os.PathLike | None, resume: bool, part: bool, of_scene: bool | None, link: str | None
           ) -> Begun:
        """Look at an output folder. Raises InvalidRequest for a link that there is not, and where there is no folder to
        resume."""
        if link not in (None, AUTO, *LINKS):
            raise InvalidRequest(f"Frames cannot be linked by '{link:.40}'.", suggestion(link, (AUTO, *LINKS)))
        if output is None:
            if resume:
                raise InvalidRequest("To resume, the folder of the frames is needed.", "Give `output`.")
            return cls("", False, None, {}, None, bool(of_scene), link or AUTO)
        folder = os.path.abspath(runtime.scene.local_path(output))  # without a slash at its end: a movie goes beside it
        contents = shot_folders.contents_of(folder) if resume else {}
        noted = contents.get("motion", "")
        return cls(folder, resume, recorded_in(folder) if resume else None, contents, shot_folders.request_of(folder),
                   contents.get("scene") == "yes" if of_scene is None else of_scene,
                   link or (noted if noted in LINKS else AUTO), part)

    def asked(self, asked: Asked, chosen: bool) -> Asked:
        """Return what is asked for, of frames that are recorded already if they are. Raises InvalidRequest for frames
        that are not among them."""
        return asked if self.recorded is None else of_recording(asked, self.recorded, chosen)

    def seeded(self, order: Order, seed: int | None) -> Order:
        """Return the order, with the seed of the earlier run where the call gave none."""
        if seed is not None or not self.resume or self.request is None:
            return order
        return replace(order, request=order.request.changed(seed=self.request.seed))

    def has_others(self, request: Request) -> bool:
        """Return whether frames are finished that were painted with another request."""
        return self.request is not None and bool(_difference(request, self.request)) and (
            next(finished_in(self.output), None) is not None)

    def check(self, asked: Asked, order: Order, guides: Guides, moving: Moving) -> None:
        """Raise InvalidRequest if what is there cannot be gone on with: its pictures would be taken for these."""
        if not self.resume:
            return
        for name, value in contents_for(asked, order, guides, self.link).items():
            if not self._has(name, value):
                setting = _SETTINGS.get(name)
                raise InvalidRequest(f"What was recorded in {self.output} has other {name}." if setting is None else
                                     f"What was recorded in {self.output} has another setting of {setting}.", _AGAIN)
        if self.part and self.request is not None and (name := _difference(order.request, self.request)):
            self._refuse(name)
        if self.part and self.recorded is not None:
            course = self.course
            now = moving.course(course, self.recorded.frames)
            if "prompts" in moving.asked and now.prompts != course.prompts:
                self._refuse("list of prompts")
            if "varying" in moving.asked and not _alike(now, course):
                self._refuse("list of settings that vary")

    def _has(self, name: str, value: str) -> bool:
        """Return whether the shot has a content, or nobody wrote down what it has."""
        if not self.contents or name in _SETTINGS and name not in self.contents:
            return True
        by_itself = name == "motion" and self.recorded is not None and value == self.recorded.link
        return by_itself or self.contents.get(name, "") == value

    @property
    def course(self) -> Course:
        """What varies from frame to frame, as it was recorded."""
        return Shot(shot_folders.shot_in(self.output)).course

    def _refuse(self, name: str) -> None:
        raise InvalidRequest(f"The animation in {self.output} was begun with another {name}.",
                             "All its parts need the same settings: give it as it was, or leave it out.")


@dataclass(frozen=True)
class Moving:
    """What changes over an animation.

    Attributes:
        prompts: Pairs of a frame and the prompt from there on.
        varying: Settings that follow properties of the scene, by name; None for those that were recorded.
        asked: Which of both the call itself gave.
        noted: Those of this or an earlier call, as the shot's contents keep them for the next one.
    """

    prompts: tuple[tuple[int, str], ...]
    varying: Mapping[str, str] | None
    asked: tuple[str, ...]
    noted: Mapping[str, str]

    @classmethod
    def of(cls, prompts: Any, varying: Mapping[str, str] | None, asked: Asked, begun: Begun) -> Moving:
        """Return what a call asks for; what it leaves open is that of the earlier run. Raises InvalidRequest."""
        for name in varying or {}:
            if name not in _VARYING and not (name.startswith("regions/") and name[8:].isdecimal()):
                raise InvalidRequest(f"'{name:.40}' cannot follow a property.", suggestion(name, _VARYING))
        given = tuple(name for name, value in (("prompts", prompts), ("varying", varying)) if value is not None)
        noted = {name: begun.contents.get(name, "") for name in ("prompts", "varying")}
        if prompts is not None:
            listed = _prompts(prompts)
            noted["prompts"] = json.dumps(listed)
        elif noted["prompts"]:
            listed = _prompts(_parsed(noted["prompts"]))
        elif begun.part and begun.recorded is not None:
            listed = begun.course.prompts
        else:
            listed = tuple(runtime.scene.sequences.marked_prompts(asked.frames[0], asked.frames[-1])) if (
                asked.of_scene) else ()
        if varying is not None:
            noted["varying"] = json.dumps(sorted(varying.items()))
        elif noted["varying"]:
            varying = {str(name): str(path) for name, path in _parsed(noted["varying"])}
        return cls(listed, varying, given, noted)

    def course(self, recorded: Course, frames: tuple[int, ...]) -> Course:
        """Return what was recorded, brought up to date: prompts, and what is keyframed now. What is driven stays as it
        was recorded."""
        if self.varying is None:
            return replace(recorded, prompts=self.prompts)
        values = runtime.scene.sequences.keyframed_in_scene(tuple(self.varying.items()), frames)
        kept = {name: values.get(name, getattr(recorded, name)) for name in _VARYING if name in self.varying}
        regions = {int(name[8:]): values.get(name, recorded.regions.get(int(name[8:]), {})) for name in self.varying
                   if name not in _VARYING}
        return Course(**kept, regions=regions, prompts=self.prompts)


def contents_for(asked: Asked, order: Order, guides: Guides, link: str) -> dict[str, str]:
    """Return what a shot is of, by the names that messages have for it; alike on all machines of a farm.

    Where the order has no controls or regions, those of the shot do not count.
    """
    made = {"frames": "/".join(asked.source.replace("\\", "/").split("/")[-2:]),
            "scene": "yes" if asked.of_scene else "no", "motion": link if asked.of_scene else FLOW,
            "views": " ".join(asked.views)}
    if order.controls:
        made["controls"] = " ".join(guides.controls)
    if order.regions:
        made["regions"] = " ".join(f"{number}={kind}:{fields[kind]}" for number, fields in json.loads(guides.regions)
                                   for kind in REGION_KINDS if kind in fields)
    return made


def prepare_shot(work: SequenceWork, folder: str, begun: Begun, asked: Asked, order: Order, guides: Guides,
                 moving: Moving, notes: list[str]) -> None:
    """Make the shot's folder for a call that `Begun.check` has passed, and tell `work` what is recorded into it.

    Args:
        work: What goes with the job; its `request`, `copy`, `course` and `taken_over` are set.
        folder: The output folder.
        begun, asked, order, guides, moving: See there.
        notes: Takes what the person should know.

    Raises:
        SDError: The folder or the copy of the scene cannot be written.
    """
    contents = {**contents_for(asked, order, guides, begun.link), **moving.noted}
    if begun.taken_over:
        shot_folders.new_shot(folder)
        work.taken_over = begun.taken_over
    if begun.recorded is None:
        work.request, work.copy = _recording(asked, order, folder, begun, guides, moving, notes)
    elif not begun.part:
        work.course = moving.course(begun.course, begun.recorded.frames)
    if not (begun.part and begun.recorded is not None):
        shot_folders.note_contents(folder, {**begun.contents, **contents})
    if not begun.part or begun.request is None:
        shot_folders.note_request(folder, order.request)


def finished_in(output: str) -> Iterator[str]:
    """Yield the names of finished frames in an output folder, without their ending."""
    for name in files.names_in(output):
        stem, ending = os.path.splitext(name)
        if ending == ".png" and parts_of(stem) is not None:
            yield stem


# ---- inside ----------------------------------------------------------------------------------------------------------


def _recording(asked: Asked, order: Order, folder: str, begun: Begun, guides: Guides, moving: Moving, notes: list[str]
               ) -> tuple[Record, SavedCopy | None]:
    """Return what is recorded into `folder`, and the saved copy of the scene, which lies there by then."""
    scene, task = runtime.scene.sequences, order.request.task
    assert isinstance(task, RestyleSequence)
    known = shot_folders.saved_copy(folder) if begun.resume else ""
    there = begun.resume and os.path.isdir(shot_folders.shot_in(folder))
    shot = shot_folders.shot_in(folder) if there else shot_folders.new_shot(folder)
    name, copy = "", None
    if asked.of_scene or moving.varying:
        if scene.records_here():
            name = scene.name_of_scene()
        else:
            name, copy = _copy(folder, known, notes)
    rate = scene.fps_of_scene() if asked.source != SCENE else ()
    return Record("", shot, asked.frames, copy.path if copy is not None else "", "", name if asked.of_scene else "",
                  "" if asked.source == SCENE else asked.source, begun.link if asked.of_scene else FLOW,
                  int(task.frame_bits), tuple(f"{key}={path}" for key, path in (moving.varying or {}).items()),
                  json.dumps(moving.prompts), task.skip_broken, guides.controls, guides.regions, tuple(rate)), copy


def _copy(folder: str, known: str, notes: list[str]) -> tuple[str, SavedCopy]:
    """Return the scene's name and the saved copy of it, made unless it is `known`."""
    scene, state = runtime.scene.sequences, str(runtime.folders.own_folder("copies.json"))
    if known:
        return scene.name_of_scene(), SavedCopy(known, state, None, scene.runs_scripts())
    blend, name, scripts, lost = scene.copy_scene(shot_folders.copy_folder(folder))
    notes += lost
    return name, SavedCopy(blend, state, shot_folders.digest_soon(blend), scripts)


def _difference(one: Request, other: Request) -> str:
    """Return the name of a setting that differs, in words; "" for none."""
    sides = [_flat(json.loads(key_of(request.changed(**_IDLE)))) for request in (one, other)]
    return next((name.replace("_", " ") for name in sides[0].keys() | sides[1].keys()
                 if sides[0].get(name) != sides[1].get(name)), "")


def _alike(one: Course, other: Course) -> bool:
    """Return whether the same settings have the same values over time, up to the last digits."""
    sides = [{**{name: getattr(course, name) for name in _VARYING}, **course.regions} for course in (one, other)]
    if sides[0].keys() != sides[1].keys():
        return False
    pairs = [(side, sides[1][name]) for name, side in sides[0].items()]
    return all(mine.keys() == theirs.keys() and all(abs(mine[frame] - theirs[frame]) < 1e-4 for frame in mine)
               for mine, theirs in pairs)


def _flat(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request's JSON with the settings of its task beside the others."""
    return {**{name: value for name, value in raw.items() if name != "task"},
            **(raw["task"] if isinstance(raw["task"], dict) else {})}


def _prompts(given: Any) -> tuple[tuple[int, str], ...]:
    """Return pairs of a frame and a prompt, rising. Raises InvalidRequest for what is none."""
    try:
        pairs = [(frame, text) for frame, text in given]
    except (TypeError, ValueError):
        pairs = [(None, None)]
    for frame, text in pairs:
        if type(frame) is not int or not isinstance(text, str):
            raise InvalidRequest("The prompts of an animation are pairs of a frame's number and a text.",
                                 "Write them as [(1, \"clay\"), (48, \"bronze\")].")
    return tuple(sorted(pairs))


def _parsed(text: str) -> list[Any]:
    """Return a list of pairs that was kept as JSON; nothing where somebody changed it."""
    try:
        pairs = json.loads(text)
    except (ValueError, RecursionError):
        return []
    whole = isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    return pairs if whole else []
