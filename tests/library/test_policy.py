"""The studio's policy: read strictly, broken files let nothing pass, two files are as strict as the stricter of
each."""
from __future__ import annotations

import ntpath
import os
import posixpath
from pathlib import Path

import pytest

# brings pip, which engine tests must not have beside torch: it loads distutils
from blender_sd.workers import installation
from blender_sd.library import policy
from blender_sd.library.licences import Licence
from blender_sd.library.checkpoints import STARTER_FOLDER
from blender_sd.core.errors import PolicyForbids, WordBlocked
from blender_sd.protocol.messages import Failed, Install
from blender_sd.core.parts import Control, Embedding, Lora
from blender_sd.core.request import Request
from blender_sd.core.tasks import Upscale
from tests.support.systems import link

WHOLE = """
models = ["starter", "stabilityai/*", "Studio ?"]
licences = ["CC0-1.0", "openrail*"]
unknown_licences = true
marking = true
filter = "filters/nsfw"
filter_labels = ["bad"]
filter_threshold = 0.3
blocked_words = ["mickey mouse"]
network = false
contact = "Ask Maria"
"""


@pytest.fixture
def system(tmp_path, monkeypatch):
    """The system's place for the policy, on this machine's behalf; writes into it."""
    place = tmp_path / "system" / "policy.toml"
    place.parent.mkdir()
    monkeypatch.setattr(policy, "system_file", lambda: str(place))
    monkeypatch.setattr(policy, "_read", None)
    monkeypatch.delenv(policy.VARIABLE, raising=False)

    def write(text: str) -> str:
        place.write_text(text, encoding="utf-8")
        os.utime(place, ns=(write.count, write.count))  # as if some time had passed
        write.count += 10**9
        return str(place)

    write.count = 10**9
    return write


@pytest.fixture
def named(tmp_path, monkeypatch):
    """The file that SD_POLICY names."""
    place = tmp_path / "named.toml"

    def write(text: str) -> str:
        place.write_text(text, encoding="utf-8")
        monkeypatch.setenv(policy.VARIABLE, str(place))
        return str(place)

    return write


def _model(folder, licence="", name="model"):
    place = folder / name
    place.mkdir(parents=True)
    (place / "model_index.json").write_text("{}")
    if licence:
        (place / "README.md").write_text(f"---\nlicense: {licence}\n---\n")
    return str(place)


def test_without_a_file_everything_is_allowed(system, tmp_path):
    found = policy.current()
    assert found == policy.NONE and found.network and not found.marking and not found.filters
    found.check_request(Request(prompt="anything"), _model(tmp_path))
    found.check_download("any/body", "")


def test_all_fields_are_read(system, tmp_path):
    place = system(WHOLE)
    (one,) = policy.current().rules
    assert one.models == ("starter", "stabilityai/*", "Studio ?") and one.licences == ("CC0-1.0", "openrail*")
    assert one.unknown_licences and one.marking and not one.network and one.blocked_words == ("mickey mouse",)
    assert policy.current().filters == (policy.Filter(str(tmp_path / "system" / "filters" / "nsfw"), ("bad",), 0.3),)
    assert policy.current().contacts == ("Ask Maria",) and policy.current().source("marking") == place
    assert policy.known() is policy.current(), "what was read is kept"


@pytest.mark.parametrize(("text", "line", "words"), [
    ("\n\nlicenses = []", 3, "Did you mean 'licences'"),
    ("contact = 'x'\nmodel = []", 2, "Did you mean 'models'"),
    ("[models]\nstarter = true", 1, "a list of texts"),
    ("models = 'starter'", 1, "a list of texts"),
    ("models = [1]", 1, "a list of texts"),
    ("models = ['']", 1, "a list of texts"),
    ("marking = 1", 1, "true or false"),
    ("network = 'false'", 1, "true or false"),
    ("# a remark\nfilter_threshold = 0.0", 2, "a number above 0"),
    ("filter_threshold = true", 1, "a number above 0"),
    ("filter_threshold = nan", 1, "a number above 0"),
    ("blocked_words = ['!!']", 1, "letters or digits"),
    ("filter = 3", 1, "text of at most"),
    ("marking = true\nmarking = false", 2, ""),
    ("contact = 'a'\n= 3", 2, ""),
    ("network = fal", 1, ""),
])
def test_a_broken_file_forbids_all_and_names_the_line(system, text, line, words):
    place = system(text)
    for _ in range(2):
        with pytest.raises(PolicyForbids) as caught:
            policy.current()
        assert place in caught.value.message and f"line {line}" in caught.value.message and words in str(caught.value)
        assert caught.value.kind == "policy" and caught.value.hint
    assert isinstance(policy.known(), PolicyForbids)
    system("network = false")
    assert not policy.current().network, "a mended file is read again"


def test_what_cannot_be_read_forbids_all(system, named, tmp_path, monkeypatch):
    place = tmp_path / "system" / "policy.toml"
    for make in (lambda: place.write_bytes(b"network = true\ncontact = '\xff'"),
                 lambda: place.write_bytes(b"#" * (policy.MAX_BYTES + 1)), lambda: (place.unlink(), place.mkdir())):
        make()
        with pytest.raises(PolicyForbids, match="policy.toml"):
            policy.current()
    place.rmdir()
    if link(place, tmp_path / "gone"):
        with pytest.raises(PolicyForbids, match="policy.toml"):
            policy.current()
        place.unlink()
    policy.current()
    monkeypatch.setenv(policy.VARIABLE, str(tmp_path / "nowhere.toml"))
    with pytest.raises(PolicyForbids, match=r"nowhere\.toml"):
        policy.current()


def test_a_line_of_broken_text_is_counted(system, tmp_path):
    (tmp_path / "system" / "policy.toml").write_bytes(b"network = true\n\ncontact = '\xff'")
    with pytest.raises(PolicyForbids, match="line 3"):
        policy.current()


def test_two_files_are_as_strict_as_the_stricter_of_each(system, named, tmp_path):
    system('models = ["studio/*", "starter"]\nnetwork = false\nblocked_words = ["one"]\nfilter = "/f/a"\ncontact = "A"')
    named('models = ["*/sdxl", "starter"]\nnetwork = true\nmarking = true\nblocked_words = ["two"]\nfilter = '
          '"/f/b"\ncontact = "B"\n'
          'unknown_licences = true')
    found = policy.current()
    assert not found.network and found.marking and found.blocked_words == ("one", "two")
    assert [one.folder for one in found.filters] == [str(Path(tmp_path.anchor, "f", name)) for name in "ab"]
    assert found.contacts == ("A", "B")
    found.check_model(str(tmp_path / "studio--sdxl"))
    for place, file in ((tmp_path / "studio--other", "named"), (tmp_path / "foreign--sdxl", "system")):
        with pytest.raises(PolicyForbids, match=f"'models' in .*{file}"):
            found.check_model(str(place))


def test_the_variable_cannot_replace_the_system_s_policy(system, named):
    system("network = false\nlicences = []")
    named("network = true\nunknown_licences = true\nlicences = ['*']")
    assert not policy.current().network
    with pytest.raises(PolicyForbids, match="licences"):
        policy.current().check_model(STARTER_FOLDER)


def test_models_by_name_hub_id_and_place(tmp_path, system):
    share = tmp_path / "share"
    places = {
        "by name": _model(tmp_path / "a", name="Studio X"),
        "by hub id": _model(tmp_path / "b", name="stabilityai--sdxl-turbo"),
        "by place": _model(share / "deep", name="anything"),
        "in the hub's cache": _model(tmp_path / "models--stabilityai--sd3" / "snapshots", name="abc123"),}
    system(f"models = ['studio ?', 'stabilityai/*', '{share}/*']")
    found = policy.current()
    for place in places.values():
        found.check_model(place)
    file = tmp_path / "b" / "stabilityai--sdxl-turbo" / "one.safetensors"
    file.write_bytes(b"")
    found.check_model(str(file))
    for place in (STARTER_FOLDER, _model(tmp_path / "c",
                                         name="Studio XY"), _model(tmp_path, name="share2"), str(share / ".." / "c")):
        with pytest.raises(PolicyForbids, match="'models'"):
            found.check_model(place)
    if link(tmp_path / "link", places["by place"]):
        found.check_model(str(tmp_path / "link"))


@pytest.mark.parametrize("text", ["filter = ''", "filter = ' '", "filter_labels = ['nsfw']", "filter_threshold = 0.1"])
def test_a_field_left_empty_weakens_nothing(system, text):
    system(text)
    with pytest.raises(PolicyForbids, match="line 1"):
        policy.current()


def test_the_name_starter_means_the_built_in_model_alone(tmp_path, system):
    system("models = ['starter']")
    policy.current().check_model(STARTER_FOLDER)
    with pytest.raises(PolicyForbids):
        policy.current().check_model(_model(tmp_path, name="starter"))


def test_licences_of_the_model_and_of_all_that_takes_part(tmp_path, system):
    system("licences = ['cc0-1.0', 'CreativeML OpenRAIL M', 'mit']\ncontact = 'Room 12'")
    found = policy.current()
    model = _model(tmp_path, "creativeml-openrail-m", "good")
    # the built-in net has its card
    found.check_request(Request(prompt="x", controls=(Control("depth", "starter"),)), model)
    bad, unknown = _model(tmp_path, "fair-ai-public", "bad"), _model(tmp_path, "", "unknown")
    file = os.path.join(bad, "net.safetensors")
    open(file, "wb").close()
    for settings, what in (({"loras": (Lora(file, 1.0),)}, "LoRA 'net'"),
                       ({"embeddings": (Embedding("w",
                                                  file),)}, "textual inversion"), ({"ip_adapter": file}, "IP-Adapter"),
                       ({"task": Upscale(upscaler=bad)}, "upscaler 'bad'"), ({"controls": (Control("depth",
                                                                                     bad),)}, "ControlNet 'bad'")):
        with pytest.raises(PolicyForbids, match=f"the {what}.*fair-ai-public.*'licences'") as error:
            found.check_request(Request(prompt="x", **settings), model)
        assert "Room 12" in error.value.hint
    for place, why in ((bad, "fair-ai-public"), (unknown, "no file says its licence")):
        with pytest.raises(PolicyForbids, match=why):
            found.check_model(place)
        with pytest.raises(PolicyForbids, match=why):
            found.check_request(Request(prompt="x"), model, place)
    system("licences = ['creativeml-openrail-m']\nunknown_licences = true")
    policy.current().check_model(unknown)


def test_downloads(system):
    system("models = ['stabilityai/*', 'a/b/one.safetensors']")
    found = policy.current()
    found.check_download("stabilityai/sdxl", "")
    found.check_download("a/b", "one.safetensors")
    for repo, file in (("a/b", ""), ("a/b", "two.safetensors"), ("other/sdxl", "")):
        with pytest.raises(PolicyForbids, match="'models'"):
            found.check_download(repo, file)
    with pytest.raises(PolicyForbids, match="licence is other"):
        system("licences = ['mit']")
        policy.current().check_licence("", "a/b", Licence("other"))
    system("network = false")
    with pytest.raises(PolicyForbids, match="'network'"):
        policy.current().check_download("stabilityai/sdxl", "")


def test_words_name_whom_to_ask(system, tmp_path):
    system("blocked_words = ['mickey mouse']\ncontact = 'Ask Maria'")
    with pytest.raises(WordBlocked, match="'mickey mouse'") as caught:
        policy.current().check_request(Request(prompt="a Mickey Mouse wall"), STARTER_FOLDER)
    assert "Ask Maria" in caught.value.hint
    with pytest.raises(WordBlocked, match="'brick'"):
        policy.current().check_request(Request(prompt="brick"), STARTER_FOLDER, own_words=("brick",))


def test_each_system_has_a_place(monkeypatch):
    for system, place in (("linux", "/etc/blender_sd/policy.toml"),
                          ("darwin", "/Library/Application Support/blender_sd/policy.toml")):
        monkeypatch.setattr(policy.sys, "platform", system)
        assert policy.system_file() == place
    monkeypatch.setattr(policy, "_program_data", lambda: r"C:\ProgramData")
    monkeypatch.setattr(policy.sys, "platform", "win32")
    assert policy.system_file().startswith(r"C:\ProgramData") and policy.system_file().endswith("policy.toml")


def test_the_set_up_reads_it_by_itself(system, tmp_path):
    system("network = false")
    events = []
    order = Install("job", "install", str(tmp_path / "engine"), str(tmp_path / "no.txt"), "")
    installation.Installer().run(order, events.append, lambda: False)
    assert isinstance(events[-1], Failed) and events[-1].kind == "policy" and "engine" in events[-1].message


@pytest.mark.parametrize(("platform", "place", "pattern", "allowed"), [
    ("win32", r"C:\Studio\Models\bricks", "c:/studio/models/*", True),
    ("win32", r"\\server\models\bricks", "//SERVER/models/*", True),
    ("win32", r"D:\models\bricks", "c:/models/*", False),
    ("darwin", "/Volumes/Mod\u00e8les/bricks", "/Volumes/Mode\u0300les/*", True),
    ("darwin", "/Volumes/MODELS/bricks", "/volumes/Models/*", True),
    ("darwin", "/Volumes/Models/bricks", "/Volumes/Other/*", False),
])
def test_a_place_is_known_in_every_way_its_system_writes_it(monkeypatch, platform, place, pattern, allowed):
    paths = {"win32": ntpath, "darwin": posixpath}[platform]
    monkeypatch.setattr(policy.sys, "platform", platform)
    monkeypatch.setattr(policy.os, "path", paths)
    assert policy._matches(pattern, policy._Names("bricks", frozenset(), frozenset({policy._path(place)}))) is allowed
