"""Read and write styles: a look under a name, kept as a small TOML file that people read, edit and share.

    description = "Loose washes on rough paper"
    group = "Painting"
    prompt = "{prompt}, watercolour painting, wet washes, rough paper"
    negative = "photo, 3d render"
    steps = 30
    guidance = 6.0

    [loras]
    "old paper" = 0.7

    [[regions]]
    material = "Wood"
    prompt = "carved oak"

Every field may be left out; an unknown one is an error that names it. The file's name is the style's name. {prompt}
stands for what the person typed; without it, that comes first. Models and LoRAs are given by name, never by path: a
file from somebody else can only name what is in the model folders already.
"""
from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from . import toml
from .declarations import find, used_by
from .errors import InvalidRequest, StyleUnusable
from .names import DEVICES, FORBIDDEN, suggestion
from .parts import Lora
from .prompt_choices import lora_names
from .regions import NAMED, Region, as_fields, from_fields
from .request import Request
from .settings import STYLE, shown
from .tasks import TEXT_TO_IMAGE

SUFFIX = ".toml"
MAX_BYTES = 1 << 16
MAX_NAME = 60  # characters
MAX_LORAS = 16
MAX_REGIONS = 64
_MOST_NAMES = 256  # of LoRAs that one tag with choices in it may have
PROMPT = "{prompt}"
TEXTS = ("description", "group", "prompt", "negative")
SETTINGS = tuple(declared.name for declared in used_by(STYLE))
FIELDS = (*TEXTS, *SETTINGS, "loras", "regions")
_MAX_TEXT = {"description": 500, "group": 40, "prompt": 8192, "negative": 8192}
_PATH = re.compile(r"[\\/~]|[a-z]:|.*\\|(.*/)?\.\.(/|$)", re.I)


@dataclass(frozen=True)
class Style:
    """Describe a style.

    Attributes:
        name: Its name.
        description: What it looks like.
        group: The heading under which menus list it.
        prompt, negative: Templates of the prompts; {prompt} stands for what the person typed.
        settings: Those of SETTINGS that it sets.
        loras: The names and weights of its LoRAs.
        regions: The regions that it gives to objects, materials and collections of these names, where a file has them.
        file: The path of its file, "" if it was not saved yet.
        own: Whether it is the person's own rather than a shipped one.
    """

    name: str
    description: str = ""
    group: str = ""
    prompt: str = PROMPT
    negative: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    loras: tuple[tuple[str, float], ...] = ()
    regions: tuple[Region, ...] = ()
    file: str = ""
    own: bool = False

    def words(self, prompt: str, negative: str = "") -> tuple[str, str]:
        """Return the prompt and negative prompt to paint with, for what a person typed."""
        return _filled(self.prompt, prompt), _filled(self.negative, negative)


def make_style(name: str, raw: Mapping[str, Any], file: str = "", own: bool = False) -> Style:
    """Build a style from its fields.

    Args:
        name: The style's name.
        raw: Its fields, of FIELDS; None is the same as leaving a field out.
        file: The path of its file.
        own: Whether it is the person's own.

    Raises:
        StyleUnusable: A field is unknown or has a wrong value; the message names it.
    """
    name = checked_name(name)
    values = {key: value for key, value in raw.items() if value is not None}
    for key in values:
        if key not in FIELDS:
            raise StyleUnusable(f"The style '{name}' has a field that does not exist: '{key:.40}'.",
                                suggestion(key, FIELDS))
    texts = {key: _text(name, key, values[key]) for key in TEXTS if key in values}
    settings = {key: values[key] for key in SETTINGS if key in values}
    try:
        settings = {key: _checked(key, value) for key, value in settings.items()}
        loras = _loras(name, values.get("loras", {}))
        regions = _regions(name, values.get("regions", []))
    except InvalidRequest as error:
        raise StyleUnusable(f"The style '{name}' cannot be used: {error.message}", error.hint, error.detail) from None
    tags = []
    for key, text in (*((key, texts.get(key, "")) for key in ("prompt", "negative")),
                      *(("regions", region.prompt) for region in regions)):
        names, complete = lora_names(text, _MOST_NAMES)
        if not complete:
            raise StyleUnusable(f"In the style '{name}', a LoRA tag in '{key}' may name more than {_MOST_NAMES} LoRAs.",
                                "Take choices out of the tag.")
        tags += names
    for given in (*tags, *(lora for lora, _ in loras), settings.get("model", "starter")):
        if not given.strip() or _PATH.match(given.strip()):
            raise StyleUnusable(f"The style '{name}' names a model or LoRA by a path: '{given:.80}'.",
                                "Write its name, as the lists of models and LoRAs show it.")
    return Style(name=name, settings=settings, loras=loras, regions=regions, file=file, own=own, **texts)


def read_style(data: bytes, name: str, file: str = "", own: bool = False) -> Style:
    """Read a style from a file's bytes (see `make_style`). Raise StyleUnusable for anything else."""
    if len(data) > MAX_BYTES:
        raise StyleUnusable(f"The style '{name:.80}' is larger than {MAX_BYTES >> 10} KB.",
                            "It is no style; take its file away.")
    try:
        raw = toml.loads(data.decode("utf-8-sig").replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:  # broken UTF-8 or TOML
        raise StyleUnusable(f"The style '{name:.80}' cannot be read: {str(error)[:120] or 'it is nested too deeply'}.",
                            "Correct its file in a text editor, or take it away.") from None
    return make_style(name, raw, file, own)


def written(style: Style) -> str:
    """Return the style as TOML that `read_style` reads back."""
    texts = {key: getattr(style, key) for key in TEXTS if getattr(style, key)}
    settings = {key: style.settings[key] for key in SETTINGS if key in style.settings}
    lines = [f"{key} = {_value(value)}" for key, value in {**texts, **settings}.items()]
    if style.loras:
        lines += ["", "[loras]", *(f"{_value(name)} = {_value(weight)}" for name, weight in style.loras)]
    for region in style.regions:
        lines += ["", "[[regions]]", *(f"{key} = {_value(value)}" for key, value in as_fields(region).items())]
    return "\n".join(lines) + "\n"


def checked_name(name: str) -> str:
    """Return `name` in one Unicode form. Raise StyleUnusable if it cannot be a file name on every system."""
    # macOS writes letters and accents apart
    name = unicodedata.normalize("NFC", " ".join(str(name).split(" "))).strip()
    hint = "Choose a name of letters, digits and spaces."
    if not name:
        raise StyleUnusable("A style needs a name.", hint)
    if wrong := FORBIDDEN.search(name):
        raise StyleUnusable(f"The name '{name:.80}' holds the sign {wrong[0]!r}.", hint)
    if len(name) > MAX_NAME or name[0] == "." or name[-1] == "." or DEVICES.fullmatch(name) or not _encodes(name):
        raise StyleUnusable(f"'{name[:80]!s}' cannot be a file's name on every system.",
                            f"{hint} {MAX_NAME} characters are the most.")
    return name


# ---- inside --------------------------------------------------------------------------------------------------------


def _checked(name: str, value: Any) -> Any:
    """Return the value of a setting as a request holds it: 5 becomes 5.0 for a float. Raise InvalidRequest."""
    declared = find(name)
    return declared.of(Request.of(declared.task or TEXT_TO_IMAGE, **{name: value}))


def _filled(template: str, typed: str) -> str:
    typed = typed.strip()
    text = template.replace(PROMPT, typed) if PROMPT in template else ", ".join(filter(None, (typed, template.strip())))
    if not typed:  # nothing was typed: remove the commas around its place
        text = ", ".join(part.strip() for part in text.split(",") if part.strip())
    return text.strip()


def _text(name: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or not _encodes(value):
        raise StyleUnusable(f"In the style '{name}', '{key}' must be text, not {shown(value)}.", "Put it in quotes.")
    if len(value) > _MAX_TEXT[key]:
        raise StyleUnusable(f"In the style '{name}', '{key}' is longer than {_MAX_TEXT[key]} characters.",
                            "Shorten it.")
    return " ".join(value.split())  # prompts are one line, however the file breaks them


def _loras(name: str, raw: Any) -> tuple[tuple[str, float], ...]:
    if not isinstance(raw, Mapping) or len(raw) > MAX_LORAS or not all(isinstance(lora, str) for lora in raw):
        raise StyleUnusable(f"In the style '{name}', 'loras' must hold up to {MAX_LORAS} names, each with its weight.",
                            'Write a line [loras], and below it lines such as "old bricks" = 0.8.')
    return tuple((lora, Lora(lora, weight).weight) for lora, weight in raw.items())


def _regions(name: str, raw: Any) -> tuple[Region, ...]:
    if not isinstance(raw, (list, tuple)) or len(raw) > MAX_REGIONS:
        raise StyleUnusable(f"In the style '{name}', 'regions' must be a list of at most {MAX_REGIONS}.",
                            'Write [[regions]] above each, and below it lines such as material = "Wood".')
    regions = tuple(from_fields(one)[0] for one in raw)
    if any(region.kind not in NAMED for region in regions):
        raise StyleUnusable(f"In the style '{name}', a region is of a mask or of selected faces.",
                            "Regions of styles are of an object, a material or a collection.")
    if not all(_encodes(text) and len(text) <= _MAX_TEXT["prompt"] for region in regions
               for text in (region.name, region.prompt)):
        raise StyleUnusable(f"In the style '{name}', the text of a region is broken or too long.", "Type it again.")
    return regions


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # TOML's strings are like JSON's except for this character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
