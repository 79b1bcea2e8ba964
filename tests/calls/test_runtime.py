"""One pump, one wait and one shutdown for everything that a runtime owns."""
from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from blender_sd.calls import runtime as runtime_module
from blender_sd.calls.runtime import Runtime
from blender_sd.core.content_credentials import NONE, Proof
from blender_sd.core.errors import InvalidRequest, OnlineAccessOff
from blender_sd.protocol.messages import Cancelled, Event, Installed, Verified

LIMIT = 20.0  # seconds


class Waiting:
    """A pipeline whose request ends with `ending` once `go` is set, and as cancelled once it is aborted."""

    def __init__(self, ending: Callable[[str], Event]) -> None:
        self.ending, self.go, self.aborted = ending, threading.Event(), threading.Event()

    def run(self, request, emit: Callable[[Event], None], _cancelled: Callable[[], bool]) -> None:
        assert self.go.wait(LIMIT)
        emit(Cancelled(request.job) if self.aborted.is_set() else self.ending(request.job))

    def abort(self) -> None:
        self.aborted.set()
        self.go.set()

    def close(self) -> None:
        pass


def installed(job: str) -> Event:
    return Installed(job, "python")


def verified(job: str) -> Event:
    return Verified(job, Proof(NONE).to_json())


@pytest.fixture
def runtime(tmp_path, monkeypatch) -> Iterator[Runtime]:
    own = Runtime()
    monkeypatch.setattr(own.folders, "own_folder", lambda name: tmp_path / "own" / name)
    monkeypatch.setattr(runtime_module, "check_online", lambda remedy="": None)
    yield own
    own.shutdown()


def download(runtime: Runtime, pipeline: Waiting, tmp_path):
    return runtime.downloads.start(pipeline, "owner/name", "", folder=str(tmp_path), accepted=False)


def test_pump_brings_in_set_ups_and_checks_of_credentials(runtime):
    first, second = Waiting(installed), Waiting(verified)
    installation = runtime.installations.start(first, "check")
    verification = runtime.verifications.start(second, path="wall.png")
    assert not runtime.pump()
    first.go.set()
    second.go.set()
    while not (installation.done and verification.done):
        assert runtime.wait(LIMIT)
        assert runtime.pump()
    assert installation.result() == "python" and verification.result().state == NONE


def test_wait_ends_for_a_download_and_at_once_where_nothing_goes_on(runtime, tmp_path):
    assert not runtime.wait(None)
    pipeline = Waiting(installed)
    transfer = download(runtime, pipeline, tmp_path)
    assert not runtime.wait(0.01)
    pipeline.go.set()
    assert runtime.wait(LIMIT)
    runtime.pump()
    assert transfer.state == "finished" and not runtime.wait(None)


def test_shutdown_ends_set_ups_downloads_and_checks(runtime, tmp_path):
    pipelines = [Waiting(installed), Waiting(installed), Waiting(verified)]
    transfers = [runtime.installations.start(pipelines[0], "check"), download(runtime, pipelines[1], tmp_path),
                 runtime.verifications.start(pipelines[2], path="wall.png")]
    runtime.shutdown()
    assert all(pipeline.aborted.is_set() for pipeline in pipelines)
    assert [transfer.state for transfer in transfers] == ["cancelled"] * 3
    assert not runtime.busy() and runtime.installations.all == []


def test_what_uses_the_internet_ends_where_blender_may_no_longer(runtime, tmp_path, monkeypatch):
    def refused(remedy: str) -> None:
        raise OnlineAccessOff("Blender is not allowed to use the internet.", remedy)

    transfers = [
        download(runtime, Waiting(installed), tmp_path),
        runtime.installations.start(Waiting(installed), "install", online=True)]
    offline = runtime.verifications.start(Waiting(verified), path="wall.png")
    monkeypatch.setattr(runtime_module, "check_online", refused)
    while not all(transfer.done for transfer in transfers):
        runtime.pump()
        runtime.wait(0.05)
    assert [transfer.state for transfer in transfers] == ["failed"] * 2 and not offline.done
    assert "folder of wheels" in transfers[1].error.hint and "wheels" not in transfers[0].error.hint


def test_a_finished_download_makes_the_models_be_read_again(runtime, tmp_path):
    listed = runtime.models.all()
    assert runtime.models.all() is listed
    pipeline = Waiting(installed)
    pipeline.go.set()
    download(runtime, pipeline, tmp_path).result(LIMIT)
    assert runtime.models.known() == []


def test_settings_are_checked_and_searched_folders_forget_the_models(runtime, tmp_path):
    runtime.models.all()
    with pytest.raises(InvalidRequest, match="no setting called 'tread'"):
        runtime.configure(tread=2)
    with pytest.raises(InvalidRequest, match="threads"):
        runtime.configure(threads="many")
    assert runtime.config.threads == 0 and runtime.models.known()
    runtime.configure(model_folders=[tmp_path])
    assert runtime.config.model_folders == (str(tmp_path),) and runtime.models.known() == []
