"""Mutations for fuzzing that keep the form: JSON stays JSON, and what is round it goes with it; so what lies behind
parsers is reached."""
from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable

from blender_sd.library import png
from blender_sd.protocol import framing
from tests.support import fuzz_targets


def _headed(data: bytes) -> list[bytes]:
    length = int.from_bytes(data[4:8], "little")
    return [data[8:8 + length], data[8 + length:]]


def _spoken(data: bytes) -> list[bytes]:
    return [png.text_of(data)[png.REQUEST_KEY].encode("utf-8", "surrogatepass")]


# Where JSON stands in a target's bytes: how it is taken out, in pieces (those that are no JSON stay), and put back.
JSON: dict[str, tuple[Callable[[bytes], list[bytes]], Callable[[list[bytes]], bytes]]] = {
    **dict.fromkeys(("request", "origin", "licences", "engine"), (lambda data: [data], lambda parts: parts[0])),
    "folder": (lambda data: data.split(b"\0"), b"\0".join),
    "safetensors": (lambda data: [data[8:]], lambda parts: len(parts[0]).to_bytes(8, "little") + parts[0]),
    "wire": (_headed, lambda parts: struct.pack("<4sI", framing.MAGIC, len(parts[0])) + b"".join(parts)),
    "png": (_spoken,
            lambda parts: fuzz_targets.picture(fuzz_targets.spoken(parts[0].decode("utf-8", "surrogatepass")))),}
ODD = (None, True, 0, -1, 1, 2**31, 2**63, 10**400, 1.5, float("inf"), float("nan"), 1e300, "", "a", "\ud800",
       "a" * 3000, "1,2", "../x", [], {}, [1], [[]], [None] * 300, {"a": 1}, ["a", "b"], [[[[[[[[[[]]]]]]]]]])


def mutated(name: str, data: bytes, dice: random.Random) -> bytes:
    """`data` of the target with one or two values of its JSON changed, taken out, or put in another's place. Raises
    what parsing raises."""
    unpack, pack = JSON[name]
    pieces = unpack(data)
    at = dice.randrange(len(pieces))
    value = json.loads(pieces[at])
    for _ in range(dice.randint(1, 2)):
        value = _changed(value, dice)
    pieces[at] = json.dumps(value, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
    return pack(pieces)


def _changed(value: object, dice: random.Random) -> object:
    if isinstance(value, (dict, list)) and value and dice.random() < 0.9:
        key = dice.choice(list(value) if isinstance(value, dict) else range(len(value)))
        fate = dice.random()
        if fate < 0.1:
            del value[key]
        elif fate < 0.2 and isinstance(value, dict):
            value[dice.choice(("a", "__metadata__", "shape", "format", "_class_name", "\ud800"))] = value[key]
        elif fate < 0.3:
            value[key] = copy.deepcopy(
                value[dice.choice(list(value) if isinstance(value, dict) else range(len(value)))])
        else:
            value[key] = _changed(value[key], dice)
        return value
    return copy.deepcopy(dice.choice(ODD))
