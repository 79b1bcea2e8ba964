"""How single wheels are found and brought, against a small index; files of a set-up."""
from __future__ import annotations

import csv
import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pip._vendor import certifi
from pip._vendor.packaging.specifiers import SpecifierSet
from pip._vendor.packaging.utils import canonicalize_name

from blender_sd.library import disk, partial_files
from blender_sd.workers import installation, pip_settings, transport, wheels
from blender_sd.workers.lock import read_lock
from blender_sd.workers.pip_settings import Settings
from blender_sd.workers.virtual_environments import bundled_pip
from blender_sd.workers.wheels import Index, asked_for
from blender_sd.library import engine_environment
from blender_sd.library.engine_environment import Environment
from blender_sd.core.errors import ConnectionLost, InvalidRequest, OutputUnwritable
from tests.support.fake_index import FakeIndex, build, into, lock_of, wheel

LOCKS = Path(wheels.__file__).parent / "locks"

# ---- single wheels ---------------------------------------------------------------------------------------------------


@pytest.fixture
def index(monkeypatch):
    server = FakeIndex()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(partial_files, "PAUSE", 0.0)
    yield server
    server.close()


def mirror(index: FakeIndex, **more) -> Settings:
    return Settings(index=f"{index.url}/simple", **more)


def bring(tmp_path: Path, lock: str, settings: Settings, folder: str = "") -> tuple[dict[str, bytes], list[int]]:
    """Return what was downloaded for `lock` (name -> content) and each change in bytes that was reported."""
    (tmp_path / "lock.toml").write_text(lock)
    into(tmp_path / "wheels", {})
    lock, changes, came, index = read_lock(str(tmp_path / "lock.toml")), [], {}, Index(settings, folder)
    for pin in (*lock.pins, *lock.builds):
        one = index.find(pin)
        assert one is not None, f"{pin} was not found"
        index.measure(one)
        index.bring(one, str(tmp_path / "wheels"), changes.append)
        came[one.name] = Path(one.path).read_bytes()
    return came, changes


def test_a_connection_that_breaks_goes_on_at_the_byte(index, tmp_path):
    name, data = wheel("torch", size=200_000)
    index.files = {name: data}
    index.cut[name] = [70_000, 60_000]
    came, changes = bring(tmp_path, lock_of(index.files), mirror(index))
    assert came == index.files and sum(changes) == len(data)
    assert [wanted for method, _, wanted in index.seen if method == "GET"] == ["", "bytes=70000-", "bytes=130000-"]
    assert index.served[name] == len(data)


def test_a_server_without_ranges_and_hashes(index, tmp_path):
    name, data = wheel("torch", size=200_000)
    index.files, index.no_ranges, index.no_hashes = {name: data}, True, True
    part = into(tmp_path / "wheels", {name + ".part": data[:50_000]})
    came, changes = bring(tmp_path, lock_of(index.files), mirror(index))
    assert came == index.files and sum(changes) == len(data) and not (part / f"{name}.part").exists()


def test_a_whole_file_with_another_hash_is_fetched_again(index, tmp_path):
    """As after an update of the lock, or with a disk that loses bits."""
    name, data = wheel("torch", size=50_000)
    index.files = {name: data}
    into(tmp_path / "wheels", {name: b"something else"})
    assert bring(tmp_path, lock_of(index.files), mirror(index))[0] == index.files
    into(tmp_path / "wheels", {name: data})
    bring(tmp_path, lock_of(index.files), mirror(index))
    assert [method for method, _, _ in index.seen].count("GET") == 1


def test_a_broken_file_is_fetched_again_and_refused_the_second_time(index, tmp_path):
    name, data = wheel("torch", size=50_000)
    index.files, index.broken = {name: data}, {name: 1}
    assert bring(tmp_path, lock_of(index.files), mirror(index))[0] == index.files
    (tmp_path / "wheels" / name).unlink()
    index.broken = {name: 9}
    with pytest.raises(ConnectionLost, match=f"{name} arrived broken, twice"):
        bring(tmp_path, lock_of(index.files), mirror(index))
    assert not list((tmp_path / "wheels").iterdir())


def test_another_file_of_the_same_version_is_not_taken(index, tmp_path):
    name, data = wheel("torch", size=1000)
    index.files = {name: wheel("torch", size=2000)[1]}
    with pytest.raises(ConnectionLost, match="another file of torch 1.0"):
        bring(tmp_path, lock_of({name: data}), mirror(index))
    with pytest.raises(InvalidRequest, match=f"{name} is not the one"):
        bring(tmp_path, lock_of({name: data}), Settings(), str(into(tmp_path / "given", index.files)))


@pytest.mark.parametrize("as_json", [False, True])
def test_builds_of_torch_are_found_by_their_label_and_bring_what_they_ask_for(index, tmp_path, as_json):
    """As torch's own index has them: no file in the lock, the newest ROCm, Triton pinned by the wheel alone."""
    index.json, index.no_heads = as_json, True
    built = [wheel("torch", version, 10, ("triton-rocm==3.0", "sympy; extra == 'x'", "gone; sys_platform == 'none'"))
             for version in ("1.0+cpu", "1.0+rocm6.4", "1.0+rocm7.1", "1.1+rocm7.2", "1.0")]
    plain = wheel("numpy")
    index.files = dict([*built, plain, wheel("torch", "1.0+rocm8.0", tag="cp27-cp27m-win32")])
    lock = lock_of(dict([plain]), build("torch", "1.0", "rocm", f"{index.url}/simple"), at=f"{index.url}/files")
    came, _ = bring(tmp_path, lock, Settings())
    assert set(came) == {plain[0], "torch-1.0+rocm7.1-py3-none-any.whl"}
    more = list(asked_for(str(tmp_path / "wheels" / "torch-1.0+rocm7.1-py3-none-any.whl"), index.url))
    assert [str(one) for one in more] == ["triton-rocm 3.0"] and more[0].index == index.url
    (tmp_path / "wheels" / "torch-1.0+rocm7.1-py3-none-any.whl").unlink()
    index.broken = {"torch-1.0+rocm7.1-py3-none-any.whl": 9}
    with pytest.raises(ConnectionLost, match="broken"):  # by the hash that the index states
        bring(tmp_path, lock, Settings())
    index.no_hashes = True
    with pytest.raises(ConnectionLost, match="does not vouch for torch-1.0.rocm7.1"):
        bring(tmp_path, lock, Settings())


def test_a_file_comes_from_the_address_in_the_lock_unless_pip_is_configured_otherwise(index, tmp_path):
    files = dict([wheel("numpy")])
    lock, far = lock_of(files, at=f"{index.url}/files"), lock_of(files)
    index.files = files
    assert bring(tmp_path, lock, Settings(more=("https://elsewhere.invalid/simple",)))[0] == files and index.pages == []
    for settings in (mirror(index, more=("http://127.0.0.1:9/gone",)),
                     Settings(links=(str(into(tmp_path / "links", files)),)),
                     Settings(index="https://elsewhere.invalid/simple", only_links=True,
                              links=((tmp_path / "links").as_uri(),))):
        (tmp_path / "wheels" / "numpy-1.0-py3-none-any.whl").unlink(missing_ok=True)
        assert bring(tmp_path, far, settings)[0] == files
    (tmp_path / "links" / "numpy-1.0-py3-none-any.whl").write_bytes(b"another")
    index.pages.clear()
    assert bring(tmp_path, far, mirror(index, links=(str(tmp_path / "links"),)))[0] == files and index.pages == [
        "numpy"]
    with pytest.raises(AssertionError, match="numpy 1.0 was not found"):
        bring(tmp_path, far, Settings(only_links=True))


def test_a_build_in_the_persons_own_folder_needs_no_index(tmp_path):
    files = dict([wheel("torch", "1.0+cpu"), wheel("torch", "1.0+cu130"), wheel("torch", "1.1+cpu")])
    lock = lock_of({}, build("torch", "1.0", "cpu", "https://nowhere.invalid/whl"))
    came, _ = bring(tmp_path, lock, Settings(links=(str(into(tmp_path / "links", files)),)))
    assert set(came) == {"torch-1.0+cpu-py3-none-any.whl"}


def test_a_mirror_that_wants_a_name_and_a_password(index, tmp_path):
    index.files, index.login = dict([wheel("numpy")]), "me:s3cret/"
    address = index.url.replace("//", "//me:s3cret%2F@")
    assert bring(tmp_path, lock_of(index.files), Settings(index=f"{address}/simple"))[0] == index.files
    with pytest.raises(ConnectionLost, match="does not let this computer in"):
        bring(tmp_path, lock_of(index.files), mirror(index))


def test_a_redirect_does_not_carry_the_password_on(index):
    request = transport.Web(mirror(index))._request("http://me:secret@127.0.0.1/x", {}, "GET")
    assert request.unredirected_hdrs == {"Authorization": "Basic bWU6c2VjcmV0"
                                         } and "Authorization" not in request.headers
    assert request.full_url == "http://127.0.0.1/x"


@pytest.mark.slow
def test_the_settings_of_pip_that_are_read(tmp_path, monkeypatch):
    """By the pip that Python brings along, from a file and from variables."""
    config = tmp_path / "pip.ini"
    config.write_text("[global]\nindex-url = https://mirror.example/simple/\nextra-index-url =\n    https://a/x\n    "
                      "https://b/y\n"
                      "cert = C:/company.pem\ntrusted-host = build.example:8080\ntimeout = 7\n[install]\nfind-links = "
                      "C:/a b/\n")
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_PROXY", "http://proxy:3128")
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "9")
    found = pip_settings.read(bundled_pip())
    assert (found.index, found.certificates, found.proxy) == ("https://mirror.example/simple", "C:/company.pem",
                                                              "http://proxy:3128")
    assert found.more[-2:] == ("https://a/x", "https://b/y") and found.trusted == {"build.example"
                                                                                   } and found.timeout == 9
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.org/simple")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    found = pip_settings.read(bundled_pip())
    assert found.index == "" and found.only_links, "PyPI is no mirror: the lock's addresses are its"


def test_certificates_of_the_company(tmp_path, monkeypatch):
    authority = tmp_path / "company.pem"
    authority.write_text(certifi.contents().split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")
    before = len(transport.trusted(Settings()).get_ca_certs())
    assert before > 50, "Mozilla's are there in any case"
    with pytest.raises(ConnectionLost, match="nowhere.pem cannot be read"):
        transport.trusted(Settings(certificates=str(tmp_path / "nowhere.pem")))
    asked = []

    def security(command, **_):
        asked.append(command[1])
        text = "" if command[1] == "verify-cert" and len(asked) > 3 else authority.read_text()
        return subprocess.CompletedProcess(command, 0, text.encode(), b"")

    monkeypatch.setattr(transport.subprocess, "run", security)
    assert transport.keychain_certificates() == authority.read_text(), "of two, macOS trusts one"
    assert asked == ["find-certificate"] * 2 + ["verify-cert"] * 2


@pytest.mark.parametrize("words, message", [
    ("HTTPSConnectionPool: Max retries (Caused by ProxyError('Cannot connect to proxy.'))", "The proxy does not let"),
    ("407 Client Error: Proxy Authentication Required", "The proxy does not let"),
    ("SSLError: certificate verify failed: self-signed",
     "not trusted"), ("403 Client Error: Forbidden", "does not let this computer in"),
    ("Tunnel connection failed: 407 Proxy Authentication Required", "The proxy does not let"),
    ("Connection refused", "cannot be reached"),
])
def test_what_failures_of_the_network_mean(words, message):
    assert message in transport.unreachable(words).message and transport.unreachable(words).hint


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_stamp_is_read_as_it_was_written_and_nothing_else(tmp_path):
    one = Environment("env1", "cpu", "d", "/usr/bin/python", "3.11", 5)
    engine_environment.write(str(tmp_path), one)
    assert engine_environment.read(str(tmp_path)) == one and [path.name for path in tmp_path.iterdir()] == [
        engine_environment.STAMP]
    for text in ("", "[]", "{}", '{"folder": "../../bin"}', "[" * 100_000):
        (tmp_path / engine_environment.STAMP).write_text(text)
        assert engine_environment.read(str(tmp_path)) is None
    engine_environment.write(str(tmp_path), Environment("../env1", "cpu", "d", "", "3.11", 5))
    assert engine_environment.read(str(tmp_path)) is None


def test_a_locked_file_is_waited_for_and_then_named(monkeypatch):
    monkeypatch.setattr(disk, "PATIENCE", (0.0, 0.0))
    tries = []

    def held(until: int):
        tries.append(1)
        if len(tries) < until:
            raise PermissionError(13, "Permission denied", "C:\\x\\torch.dll")
        return "done"

    assert disk.retry_while_held(lambda: held(3)) == "done" and len(tries) == 3
    tries.clear()
    with pytest.raises(OutputUnwritable, match=r"does not let go of the file C:\\x\\torch.dll"):
        disk.retry_while_held(lambda: held(9))


def test_the_folders_of_windows_leave_room_for_the_longest_files():
    """Microsoft's limits against the longest user name that Windows lets one choose."""
    for base in (r"C:\Users\abcdefghijklmnopqrst\AppData\Local\blender_sd",
                 r"C:\Users\abcdefghijklmnopqrst\blender_sd"):
        for folder in ("env1", "env9"):
            assert engine_environment.too_long(rf"{base}\engine\{folder}\Lib\site-packages") == 0
        assert len(rf"{base}\engine\wheels\.part") + 120 <= engine_environment.WINDOWS_FILE, "what is being downloaded"
    assert engine_environment.too_long(
        r"C:\Users\abcdefghijklmnopqrst\AppData\Local\blender_sd\engine\env1\Lib\more\site-packages") == 5


def test_no_package_of_the_lock_has_longer_paths_than_the_budget():
    names = {pin.name for pin in read_lock(str(LOCKS / "pylock.cpu.toml")).pins} | {"torch"}
    here = [one for one in importlib.metadata.distributions() if canonicalize_name(one.metadata["Name"]) in names]
    records = [one.read_text("RECORD") or "" for one in here]
    paths = [
        row[0].replace("+cpu", "+cu130") for text in records for row in csv.reader(text.splitlines())
        if "__pycache__" not in row[0]]
    assert max(map(len, paths), default=0) <= engine_environment.LONGEST_FILE
    assert max((len(os.path.dirname(path)) for path in paths), default=0) <= engine_environment.LONGEST_FOLDER


def test_windows_paths_that_are_too_long_are_refused_before_anything_is_downloaded(tmp_path, monkeypatch):
    path = into(tmp_path, dict([wheel("torch", files={"torch/include/" + "x" * 150 + ".h": ""})
                                ])) / "torch-1.0-py3-none-any.whl"
    order = installation.Install("1", "install", str(tmp_path), "", "")
    work = installation._Work(order, lambda event: None, lambda: False)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(disk, "long_paths", lambda: False)
    monkeypatch.setattr(work, "_bring", lambda folder: pytest.fail("it was downloaded"))
    with pytest.raises(OutputUnwritable, match="too long a path for Windows, by 16 letters"):
        work._check_paths("C:\\" + "y" * 97)
    monkeypatch.setattr(installation, "packages_in", lambda folder: "C:\\" + "y" * 97)
    with pytest.raises(OutputUnwritable, match="too long a path for Windows"):
        work._install("digest")
    with pytest.raises(OutputUnwritable, match="too long a path for Windows"):
        work._check_room([str(path)], "C:\\" + "y" * 100)
    assert work._check_room([str(path)], "C:\\y") > 0
    monkeypatch.setattr(disk, "long_paths", lambda: True)
    assert work._check_room([str(path)], "C:\\" + "y" * 100) > 0


def test_a_folder_of_wheels_asks_nobody(index, tmp_path):
    """Whatever pip is configured to."""
    files = dict([wheel("torch")])
    assert bring(tmp_path, lock_of(files), mirror(index), str(into(tmp_path / "given", files)))[0] == files
    assert index.pages == []


# ---- what others may change ------------------------------------------------------------------------------------------


def test_a_wheel_that_is_exchanged_after_the_check_is_not_installed(tmp_path):
    """What pip is given lies in the engine's own folder, and is what was hashed."""
    name, data = wheel("torch")
    into(tmp_path / "share", {name: data})
    into(tmp_path / "own", {})
    (tmp_path / "lock.toml").write_text(lock_of({name: data}))
    index = Index(Settings(), str(tmp_path / "share"))
    one = index.find(read_lock(str(tmp_path / "lock.toml")).pins[0])
    index.bring(one, str(tmp_path / "own"), lambda count: None)
    (tmp_path / "share" / name).write_bytes(
        wheel("torch", files={"torch/evil.py": "print('code of somebody else')"})[1])
    assert os.path.dirname(one.path) == str(tmp_path / "own") and Path(one.path).read_bytes() == data
    with pytest.raises(InvalidRequest, match="not the one"):
        index.bring(one, str(tmp_path / "own"), lambda count: None)
    assert Path(one.path).read_bytes() == data and os.listdir(tmp_path / "own") == [name]


def test_a_page_in_a_folder_of_wheels_leads_nowhere(index, tmp_path):
    numpy, torch = wheel("numpy"), wheel("torch")
    index.files = dict([torch])
    folder = into(tmp_path / "share", dict([numpy]))
    (folder / "index.html").write_text(f'<a href="{index.url}/files/{torch[0]}">{torch[0]}</a>')
    (tmp_path / "lock.toml").write_text(lock_of(dict([numpy, torch])))
    found = [Index(Settings(), str(folder)).find(pin) for pin in read_lock(str(tmp_path / "lock.toml")).pins]
    assert [one and one.name for one in found] == [numpy[0], None] and not index.seen


def test_a_dependency_comes_from_the_lock_s_own_index_first(tmp_path, monkeypatch):
    """A newer file of that name on another index is not taken."""
    from blender_sd.workers.lock import Build, Remote

    names = {
        "https://own.example/helper/": wheel("helper", "1.0")[0], f"{wheels.PYPI}/helper/": wheel("helper", "9.0")[0]}
    index = Index(Settings())
    monkeypatch.setattr(index, "_page", lambda url: [Remote(names[url], url + names[url], 0, "0" * 64)]
                        if url in names else [])
    own = Build("helper", SpecifierSet(""), index="https://own.example")
    assert index.find(own).name == names["https://own.example/helper/"]
    del names["https://own.example/helper/"]
    assert index.find(own).name == names[f"{wheels.PYPI}/helper/"]


def test_pip_is_given_what_was_brought_and_nothing_else():
    """One place starts pip's installation, with no index, and takes paths that `bring` has set."""
    source = Path(installation.__file__).read_text(encoding="utf-8")
    assert source.count('"install", "--no-index", "--no-deps"') == 1 and "paths = self._bring(self._wheels)" in source
