"""Stand for Blender on a farm's worker: `python farm_worker.py -b [file.blend] --command sd …`, without torch.

PyPI's module of Blender has no `--command`. The engine is a `DrawingPipeline`; SD_TEST_PAUSE is the time of its steps.
"""
from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def main(arguments: list[str]) -> int:
    at = arguments.index("--command")
    assert arguments[0] == "-b" and arguments[at + 1] == "sd", arguments
    sys.modules["bpy"] = None
    from blender_sd.calls.runtime import Runtime
    from blender_sd.cli.main import main as command_line
    from tests.support.drawing_pipeline import DrawingPipeline

    pause = float(os.environ.get("SD_TEST_PAUSE", "0"))
    Runtime.pipeline_factory = lambda self, number=0: lambda: DrawingPipeline(pause)
    return command_line(arguments[at + 2:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
