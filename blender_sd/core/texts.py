"""Clean texts from other people for lines, cells and links.

Such texts are names, prompts and licences that are written to a report or shown in a panel.
"""
from __future__ import annotations

import re
import unicodedata

_MOST = 500  # characters of an address
_SEPARATED = re.compile(r"""([;,\t][\s"']*)(?=[=+\-@＝＋－＠])""")  # many European locales separate cells by ";"
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")  # https://owasp.org/www-community/attacks/CSV_Injection
_ADDRESS = re.compile(r"https://[^\s\x00-\x20\x7f<>\"\\^`{|}]+")


def line(text: object) -> str:
    """Return `text` as one line without control characters and marks that change the writing direction.

    Whitespace and line breaks of any kind become single spaces, with none at either end.
    """
    text = str(text)
    if not text.isprintable():
        text = "".join(" " if unicodedata.category(sign) in ("Cc", "Zl", "Zp", "Cs") else ""
                       if unicodedata.category(sign) == "Cf" else sign
                       for sign in text)
    return " ".join(text.split())


def file_stem(text: object, most: int = 40) -> str:
    """Return the beginning of a file name for `text` that every system accepts.

    Args:
        text: The text. Its words keep their case and are joined by "_".
        most: The longest result in characters; it is cut between words.

    Returns:
        The name; "SD" if there is no word.
    """
    words = re.sub(r"\W+", "_", unicodedata.normalize("NFC", line(text))).strip("_")
    if len(words) > most:
        words = words[: most + 1].rsplit("_", 1)[0][:most]
    return words.strip("_") or "SD"


def cell(text: object) -> str:
    """Return `text` as a CSV cell that no spreadsheet takes for a formula.

    That holds for cells separated by comma, semicolon or tab: an apostrophe is put before anything that could begin a
    formula.
    """
    plain = line(text)
    plain = _SEPARATED.sub(r"\1'", plain)
    return f"'{plain}" if plain.lstrip(" \u00a0\"'").startswith(_FORMULA) else plain


def web(link: object) -> str:
    """Return `link` if it is an https address that a button may open; otherwise ""."""
    return link if isinstance(link, str) and len(link) <= _MOST and _ADDRESS.fullmatch(link) else ""
