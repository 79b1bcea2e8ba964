"""Write the part of docs/guide/compatibility.md that comes from the tests' table: python scripts/compatibility.py."""
from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.support.compatibility import NAMES, SECTIONS, TRAINERS_OF, Row  # noqa: E402

PAGE = ROOT / "docs" / "guide" / "compatibility.md"
BEGIN, END = "<!-- written by scripts/compatibility.py -->\n", "<!-- end of what is written -->\n"


def written() -> str:
    """Return the part of the page that comes from the table."""
    parts = []
    for title, rows in SECTIONS.items():
        lines = [f"## {title}\n", "| | |", "|---|---|", *map(_line, rows)]
        if title == "LoRAs":
            lines += ["", "Names of layers that were tested, for each family:\n", "| | |", "|---|---|"]
            lines += [f"| {NAMES[family]} | {', '.join(trainers)} |" for family, trainers in TRAINERS_OF.items()]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _line(row: Row) -> str:
    whole = row.outcome.startswith(("works", "refused", "reported"))
    return f"| {row.what} | {row.outcome if whole else f'refused: *{row.outcome}*'} |"


def page(text: str) -> str:
    """Return the page `text` with its written part renewed."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{written()}\n{END}{rest.partition(END)[2]}"


def main() -> int:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(PAGE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
