"""Train the embedded starter model from nothing: ``python scripts/train_starter.py``.

Stages, each resumable (run again to continue): data, classifier, vae, latents, decoder, unet, control, recogniser,
maps, detail, export, evaluate. ``--stage`` runs only some of them, ``--minutes`` sets a stage's length in all (work
done in earlier runs counts), as in

    python scripts/train_starter.py --stage unet --stage export --minutes unet=240

The stage "restore" runs only when asked for: it makes checkpoints of the model that is shipped, so that a fresh machine
can continue from there, here with one more hour for the denoiser:

    python scripts/train_starter.py --stage restore --stage data --stage latents --stage unet --stage export --minutes
    unet=60

The stage "data" also has Blender render 3,000 scenes, so it needs bpy; a run that is interrupted keeps those it has.
Where there is little time, ``--share 0.25`` makes a quarter of the pictures and scenes.

Checkpoints and rendered data live in ``.cache/starter``; the result is ``blender_sd/models/starter`` and, beside it,
its ControlNet ``starter_control``, the estimator of material maps ``starter_maps`` and the upscaler
``starter_upscaler``. Nine to ten hours on two CPU cores; a CUDA device is used when there is one.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

MINUTES = {
    "classifier": 24.0, "vae": 42.0, "decoder": 10.0, "unet": 180.0, "control": 35.0, "recogniser": 18.0,
    "maps": 100.0, "detail": 120.0,
}  # fmt: skip
STAGES = ("data", "classifier", "vae", "latents", "decoder", "unet", "control", "recogniser", "maps", "detail",
          "export", "evaluate")  # fmt: skip


def arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--stage", action="append", choices=(*STAGES, "restore"), help="run only this stage (repeatable)"
    )
    parser.add_argument("--minutes", action="append", default=[], metavar="STAGE=N", help="length of a stage in all")
    parser.add_argument("--share", type=float, default=1.0, help="the share of the training data to make (default: 1)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 2, help="processes (default: all cores)")
    return parser.parse_args(argv)


def run_stage(stage: str, minutes: dict[str, float], workers: int, share: float = 1.0) -> None:
    """Run one stage; imports wait until they are needed, so that "data" works without torch."""
    if stage != "data":
        from starter import stages

        stages.RUN[stage](minutes.get(stage, 0.0), workers)
        return
    from starter import data, scenes

    folder = Path(__file__).resolve().parents[1] / ".cache" / "starter" / "data"
    data.prepare(folder, print, workers, share)
    scenes.prepare(folder, "scenes", print, workers, int(scenes.SETS["scenes"][0] * share))


def main() -> None:
    """Run the chosen stages in order."""
    args = arguments()
    minutes = dict(MINUTES)
    for item in args.minutes:
        stage, _, amount = item.partition("=")
        if stage not in minutes:
            raise SystemExit(f"--minutes: no timed stage is called {stage!r}; there are {', '.join(minutes)}")
        minutes[stage] = float(amount)
    for stage in args.stage or STAGES:
        run_stage(stage, minutes, args.workers, args.share)


if __name__ == "__main__":
    main()
