"""python scripts/docs.py: builds the documentation as a static site in build/docs and names its first page.

Every broken link between pages, and everything else that Sphinx warns of, is an error. `--external` also asks the web whether the
addresses of other sites still answer.
"""
from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import envs

SOURCE = envs.ROOT / "docs"


def build(output: Path, builder: str = "html") -> bool:
    """Builds the site into `output`; whether that went without a warning."""
    strict = ("-q", "-W", "--keep-going")
    command = (sys.executable, "-m", "sphinx", "-b", builder, *strict, "-d", str(output / ".doctrees"), str(SOURCE), str(output))
    return subprocess.run(command).returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the documentation as a static site.")
    parser.add_argument("--output", type=Path, default=envs.ROOT / "build" / "docs",
                        help="the folder that takes the site (default: build/docs)")
    parser.add_argument("--external", action="store_true", help="check the addresses of other sites too; needs the internet")
    arguments = parser.parse_args()
    envs.run_inside()
    good = build(arguments.output) and (not arguments.external or build(arguments.output / ".links", "linkcheck"))
    if good:
        print(arguments.output / "index.html")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
