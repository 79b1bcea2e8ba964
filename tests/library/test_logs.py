"""The log of one run, and the report that is made of it."""
import logging
import os

import pytest

from blender_sd.library import logs
from blender_sd.library.bug_report import PROMPT, report_text

log = logging.getLogger("blender_sd")


@pytest.fixture
def folder(tmp_path):
    logs.start(tmp_path / "logs")
    yield tmp_path / "logs"
    logs.stop()


def test_nothing_is_written_before_the_first_line(folder):
    assert logs.path() is None and not folder.exists()
    log.info("hello")
    logging.getLogger("blender_sd.engine").info("from the engine")
    text = logs.path().read_text()
    assert "hello" in text and "from the engine" in text and logs.recent() == []
    if os.name == "posix":  # on Windows the folder above decides
        assert folder.stat().st_mode & 0o077 == 0, "others can read the log"


def test_a_second_start_changes_nothing_and_another_folder_moves_the_log(folder, tmp_path):
    log.info("one")
    first = logs.path()
    logs.start(folder)
    log.info("two")
    assert logs.path() == first and first.read_text().count("\n") == 2
    logs.start(tmp_path / "elsewhere")
    log.info("three")
    assert logs.path().parent == tmp_path / "elsewhere" and "three" not in first.read_text()


def test_the_file_rotates_and_old_runs_are_swept(folder, monkeypatch):
    folder.mkdir(mode=0o700)
    for number in range(logs.KEPT + 5):
        (folder / f"20200101-00000{number}-1.log").write_text("old")
    for _ in range(3):
        log.info("x" * (logs.MAX_BYTES * 2 // 3))
    mine = [file for file in folder.iterdir() if "x" in file.read_text()]
    assert len(mine) == 2 and all(file.stat().st_size <= logs.MAX_BYTES for file in mine)
    assert len(list(folder.iterdir())) <= logs.KEPT + 2


@pytest.mark.slow
@pytest.mark.parametrize("call", ["rename", "remove"])
def test_no_line_is_lost_while_another_program_holds_a_part(folder, monkeypatch, call):
    for _ in range(3):
        log.info("x" * (logs.MAX_BYTES * 2 // 3))

    def held(*paths):
        raise PermissionError(13, "The process cannot access the file because it is being used by another process",
                              paths[0])

    with monkeypatch.context() as patched:
        patched.setattr(os, call, held)
        log.info("y" * (logs.MAX_BYTES * 2 // 3))
        log.info("and z")
    assert "yyy" in logs.path().read_text(encoding="utf-8") and "and z" in logs.path().read_text(encoding="utf-8")


def test_tokens_are_struck_out_and_warnings_remembered(folder, capfd):
    try:
        raise ValueError("it was hf_abcdefghijklmnop")
    except ValueError:
        log.exception("no luck with hf_ABCDEFGHIJKLMNOP")
    assert "hf_abc" not in logs.path().read_text() and "hf_ABC" not in logs.path().read_text()
    assert len(logs.recent()) == 1 and "ValueError" in logs.recent()[0] and "hf_abc" not in logs.recent()[0]


def test_a_folder_that_takes_no_file_costs_only_the_log(tmp_path):
    (tmp_path / "file").write_text("")
    logs.start(tmp_path / "file" / "logs")
    try:
        log.warning("still alive")
        assert logs.path() is None and "still alive" in logs.recent()[0]
    finally:
        logs.stop()


def test_a_report_leaves_out_what_is_private():
    text = report_text({
        "Settings": {"output": "/home/jane/pictures", "device": "cpu"}, "Nothing": [],
        "Last errors": ["cut: ['a Red barn at night'] and, once more, a red barn", "hf_abcdefghijklmnop was refused"],
    }, ("a red barn, a red barn at night", "mud"), ("/home/jane",))
    assert "jane" not in text and "barn" not in text.lower() and "hf_abc" not in text and "Nothing" not in text
    assert "output: ~/pictures" in text and PROMPT in text and "once more" in text


def test_tokens_of_all_kinds_are_struck_out_whatever_they_are_glued_to():
    for token in ("hf_abcdefgh12345678", "api_org_abcdefgh12345678", "hf_oauth_eyJhbGciOi.J9-abc_def",
                  "hf_jwt_eyJhbGciOiJ9"):
        for text in (f"x{token}", f"token={token}&", f"_{token}", f"é{token}"):
            assert token not in logs.without_tokens(text), text
    assert logs.without_tokens("Authorization: Bearer abcdefgh12345678").endswith("hf_…")
