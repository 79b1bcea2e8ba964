"""Parse TOML texts from other people in time proportional to their length."""
from __future__ import annotations

import re
import tomllib
from typing import Any

# Deeply nested dotted keys, which none of our files has: the parser's time and memory grow with the square of their
# depth.
_DEEP_KEYS = re.compile(r"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){32}""")


def loads(text: str) -> dict[str, Any]:
    """Parse `text`. Raise ValueError for text that is not TOML, RecursionError if it is nested too deeply."""
    if _DEEP_KEYS.search(text):
        raise RecursionError
    return tomllib.loads(text)
