"""`--command`, which PyPI's module of Blender lacks, with the extension installed by Blender's own command."""
from __future__ import annotations

import os
import subprocess

import pytest


@pytest.fixture(scope="module")
def blender(program, extension_zip, tmp_path_factory):
    """Call Blender without a window, with settings of its own, in which the extension is installed."""
    folder = tmp_path_factory.mktemp("command_line")

    def call(*arguments: str) -> subprocess.CompletedProcess:
        shared = ("--share", str(folder), "--share", str(extension_zip.parent))
        return subprocess.run([*program, *shared, "--background", *arguments], capture_output=True, text=True,
                              timeout=300, env={**os.environ, "BLENDER_USER_RESOURCES": str(folder)})

    done = call("--command", "extension", "install-file", "--repo", "user_default", "--enable", str(extension_zip))
    assert done.returncode == 0, done.stdout + done.stderr
    return call


def test_a_missing_file_is_named_and_the_status_is_2(blender):
    done = blender("--command", "sd_report", "missing.blend")
    assert done.returncode == 2
    assert "sd: There is no file '/missing.blend'." in done.stderr and "Traceback" not in done.stderr, done.stderr  # noqa: E501


def test_a_scene_without_generated_images_has_an_empty_report(blender):
    done = blender("--command", "sd_report")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr and done.stdout.strip(), done.stderr


def test_help_names_the_options(blender):
    done = blender("--command", "sd", "report", "--help")
    assert done.returncode == 0 and "--csv" in done.stdout
