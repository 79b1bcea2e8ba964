"""How repositories are written, the list of models, accepted licences, and the supervision of downloads without a
process."""
from __future__ import annotations

import json
import threading

import pytest

from blender_sd.core import hub
from blender_sd.core.nets import IP_ADAPTER
from blender_sd.core.errors import (
    ConnectionLost, EngineDied, InvalidRequest, JobCancelled, OnlineAccessOff, error_of_kind,
)
from blender_sd.protocol.messages import Cancelled, Failed, Fetch, Fetched, Found, Installed, Loading
from blender_sd.session.downloads import Downloads, installed
from blender_sd.library.model_folders import name_of
from blender_sd.library.accepted_licences import Licences
from blender_sd.library.adapters import find_files


@pytest.mark.parametrize("text, meant", [
    ("owner/name", ("owner/name", "")), (" owner/name/ ", ("owner/name", "")),
    ("owner/na.me_1-x/sub/file.safetensors", ("owner/na.me_1-x", "sub/file.safetensors")),
    ("https://huggingface.co/owner/name", ("owner/name", "")), ("https://huggingface.co/owner/name/tree/main", ("owner/name", "")),  # noqa: E501
    ("https://huggingface.co/owner/name/blob/main/sub/f.safetensors", ("owner/name", "sub/f.safetensors")),
    ("https://huggingface.co/owner/name/resolve/main/f.safetensors?download=true", ("owner/name", "f.safetensors")),
])
def test_what_a_person_writes(text, meant):
    assert hub.parse(text) == meant


@pytest.mark.parametrize("text", ["", "name", "owner/", "../etc/passwd", "owner/..", "http://evil/owner/name", "a b/c",
                                  "owner\\name", "-x/y"])
def test_what_is_no_repository(text):
    with pytest.raises(InvalidRequest, match="owner/name"):
        hub.parse(text)
    assert hub.known(text) is None


def test_the_list_is_whole():
    assert len({model.id for model in hub.MODELS}) == len(hub.MODELS)
    for model in hub.MODELS:
        repo, _ = hub.parse(model.id)
        assert model.link == f"https://huggingface.co/{repo}" and hub.known(model.id) is model
        assert all((model.name, model.family, model.licence, model.text)) and 0 < model.gigabytes < 100
    assert hub.known(hub.MODELS[0].link) is hub.MODELS[0]


def test_licences_are_remembered(tmp_path):
    file = tmp_path / "own" / "licences.json"
    Licences(str(file)).accept("owner/model", "mit")
    again = Licences(str(file))
    assert "owner/model" in again and "owner/other" not in again
    assert [entry.name for entry in file.parent.iterdir()] == ["licences.json"]


@pytest.mark.parametrize("text", ["nonsense", "[]", "\0", "[" * 100_000])
def test_a_broken_list_of_licences_asks_again(tmp_path, text):
    file = tmp_path / "licences.json"
    file.write_text(text)
    one = Licences(str(file))
    assert "owner/model" not in one
    one.accept("owner/model", "mit")
    assert "owner/model" in Licences(str(file))


def test_licences_in_a_folder_that_cannot_be_written_hold_for_the_session(tmp_path):
    (tmp_path / "file").write_text("")
    one = Licences(str(tmp_path / "file" / "licences.json"))
    one.accept("owner/model", "mit")
    assert "owner/model" in one


def test_what_is_installed(tmp_path):
    folder = str(tmp_path)
    home = tmp_path / "owner--name"
    assert installed(folder, "owner/name", "") == ""
    (home / "sub").mkdir(parents=True)
    (home / "sub" / "b.safetensors").write_text("")
    assert installed(folder, "owner/name", "") == "" and installed(folder, "owner/name",
                                                                   "sub/b.safetensors").endswith("b.safetensors")
    (home / "a.safetensors").write_text("")
    assert installed(folder, "owner/name", "") == str(home / "a.safetensors")
    (home / "c.safetensors").write_text("")
    assert installed(folder, "owner/name", "") == ""
    (home / "config.json").write_text("")
    assert installed(folder, "owner/name", "") == str(home)
    assert name_of(str(home)) == "owner/name"


def test_an_adapter_in_its_repositorys_folder_is_found(tmp_path):
    """Two levels below the folder for models: what was fetched keeps its place in the repository."""
    header = json.dumps({"ip_adapter.1.to_k_ip.weight": {"dtype": "F16", "shape": [1], "data_offsets": [0,
                                                                                                        2]}}).encode()
    file = tmp_path / hub.folder_name("h94/IP-Adapter") / "models" / "ip-adapter_sd15.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(len(header).to_bytes(8, "little") + header + b"00")
    hidden = tmp_path / hub.UNFINISHED / "x" / "files"
    hidden.mkdir(parents=True)
    (hidden / "half.safetensors").write_bytes(file.read_bytes())
    assert [one.file for one in find_files(IP_ADAPTER, [str(tmp_path)])] == [str(file)]


# ---- supervision -----------------------------------------------------------------------------------------------------


class Scripted:
    """Stands in for the process: emits `events`, then `ending`; without one it waits until it is aborted."""

    def __init__(self, events=(), ending=None):
        self.events, self.ending = events, ending
        self.order: Fetch | None = None
        self.stop, self.closed = threading.Event(), threading.Event()

    def run(self, order, emit, cancelled):
        self.order = order
        for make in self.events:
            emit(make(order.job))
        if self.ending is None:
            self.stop.wait(30)
            emit(Cancelled(order.job))
        else:
            emit(self.ending(order.job))

    def abort(self):
        self.stop.set()

    def close(self):
        self.closed.set()


@pytest.fixture
def seen():
    return []


@pytest.fixture
def downloads(seen):
    one = Downloads(lambda download: seen.append((download.state, download.bytes_total)))
    yield one
    one.shutdown()


def start(downloads, pipeline, tmp_path, **kwargs):
    return downloads.start(pipeline, "owner/name", "", folder=str(tmp_path), **{"accepted": True, **kwargs})


def found(job):
    return Found(job, "mit", "https://huggingface.co/owner/name", 100, 1000)


def test_a_download_tells_how_far_it_is(downloads, seen, tmp_path):
    script = Scripted(
        [lambda job: Loading(job, "Starting"), found, lambda job: Fetched(job, 400), lambda job: Fetched("another", 5)],
        lambda job: Installed(job, "/there"))
    one = start(downloads, script, tmp_path, token="hf_x")
    assert (one.state, one.progress, one.eta) == ("looking", 0, None)
    assert one.result(10) == "/there" and script.closed.wait(10)
    assert (one.state, one.licence, one.bytes_done, one.bytes_total, one.progress) == ("finished", "mit", 1000, 1000, 1)
    assert seen == [("looking", 1000), ("finished", 1000)] and not one.cancel()
    assert script.order == Fetch(one.id, "owner/name", "", str(tmp_path), True, "hf_x") and "hf_x" not in repr(
        script.order)


def test_speed_and_time_left_come_from_the_last_seconds(downloads, tmp_path):
    one = start(downloads, Scripted([]), tmp_path)
    one.apply(found(one.id), 0.0)
    one.apply(Fetched(one.id, 200), 1.0)
    assert one.eta == 8.0 and one.progress == 0.2
    for second in range(2, 30):
        one.apply(Fetched(one.id, 200 + second), float(second))
    assert one.eta == 1000 - 229 and one.stalled
    one.apply(Fetched(one.id, 100), 31.0)  # a broken file was thrown away
    assert one.eta is None and one.bytes_done == 100


def test_cancel_ends_the_process(downloads, tmp_path):
    script = Scripted([found])
    one = start(downloads, script, tmp_path)
    with pytest.raises(TimeoutError):
        one.result(0.05)
    assert one.cancel() and one.cancelling
    with pytest.raises(JobCancelled):
        one.result(10)
    assert one.state == "cancelled" and script.stop.is_set()


def test_an_end_with_a_reason_is_a_failure(downloads, tmp_path):
    one = start(downloads, Scripted([found]), tmp_path)
    downloads.cancel(one, OnlineAccessOff("No internet."))
    with pytest.raises(OnlineAccessOff):
        one.result(10)
    assert one.state == "failed"


def test_failures_are_raised_as_what_they_are(downloads, tmp_path):
    one = start(downloads, Scripted([], lambda job: Failed.of(job, ConnectionLost("Lost.", "Again."))), tmp_path)
    with pytest.raises(ConnectionLost, match="Lost. Again."):
        one.result(10)
    dead = start(downloads, Scripted([], lambda job: Failed.of(job, EngineDied("The engine died.", "Generate again."))),
                 tmp_path)
    with pytest.raises(EngineDied, match="The download stopped unexpectedly"):
        dead.result(10)
    assert type(error_of_kind("hub_refused", "x")).__name__ == "HubRefused"


def test_the_same_twice_is_refused_and_shutdown_ends_all(downloads, tmp_path):
    one = start(downloads, Scripted([found]), tmp_path)
    with pytest.raises(InvalidRequest, match="already"):
        start(downloads, Scripted([]), tmp_path)
    downloads.shutdown()
    assert one.state == "cancelled"


def test_what_is_there_needs_no_process(downloads, seen, tmp_path):
    (tmp_path / "owner--name").mkdir()
    (tmp_path / "owner--name" / "model_index.json").write_text("{}")
    script = Scripted([])
    one = start(downloads, script, tmp_path)
    assert one.result(1) == str(tmp_path / "owner--name") and script.order is None and seen == [("finished", 0)]
