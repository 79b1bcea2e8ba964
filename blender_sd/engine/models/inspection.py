"""Inspect a model's folder before a library reads it.

Libraries trust what small files say: they make networks as large as a number says, follow paths, wait for pipes, and
fill missing weights with random numbers. So each folder is checked once, part by part: plain files, small ones
belonging to the model itself, of bounded length, with bounded numbers that match the weights beside them.
"""
from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ...core.errors import ModelUnreadable
from ...library import own_files
from ...library.checkpoints import SUFFIX, read_header
from . import shards

_WORDS = 64 << 20  # bytes of a vocabulary; those of the largest models have 40 million
_SMALL = {".json": own_files.MAX_BYTES, ".txt": _WORDS, ".model": _WORDS, ".jinja": own_files.MAX_BYTES}
_LARGE = re.compile(r"tokenizer(\..*)?\.json|vocab\.json|added_tokens\.json|.*\.index(\..*)?\.json")
# Which transformers would put on, from anywhere
_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")
_NETS = "config.json"
_NONE = 10**20  # from here on a number of tokens means "as many as you like"
_PLAIN = 1 << 16  # up to here a number needs no weights to vouch for it
_NUMBERS = 200_000  # values in one small file
# Keys of any file, and how large their values may be. The first that fits counts.
_LIMITS = tuple((re.compile(key), most) for key, most in (
    (r"(num_train|original_inference)_(time)?steps", 10_000),
    # `nets.bounded` looks at how many words there are weights for
    (r".*_token_ids?|.*_token_index|.*_index|vocab_size", 1 << 22),
    (r"rope_theta|theta|max_position_embeddings|n_positions|sliding_window|max_sequence_length|.*_pixels", 1 << 24),
    (r"axes_lens?|max_window_layers", 1 << 16),
))
_SCHEDULER, _WORDS_NUMBERS, _PICTURES = 100_000, 1 << 22, 1 << 25
_LAYERS = re.compile(r"(num|n)_.*(layers|blocks|stages)|layers_per_block|.*transformer_layers.*|num_layers|layers"
                     r"|depths?|.*repeats")
_FOLLOWED = ("base_model_name_or_path", "fast_tokenizer_files", "tokenizer_file", "vocab_file", "merges_file",
             "spm_file")

_MAX_TENSORS = 1 << 14  # of one file; LoRAs of the largest models have some thousand
_MAX_NUMBER = 512  # of a layer, where there are fewer tensors
_NAME = re.compile(r"[A-Za-z0-9_.|/:<>-]{1,300}")  # nothing that means more in a pattern than a dot
_NUMBER = re.compile(r"(?:(?<=[._])|^)([0-9]+)(?=[._]|$)")


class Weights(NamedTuple):
    """The contents of a part's weight files, from their headers: count of numbers, count of tensors, and the longest
    side.
    """

    numbers: int
    tensors: int
    longest: int


def weights_of(files: list[Path]) -> Weights:
    """Return what weight files, safetensors or GGUF, contain. Raises OSError or ValueError if one is broken."""
    shapes = [entry.get("shape", ()) for file in files for entry in read_header(str(file)).values()]
    if any(not isinstance(shape, (list, tuple)) or any(type(side) is not int or side < 0 for side in shape)
           for shape in shapes):
        raise ValueError("shapes that are no numbers")
    return Weights(sum(map(math.prod, shapes)), len(shapes),
                   max((side for shape in shapes for side in shape), default=0))


def check(folder: Path, what: str = "model") -> None:
    """Check the folder of one part of a model, or of a network by itself.

    Args:
        folder: The folder.
        what: What a person calls it, for messages.

    Raises:
        ModelUnreadable: Something in it is not what a library may read.
    """
    try:
        files = sorted(entry.name for entry in os.scandir(folder))
        weights = [folder / name for name in files if name.endswith(SUFFIX)]
        for name in files:
            _check_file(folder, name)
        shards.check(folder)
        held = _held(weights)
        for name in files:
            if name.endswith(".json"):
                _check_numbers(name, _json(folder, name), held)
    except (OSError, ValueError, RecursionError) as error:
        raise ModelUnreadable(f"The {what}'s folder '{folder.name}' cannot be loaded: {_reason(error)}.",
                              "Download it again, or get it from its owner.",
                              repr(error)) from None


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """Return the contents of a small JSON file of a model. Raises OSError or ValueError."""
    content = _json(folder, name)
    if not isinstance(content, dict):
        raise ValueError(f"{name} describes no model")
    return content


def check_names(header: dict[str, Any], named: bool) -> None:
    """Raise ValueError if a file's tensor names are not those of a model.

    Libraries make patterns of these names, and as many layers as the numbers in them say.

    Args:
        header: The tensors by name.
        named: Whether their names matter.
    """
    if len(header) > _MAX_TENSORS:
        raise ValueError(f"{len(header)} tensors")
    most = max(_MAX_NUMBER, len(header))
    for name in header if named else ():
        if not _NAME.fullmatch(name):
            raise ValueError(f"a layer of no model: {name!r:.100}")
        if any(len(number) > 6 or int(number) > most for number in _NUMBER.findall(name)):
            raise ValueError(f"a layer of a number that no model has: {name!r:.100}")


def _reason(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "a file in it is nested too deeply"
    return f"{getattr(error, 'strerror', None) or error}"[:200]


def _held(files: list[Path]) -> Weights | None:
    for file in files:
        try:
            weights_of([file])
        except (OSError, ValueError, RecursionError) as error:
            raise ValueError(f"its file {file.name} is broken or incomplete ({error})") from None
    return weights_of(files) if files else None


def _check_file(folder: Path, name: str) -> None:
    if name.casefold() in _ADAPTERS:
        raise ValueError(f"it holds an adapter, {name}, which would be put on whatever its settings name")
    if name.endswith(SUFFIX):
        if not stat.S_ISREG(os.stat(folder / name).st_mode):
            raise ValueError(f"{name} is no plain file")
    elif (most := _SMALL.get(os.path.splitext(name)[1])) is not None:
        size = os.stat(own_files.own(str(folder), str(folder / name)))
        if not stat.S_ISREG(size.st_mode):
            raise ValueError(f"{name} is no plain file")
        if size.st_size > (_WORDS if _LARGE.fullmatch(name) else most):
            raise ValueError(f"{name} is too long")


def _json(folder: Path, name: str) -> Any:
    data = own_files.read(str(folder), name, _WORDS if _LARGE.fullmatch(name) else own_files.MAX_BYTES)
    return json.loads(data.decode("utf-8-sig"))


def _check_numbers(name: str, content: Any, held: Weights | None) -> None:
    if _LARGE.fullmatch(name):
        if not isinstance(content, dict):
            raise ValueError(f"{name} holds no settings")
        # The rest are words and their numbers
        content = {key: value for key, value in content.items() if key in ("truncation", "padding")}
    for count, (key, value) in enumerate(_values("", content)):
        if count >= _NUMBERS:
            raise ValueError(f"{name} has too many values")
        if key in _FOLLOWED and value and name != "special_tokens_map.json" and _leads(value):
            raise ValueError(f"{name} leads elsewhere: {key}")
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not _fits(name, key, value, held):
            raise ValueError(f"{name} says {key} {value!r:.40}, for which there are no weights" if name == _NETS else
                             f"{name} says {key} {value!r:.40}")
    if name == _NETS and held is not None and isinstance(content, dict):
        _check_grid(content, held)


def _leads(value: Any) -> bool:
    return not isinstance(value, str) or bool(set(value) & set("/\\:"))


def _fits(name: str, key: str, value: float, held: Weights | None) -> bool:
    if value != value:  # NaN
        return False
    if isinstance(value, float) and not value.is_integer():
        return True
    if key == "model_max_length":
        return abs(value) <= 1 << 20 or value >= _NONE
    if name == _NETS and held is not None and _LAYERS.fullmatch(key):
        return value <= max(held.tensors, 1)
    limit = next((most for known, most in _LIMITS if known.fullmatch(key)), None)
    if limit is None:
        limit = max(_PLAIN, held.longest) if name == _NETS and held is not None else \
            _SCHEDULER if "scheduler" in name else _PICTURES if "processor" in name else _WORDS_NUMBERS
    return isinstance(value, float) or abs(value) <= limit


def _check_grid(config: dict[str, Any], held: Weights) -> None:
    """Raise ValueError if a transformer's table of positions, side × side × width, would be larger than its weights.

    Libraries make the table before they read the weights.
    """
    side = config.get("pos_embed_max_size") or (config.get("sample_size") or 0)
    patch, heads, width = (config.get(key) for key in ("patch_size", "num_attention_heads", "attention_head_dim"))
    if all(type(value) is int and value > 0 for value in (side, patch, heads, width)):
        across = side if config.get("pos_embed_max_size") else side // patch
        if across * across * heads * width > max(held.numbers, 1 << 22):
            raise ValueError(f"{_NETS} asks for {across} × {across} positions, for which there are no weights")


def _values(key: str, content: Any) -> Iterator[tuple[str, Any]]:
    """Yield each plain value in `content`, with the key that it, or the list that it is in, stands under."""
    waiting = [(key, content)]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += ((key, item) for item in value)
            if key in _FOLLOWED:
                yield key, value
        else:
            yield key, value
