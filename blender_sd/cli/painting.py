"""Carry out units of work: check all, make them with one or several engines, name their files, and report."""
from __future__ import annotations

import argparse
import itertools
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import EngineMissing, OutputUnwritable, SDError
from ..core.names import DEVICES, FORBIDDEN
from ..core.request import Request
from ..core.roles import LIGHT
from . import camera_frames, exits, units
from .blend_files import open_blend
from .interrupts import Interrupts
from .options import configure
from .reporting import Progress, fail, record
from .units import NameUnusable, Unit

_PATIENCE = 0.2  # seconds between looks at the signals
_OF_THE_ENGINE = re.compile(r"_\d+_[0-9a-f]{6}(-\d+)?\.png$")  # names that `engine/output/pictures.py` gives
_LONGEST = 200  # bytes of a name; systems allow 255 with what is added to it
_NO_SPACE = 1 << 20  # bytes; a picture takes more
_AHEAD = 1  # units that wait for an engine, so that it need not wait for a render


@dataclass
class _Doing:
    """A unit that is being made. `number`: its place in the list, from 1."""

    number: int
    unit: Unit
    job: Any


def paint(asked: argparse.Namespace, todo: Sequence[Unit], status: int = exits.DONE) -> int:
    """Make all units and return the exit code.

    Everything is checked first: where one cannot be made as it is asked for, nothing is started.

    Args:
        asked: The options of `options.add_painting`.
        todo: The units, in their order.
        status: The exit code for what the caller has already found and reported; then all is checked and nothing made.
    """
    orders, status = _checked(asked, todo, status)
    if status != exits.DONE:
        return status
    if asked.dry_run:
        for unit, order in zip(todo, orders):
            _list(asked, unit, order)
        return check_machine()
    if not asked.resume:  # what is there already needs no engine
        check_machine()
    with Interrupts() as interrupts:
        return _Painter(asked, todo, orders, interrupts).run()


def check_machine() -> int:
    """Return DONE if there is an engine to run and a folder for pictures, or a place to make it. Raises EngineMissing
    and OutputUnwritable. Nothing is started or made."""
    from ..calls.runtime import runtime

    checked_engine()
    folder = os.path.abspath(runtime.folders.output_path())
    there = folder
    while not os.path.exists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there) or not os.access(there, os.W_OK):
        raise OutputUnwritable(f"The output folder {folder} cannot be {'used' if there == folder else 'made'}.",
                               "Give another by --output, or look who may write there.")
    return exits.DONE


def checked_engine() -> str:
    """Return the engine's interpreter, "" if the engine runs in this process. Raises EngineMissing if there is none.
    Nothing is started."""
    from ..calls.runtime import runtime
    from ..library import paths

    python = "" if runtime.config.in_thread else runtime.engine_python()
    if python and not os.path.isfile(paths.program(python)):
        raise EngineMissing(f"The engine's interpreter is missing: {python}.",
                            "Set up the engine with 'Set Up' in the panel, or name a Python with torch and diffusers "
                            "by --engine-python or SD_ENGINE_PYTHON.")
    return python


def set_up(asked: argparse.Namespace) -> None:
    """Open the .blend file and configure the machine, as the options say. Raises SDError."""
    if asked.blend:
        open_blend(asked.blend)
    configure(asked)


def _checked(asked: argparse.Namespace, todo: Sequence[Unit], status: int) -> tuple[list[Any], int]:
    """Return the order of each unit, and `status`, or else the exit code of the first that cannot be made."""
    orders: list[Any] = []
    keywords, order = None, None
    taken: dict[str, Unit] = {}
    blamed: dict[str, str] = {}  # the setting that a message is about: many jobs often have the same mistake
    for unit in todo:
        try:
            if unit.request is None:
                alike = {key: value for key, value in unit.keywords.items() if key not in ("source", "mask")}
                if alike != keywords or order is None:  # frames differ in their pictures alone
                    order, keywords = units.prepared(unit), alike
                else:
                    units.check_files(unit)
                orders.append(order)
            else:
                orders.append(units.located_order(unit))
            _check_names(unit, orders[-1].request, taken)
        except SDError as error:
            order = None
            if error.message not in blamed:
                blamed[error.message] = units.field_of(unit, error)
            place = units.where_of(unit, blamed[error.message])
            status = fail(error, status or exits.status_of(error), asked.json, place)
    return orders, status


def _check_names(unit: Unit, request: Request, taken: dict[str, Unit]) -> None:
    """Raise NameUnusable if a unit's files cannot have their names, or another unit in `taken` has one of them."""
    name = unit.name
    if not name:
        return
    if FORBIDDEN.search(name) or DEVICES.fullmatch(name) or name.startswith(".") or name != name.strip():
        raise NameUnusable(f"'{name:.60}' cannot be the name of a file.", "Leave out / \\ : * ? \" < > |.")
    if len(name.encode("utf-8", "replace")) > _LONGEST:
        raise NameUnusable(f"The name '{name:.40}…' is too long.", f"{_LONGEST} bytes are the most.")
    for file in _names(name, [False] * (request.pictures + bool(request.axes))):
        if taken.setdefault(file.casefold(), unit) is not unit:
            raise NameUnusable(f"Two results are called '{file:.60}'.", "Give each a name of its own.")


def _names(name: str, beside: Sequence[bool]) -> list[str]:
    """Return the names of a unit's files, without their ending; `beside`: for each of them, whether it is called like
    the one before."""
    count = len(beside) - sum(beside)
    places = itertools.accumulate(int(not same) for same in beside)
    return [name if count == 1 else f"{name}_{place}" for place in places]


def _list(asked: argparse.Namespace, unit: Unit, order: Any) -> None:
    request, model = order.request, order.info.name
    if asked.json:
        record("planned", name=unit.name, frame=unit.frame, where=unit.where, task=request.task.name,
               pictures=request.pictures, model=model, seed=request.seed, steps=request.steps, notes=order.notes)
    else:
        print(f"{unit.label}: {request.task.name}, {request.pictures} × {model}, {request.steps} steps, seed "
              f"{request.seed}")


def _name(source: str, target: str) -> None:
    """Give a finished picture its name. One that has a name of its own already, of another unit with the same request,
    is copied. Raises OutputUnwritable."""
    from ..library import files

    try:
        if _OF_THE_ENGINE.search(source):
            files.replace(source, target)
        else:
            with open(source, "rb") as file:
                files.write_whole(target, file.read())
    except OSError as error:
        if isinstance(error, FileNotFoundError) and os.path.isfile(target):
            return  # another process with the same work was faster
        raise OutputUnwritable(f"The picture {source} cannot be renamed to {target}.", "Look who may write there.",
                               repr(error)) from None


def _unwritten(folder: str, notes: Sequence[str]) -> OutputUnwritable:
    """Return the error for a picture that came without a file. The engine's notes speak to a person at the panel."""
    full = shutil.disk_usage(folder).free < _NO_SPACE
    return OutputUnwritable(
        f"{'The disk is full' if full else 'A finished picture cannot be written'}: {folder}.",
        "Free some space, then run this again with --resume." if full else
        "Look who may write there, then run this again with --resume.", "; ".join(notes))


def _disk_of(folder: str) -> int:
    """Return the number of the disk or share that a folder lies on; -1 if it is not there."""
    try:
        return os.stat(folder).st_dev
    except OSError:
        return -1


class _Painter:
    """The loop: keep the engines busy, bring in what is finished, and stop when asked to."""

    def __init__(self, asked: argparse.Namespace, todo: Sequence[Unit], orders: Sequence[Any],
                 interrupts: Interrupts) -> None:
        from ..calls.runtime import runtime
        from ..library.kept_pictures import KeptPictures

        self._asked, self._interrupts, self._runtime = asked, interrupts, runtime
        self._waiting = list(enumerate(zip(todo, orders), 1))
        self._total = len(todo)
        self._doing: list[_Doing] = []
        self._progress = Progress(self._total, asked.quiet)
        self._status = self._made = self._kept = self._failed = 0
        self._folder = str(runtime.folders.output_folder())
        self._disk = _disk_of(self._folder)
        self._stamp = camera_frames.stamp()
        self._pictures = KeptPictures(self._folder) if asked.resume else None
        self._there: set[str] = set()  # paths of pictures that were finished before
        runtime.kept = self._find if self._pictures is not None else None

    def run(self) -> int:
        try:
            while (self._waiting or self._doing) and not self._interrupts.status:
                while self._waiting and len(self._doing) < self._runtime.engines + _AHEAD:
                    self._begin()
                self._runtime.wait(_PATIENCE)
                self._runtime.pump(None)
                self._bring_in()
                self._show()
        finally:
            self._progress.close()
            self._stop()
        status = self._interrupts.status or self._status
        cancelled = self._total - self._made - self._kept - self._failed
        summary = {"made": self._made, "kept": self._kept, "failed": self._failed, "cancelled": cancelled}
        if self._asked.json:
            record("end", status=status, **summary)
        else:
            parts = [f"{count} {what}" for what, count in summary.items() if count or what == "made"]
            self._progress.line(", ".join(parts))
        return status

    def _find(self, request: Any) -> tuple[Any, ...]:
        """Return the pictures of a request that are there already. Called on background threads."""
        results = self._pictures.find(request) if self._pictures is not None else ()
        self._there.update(result.path for result in results)
        return results

    def _begin(self) -> None:
        number, (unit, order) = self._waiting.pop(0)
        try:
            self._check_share()
            if self._pictures is not None and unit.frame is not None and unit.request is None:
                request = camera_frames.expected(self._folder, unit, order.request, self._stamp)
                if request is not None and (results := self._find(request)):
                    self._place(number, unit, results, order.notes)
                    return
            self._doing.append(_Doing(number, unit, units.begin(unit)))
        except SDError as error:
            self._fail(unit, error)

    def _bring_in(self) -> None:
        for doing in [doing for doing in self._doing if doing.job.done]:
            self._doing.remove(doing)
            job = doing.job
            if job.error is not None:
                self._fail(doing.unit, job.error)
            elif job.state == "finished":
                try:
                    self._place(doing.number, doing.unit, job.results, job.notes, job.request)
                except SDError as error:
                    self._fail(doing.unit, error)
        if self._runtime.session is not None:
            self._runtime.session.clear_finished()

    def _place(self, number: int, unit: Unit, results: Sequence[Any], notes: Sequence[str],
               request: Any = None) -> None:
        """Give the pictures of a unit their names and report them."""
        self._check_share()
        kept = all(result.path in self._there for result in results)
        placed = []
        names = _names(unit.name, [result.role == LIGHT for result in results])
        for name, result in zip(names, results):
            if not result.path:
                raise _unwritten(self._folder, notes)
            path = result.path
            if unit.name:
                path = os.path.join(self._folder, name + os.path.splitext(result.path)[1])
            if path != result.path:
                _name(result.path, path)
            placed.append((path, result))
        if request is not None and unit.frame is not None:
            camera_frames.note(self._folder, unit, request, self._stamp)
        self._kept, self._made = self._kept + kept, self._made + (not kept)
        for path, result in placed:
            if self._asked.json:
                record("kept" if kept else "made", path=path, name=unit.name, frame=unit.frame, where=unit.where,
                       role=result.role, width=result.width, height=result.height, seed=result.request.seed,
                       notes=list(notes))
            else:
                print(path, flush=True)
        for note in notes:
            self._progress.line(f"{unit.label}: {note}")
        self._progress.line(f"{self._done} of {self._total}  {unit.label}{': there already' if kept else ''}")

    def _check_share(self) -> None:
        """Raise OutputUnwritable if the output folder is gone, or its place is now a folder on another disk: what is
        left where a share was mounted."""
        if _disk_of(self._folder) != self._disk:
            raise OutputUnwritable(f"The output folder is gone: {self._folder}.",
                                   "Mount its share again, then run this again with --resume.")

    @property
    def _done(self) -> int:
        return self._made + self._kept + self._failed

    def _fail(self, unit: Unit, error: SDError) -> None:
        self._progress.close()
        self._failed += 1
        status = exits.status_of(error)
        if status == exits.UNUSABLE and units.is_gone(unit):  # it was there when everything was checked
            status = exits.UNWRITABLE
        if status in exits.FINAL:
            self._waiting.clear()  # every further one would fail as well
        self._status = status if status in exits.FINAL or self._total == 1 else self._status or exits.FAILED
        fail(error, status, self._asked.json, units.where_of(unit) or unit.label)

    def _show(self) -> None:
        doing = next((doing for doing in self._doing if doing.job.state in ("loading", "running")), None)
        if doing is not None:
            job = doing.job
            self._progress.show(self._done, doing.unit.label, job.text, job.progress, job.eta)

    def _stop(self) -> None:
        """Cancel what is going on and end the engines. Finished pictures stay."""
        if self._interrupts.status:
            self._progress.line("Cancelled; finished pictures are kept. Once more Ctrl-C ends at once.")
        self._runtime.kept = None
        self._runtime.shutdown()
