"""Everything of the add-on that lives as long as Blender runs, in one object.

`runtime` is the only one; calls and the add-on's timer share it. It has one `pump`, one `wait` and one `shutdown` for
jobs, downloads, set-ups and checks of credentials. All methods belong to Blender's main thread.
"""
from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from ..core.request import Request
from ..core.errors import EngineMissing, OnlineAccessOff, PolicyForbids
from ..library import logs, policy
from ..library.accepted_licences import Licences
from ..library.content_digests import ContentDigests
from ..library.history import History
from ..library.model_cache import ModelCache
from ..library.policy_status import PolicyStatus
from ..library.styles import StyleFolder
from ..protocol.messages import FETCH, INSTALL, RECORD, VERIFY, EngineConfig, Generate, Result
from ..protocol.pipeline import Pipeline
from ..session.content_credentials import Verifications
from ..session.downloads import Download, Downloads
from ..session.installations import Installation, Installations
from ..session.process import Limits, ProcessPipeline
from ..session.session import Session
from ..session.transfers import Transfer, Transfers
from .config import OF_THE_ENGINE, SEARCHED, Config
from .folders import Folders
from .interpreter import engine_python, has_torch
from .scene_access import has_blender, the_scene

_DIGESTS = "digests.json"
# A scene may take minutes to evaluate; what is asked to stop is ended soon, and loses at most a frame.
_PATIENT = Limits(silence=900.0, cancel=2.0, cancel_silence=2.0)
SHIPPED_STYLES = Path(__file__).resolve().parent.parent / "styles"


class Runtime:
    """The settings of the machine, the session, the transfers, the history, the styles and the known models.

    `newest_batch`: the list of materials that the panel shows. `engines`: how many share the queue, from the next
    session on; `kept`: looks for a request's finished pictures before they are painted (see `Session`). `tell` hears
    how far what blocks Blender is (what, done, of how many); `interrupted` says whether it is to stop. These are the
    command line's.
    """

    def __init__(self) -> None:
        self.config = Config()
        self.folders = Folders(lambda: self.config)
        self.models = ModelCache(lambda: self.folders.model_folders())
        self.policy = PolicyStatus(lambda: self.config.safety_filter)
        self.session: Session | None = None
        self.newest_batch: Any = None
        self.engines = 1
        self.kept: Callable[[Request], tuple[Result, ...]] | None = None
        self.tell: Callable[[str, int, int], None] = lambda text, done, total: None
        self.interrupted: Callable[[], bool] = lambda: False
        self._changed = threading.Condition()  # notified by every inbox
        self._licences: Licences | None = None
        self._history: History | None = None
        self._styles: StyleFolder | None = None
        self._helpers: set[ProcessPipeline] = set()
        self._start_transfers()

    # ---- the parts ---------------------------------------------------------------------------------------------------

    def the_session(self) -> Session:
        """Return the session, made if there is none yet."""
        if self.session is None:
            self.session = Session(self.pipeline_factory(), self.scene.check_turn, self._changed,
                                   more=self._more_factories(), kept=self.kept)
        return self.session

    @property
    def history(self) -> History:
        """The history of the output folder as it is set now. Starts nothing by itself, reads nothing."""
        folder = os.path.abspath(self.folders.output_path())
        if self._history is None or self._history.folder != folder:
            self.close_history()
            self._history = History(folder, optional=not self.config.output)
        return self._history

    @property
    def known_history(self) -> History | None:
        """The history, None where nothing has asked for it yet."""
        return self._history

    @property
    def styles(self) -> StyleFolder:
        """The shipped styles and the person's."""
        own = str(self.folders.style_folder())
        if self._styles is None or self._styles.own != own:
            self._styles = StyleFolder(own, str(SHIPPED_STYLES))
        return self._styles

    @property
    def known_styles(self) -> StyleFolder | None:
        """The styles, None where nothing has asked for them yet."""
        return self._styles

    @property
    def licences(self) -> Licences:
        """The licences of models that the person has accepted. Reads a file the first time."""
        if self._licences is None:
            self._licences = Licences(str(self.folders.own_folder("licences.json")))
        return self._licences

    @cached_property
    def digests(self) -> ContentDigests:
        """The digests of models that an engine has computed on this machine."""
        return ContentDigests(str(self.folders.own_folder(_DIGESTS)))

    @cached_property
    def scene(self) -> ModuleType:
        """The package `scene`, or what stands for it without Blender; imported when a call needs it. It asks this
        object whether new pictures are marked."""
        scene = the_scene()
        scene.ask_marking(self.marks)
        return scene

    def marks(self) -> bool:
        """Return whether pictures are marked as made by a model: as the person, or else the policy, has it. Reads the
        policy where nothing has yet, as in the background, where no timer looks."""
        if not policy.is_known():
            with suppress(PolicyForbids):
                policy.current()
        known = policy.known()
        return self.config.marking or isinstance(known, PolicyForbids) or known.marking

    # ---- one pump, one wait, one end ---------------------------------------------------------------------------------

    def pump(self, budget: float | None = 0.008) -> bool:
        """Bring what threads and processes reported into Blender, and end what uses the internet where Blender may no
        longer.

        Args:
            budget: Seconds that may be spent on jobs, None without limit. Transfers report little and are always
            brought in.

        Returns:
            Whether anything changed.
        """
        changed = False
        for transfers in self._transfers():
            _end_offline(transfers)
            changed |= transfers.pump()
        if self.session is not None:
            changed |= self.session.pump(budget)
        return changed

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until `pump` has something to do, at most `timeout` seconds; return whether it has."""
        def waits() -> bool:
            return any(part.waits() for part in self._transfers()) or self.session is not None and self.session.waits()

        if not self.busy() and not waits():
            return False
        with self._changed:
            return self._changed.wait_for(waits, timeout)

    def busy(self) -> bool:
        """Return whether a job or a transfer is going on, or an engine is starting."""
        if any(not transfer.done for transfers in self._transfers() for transfer in transfers.all):
            return True
        return self.session is not None and (self.session.busy())

    def shutdown(self) -> None:
        """Cancel everything, downloads and set-ups too, and stop all processes and threads. The next call starts
        again."""
        before = list(self._transfers())
        self._start_transfers()
        for transfers in before:
            transfers.shutdown()
        self.close_history()
        session, self.session = self.session, None
        if session is not None:
            self.scene.give_up()
            for pipeline in tuple(self._helpers):
                pipeline.abort()
            session.shutdown()

    # ---- settings and the engine -------------------------------------------------------------------------------------

    def configure(self, **changes: Any) -> None:
        """Change settings by the names of `Config`'s fields, from the next job on. A changed engine setting closes the
        running engine after its current job. Raises InvalidRequest for an unknown name or a value of another type."""
        before, self.config = self.config, self.config.changed(**changes)
        self.folders.look_again()
        changed = self.config.differences(before)
        if changed & SEARCHED:
            self.models.forget()
        if self.session is not None and changed & OF_THE_ENGINE:
            self.session.use(self.pipeline_factory(), *self._more_factories())

    def renew_engine(self) -> None:
        """Close the running engine, after its current job; the next job starts one with the interpreter that is then
        there."""
        if self.session is not None:
            self.session.use(self.pipeline_factory(), *self._more_factories())
            if self.session.status == "failed":
                self.session.status = "off"

    def pipeline_factory(self, number: int = 0) -> Callable[[], Pipeline[Generate]]:
        """Return what makes the pipeline that the configuration asks for: a function for the background thread, which
        touches no bpy and raises EngineMissing. `number`: which of the `engines` it is, from 0."""
        self.start_log()
        config, place = self.config, str(self.folders.engine_place())
        engine = config.engine_config(str(self.folders.credentials_folder()), str(self.folders.own_folder(_DIGESTS)))
        engine = replace(engine, engine=number, engines=self.engines)

        def make() -> Pipeline[Generate]:
            if not config.in_thread:
                return ProcessPipeline(engine_python(config, place), engine)
            if not has_torch():
                raise EngineMissing("This Python has no torch and diffusers, so the engine cannot run inside Blender.",
                                    "Switch off 'Run inside Blender', or install them.")
            from ..engine import Engine

            return Engine(engine)

        return make

    def engine_python(self) -> str:
        """Return the interpreter for the engine. Looks at the disk. Raises EngineMissing."""
        return engine_python(self.config, str(self.folders.engine_place()))

    def knows_engine(self) -> bool:
        """Return whether there is an engine to run. Looks at the disk."""
        try:
            return self.config.in_thread or bool(self.engine_python())
        except EngineMissing:
            return False

    def fetch_pipeline(self) -> ProcessPipeline:
        """Return what downloads a model; it starts when it is given a request. Raises EngineMissing."""
        return self.role_pipeline(FETCH, self.engine_python())

    def verify_pipeline(self) -> ProcessPipeline:
        """Return what checks content credentials; it starts when it is given a request. Raises EngineMissing."""
        return self.role_pipeline(VERIFY, self.engine_python(), EngineConfig(certificate=self.config.certificate))

    def install_pipeline(self) -> ProcessPipeline:
        """Return what sets up an engine, with Blender's own Python; it starts when it is given a request."""
        return self.role_pipeline(INSTALL, sys.executable)

    def record_pipeline(self) -> ProcessPipeline:
        """Return what records shots and makes movies, in a Blender without a window: this program again, or this Python
        where bpy is a module; it starts when it is given a request."""
        import bpy

        self.start_log()
        program = bpy.app.binary_path
        options = ("--background", "--offline-mode", "--python") if program else ()
        return ProcessPipeline(program or sys.executable, EngineConfig(), role=RECORD, blender=options, limits=_PATIENT)

    @contextmanager
    def helper(self, pipeline: ProcessPipeline) -> Iterator[ProcessPipeline]:
        """Return a context in which a process helps a job, on any thread; it is closed at the end, or by `shutdown`."""
        self._helpers.add(pipeline)
        try:
            yield pipeline
        finally:
            self._helpers.discard(pipeline)
            pipeline.close()

    def role_pipeline(self, role: str, python: str, engine: EngineConfig | None = None) -> ProcessPipeline:
        """Return what does the work of `role` (see `protocol.messages`) with the interpreter `python`."""
        self.start_log()
        return ProcessPipeline(python, engine or EngineConfig(), role=role)

    def start_log(self) -> None:
        """Write what the add-on and its processes say into a file of this run's, in a folder of the add-on's own."""
        logs.start(self.folders.own_folder("logs"))

    def stop_log(self) -> None:
        """Close that file, so that the extension's folder can be deleted."""
        logs.stop()

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _more_factories(self) -> list[Callable[[], Pipeline[Generate]]]:
        return [self.pipeline_factory(number) for number in range(1, self.engines)]

    def _start_transfers(self) -> None:
        self.downloads = Downloads(self._download_changed, self._changed)
        self.installations = Installations(self._installation_changed, self._changed)
        self.verifications = Verifications(changed=self._changed)

    def _transfers(self) -> Iterator[Transfers]:
        yield from (self.downloads, self.installations, self.verifications)

    def close_history(self) -> None:
        """End the history's thread; the next look at the history starts it again."""
        history, self._history = self._history, None
        if history is not None:
            history.close()

    def _download_changed(self, download: Download) -> None:
        if download.accepted and download.bytes_total and download.repo not in self.licences:
            self.licences.accept(download.repo, download.licence)
        if download.state == "finished":
            self.models.forget()

    def _installation_changed(self, installation: Installation) -> None:
        if installation.action != "check":
            self.folders.look_again()
            self.renew_engine()


def check_online(remedy: str = Transfer.go_online) -> None:
    """Raise OnlineAccessOff, with `remedy` as its hint, where Blender may not use the internet."""
    if has_blender():
        import bpy

        if not bpy.app.online_access:
            raise OnlineAccessOff("Blender is not allowed to use the internet.", remedy)
    elif os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "on", "yes", "true"):
        raise OnlineAccessOff("The environment variable HF_HUB_OFFLINE forbids downloads.",
                               "Unset it, and start again.")


def _end_offline(transfers: Transfers) -> None:
    """End the transfers that still go on and use the internet, where Blender may no longer."""
    for transfer in transfers.all:
        if transfer.online and not transfer.done:
            try:
                check_online(transfer.go_online)
            except OnlineAccessOff as error:
                transfers.cancel(transfer, error)


runtime = Runtime()
