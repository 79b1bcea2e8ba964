"""Go from nothing to pictures in one command: python scripts/demo.py [FOLDER].

Needs Python 3.11 or 3.13 and no Blender. Makes the environment `.venv` on the first run, builds a small scene in real
Blender (bpy), textures objects from prompts, repaints an image slot, restyles the camera's render, and prints the
folder of the pictures, the .blend file and a contact sheet.
"""
from __future__ import annotations

import argparse
import sys
from pathlib import Path

import envs


def main() -> None:
    parser = argparse.ArgumentParser(description="Texture a small scene and restyle its render.")
    parser.add_argument("folder", nargs="?", type=Path, default=envs.ROOT / "out" / "demo",
                        help="where the pictures go (default: %(default)s)")
    folder = parser.parse_args().folder.resolve()
    envs.run_inside()

    sys.path.insert(0, str(envs.ROOT))
    import demo_story

    sheet = demo_story.tell(folder)
    print(f"\nThe pictures, demo.blend and the contact sheet are in {folder}\nOpen {sheet}")


if __name__ == "__main__":
    main()
