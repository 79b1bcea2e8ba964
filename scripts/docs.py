"""Build the documentation as a static site in build/docs and print the path of its first page: python scripts/docs.py.

Broken links between pages, and everything else that Sphinx warns about, are errors. `--external` also checks whether
links to other sites still answer.
"""
from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import envs

SOURCE = envs.ROOT / "docs"


def build(output: Path, builder: str = "html") -> bool:
    """Build the site into `output`. Return whether there was no warning."""
    strict = ("-q", "-W", "--keep-going")
    command = (
        sys.executable,
        "-m",
        "sphinx",
        "-b",
        builder,
        *strict,
        "-d",
        str(output / ".doctrees"),
        str(SOURCE),
        str(output),
    )
    return subprocess.run(command).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Build the documentation as a static site.")
    parser.add_argument("--output", type=Path, default=envs.ROOT / "build" / "docs",
                        help="the folder for the site (default: build/docs)")
    parser.add_argument("--external", action="store_true", help="check links to other sites too; needs the internet")
    arguments = parser.parse_args()
    envs.run_inside()
    good = build(arguments.output) and (not arguments.external or build(arguments.output / ".links", "linkcheck"))
    if good:
        print(arguments.output / "index.html")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
