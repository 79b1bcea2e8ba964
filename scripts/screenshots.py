"""Take the pictures of the guide from a real Blender window into docs/images: python scripts/screenshots.py [NAME ...].

Each picture is one function of `guide_pictures.py`, with a Blender of its own (under Xvfb, with the built extension
installed and the starter model), so any can be taken alone. Seeds are fixed. If one fails, it is named, the others are
still taken, and the exit status is 1.
"""
from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import build
import envs
from guide_pictures import IMAGES, PICTURES, PREPARE, setup

BLENDER = "5.2"


def main() -> int:
    parser = argparse.ArgumentParser(description="Take the guide's pictures from a real Blender window.")
    known = [one.__name__ for one in PICTURES]
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which pictures (default: all): {', '.join(known)}")
    chosen = parser.parse_args().names
    if not set(chosen) <= set(known):
        parser.error(f"there are the pictures {', '.join(known)}")
    envs.run_inside()
    sys.path.insert(0, str(envs.ROOT))
    from tests.support.window.harness import BlenderWindow

    python = str(envs.ensure(envs.blender_env(BLENDER)))
    failed = []
    with tempfile.TemporaryDirectory(prefix="sd-pictures-", ignore_cleanup_errors=True) as folder:
        archive = build.build(Path(folder))
        for one in PICTURES:
            if chosen and one.__name__ not in chosen:
                continue
            try:
                with BlenderWindow(python, [archive], Path(folder) / one.__name__) as window:
                    window.run_script(PREPARE.format(engine="" if one is setup else sys.executable))
                    one(window)
                print(f"{one.__name__}: taken", flush=True)
            except Exception as error:  # the others can be taken all the same
                print(f"{one.__name__}: {error}", file=sys.stderr, flush=True)
                failed.append(one.__name__)
    print(f"failed: {', '.join(failed)}" if failed else f"all in {IMAGES}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
