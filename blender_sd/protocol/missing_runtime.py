"""Explain which runtime a library needs that cannot be loaded."""
from __future__ import annotations

import re

from ..core.errors import EngineMissing

# 126: a DLL, or one that it needs, is missing. 127: it lacks a function. 1114: it does not start. The last two also
# occur when it is too old.
_NO_RUNTIME = re.compile(r"WinError (126|127|1114)\b|DLL load failed while importing")
_ADDRESS = "https://aka.ms/vs/17/release/vc_redist.x64.exe"


def missing_runtime(text: str) -> EngineMissing | None:
    """Return the error for a missing Visual C++ runtime on Windows, or None if an import failed for another reason.

    torch's wheels for Windows need a recent runtime and do not contain it.

    Args:
        text: The text of the import error.
    """
    if not _NO_RUNTIME.search(text):
        return None
    return EngineMissing("Windows lacks the Microsoft Visual C++ runtime that torch needs, or has one that is too old.",
                         f"Install it from {_ADDRESS}, then start again.", text)
