"""What prompts may say beyond plain words, in the notation that A1111's web UI made common.

    {red|green} brick      one of the two, chosen by the seed (they nest)
    (moss:1.3) (moss)      1.3 and 1.1 times as important; [moss] 1/1.1 times; \\( \\[ are plain brackets
    <lora:old_bricks:0.8>  puts a LoRA on; without a number its weight is 1
    embedding:old_look     a textual inversion, a word of its own
    __colours__            one line of the list "colours", chosen by the seed
Brackets that are not closed, or nested more than 64 deep, are taken literally. Prompts may be a stranger's (a picture's settings, a
text block): all of this takes time in proportion to their length.
"""
from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence

_CHOICE = re.compile(r"\{([^{}]*)\}")
_NUMBER = r"(-?(?:\d+(?:\.\d+)?|\.\d+))"
_LORA = re.compile(rf"(?:(?<!\s)\s+)?<lora:([^<>]+?)(?::{_NUMBER})?>")
_EMBEDDING = re.compile(r"\bembedding:(\w[\w.-]*\w|\w)")
_LIST = re.compile(r"__(\w[\w ./-]*?)__")
_WEIGHT = re.compile(rf":\s*{_NUMBER}\s*$")
_STEP = 1.1  # what a pair of brackets is worth
_MOST = 100_000  # characters that lists may expand to: a list that names itself has no end
_DEEPEST = 64  # brackets within brackets
_HEAVIEST = 100.0  # weight of a word; far below, pictures are noise already


def chosen(prompt: str, seed: int) -> str:
    """`prompt` with one option of each {a|b} in place of it; the same for the same seed."""
    dice = random.Random(seed)
    for _ in range(_DEEPEST):
        prompt, found = _CHOICE.subn(lambda group: dice.choice(group[1].split("|")), prompt)
        if not found:
            break
    return prompt


def alternatives(prompt: str, most: int) -> tuple[list[str], bool]:
    """What `chosen` can make of `prompt`, and whether that is all of it: where there are more than `most`, only some are given."""
    waiting, found = [prompt], []
    while waiting:
        if len(waiting) + len(found) > most:
            return found, False
        one = waiting.pop()
        group = _CHOICE.search(one)
        if group is None:
            found.append(one)
        else:
            waiting += [one[:group.start()] + option + one[group.end():] for option in dict.fromkeys(group[1].split("|"))]
    return found, True


def with_lists(prompt: str, lines: Callable[[str], Sequence[str]]) -> str:
    """`prompt` with each __name__ as the choice {line|line|…} of `lines(name)`, which may name lists in turn. `lines` is asked once for
    each name."""
    known: dict[str, str] = {}

    def choice(name: re.Match[str]) -> str:
        nonlocal room
        if name[1] not in known:
            known[name[1]] = "{" + "|".join(lines(name[1])) + "}"
        room -= len(known[name[1]])
        return known[name[1]] if room >= 0 else ""

    for _ in range(8):
        room = _MOST - len(prompt)
        changed = _LIST.sub(choice, prompt)
        if changed == prompt or room < 0:
            break
        prompt = changed
    return prompt


def without_loras(prompt: str) -> tuple[str, list[tuple[str, float]]]:
    """`prompt` without its LoRA tags, and their names and weights. A tag inside a choice counts whatever is chosen."""
    tags = [(tag[1].strip(), 1.0 if tag[2] is None else float(tag[2])) for tag in _LORA.finditer(prompt)]
    return (_LORA.sub("", prompt).strip(), tags) if tags else (prompt, [])


def lora_tag(name: str, weight: float) -> str:
    """The tag that puts a LoRA on."""
    return f"<lora:{name}:{weight:g}>"


def embeddings(prompt: str) -> list[tuple[str, str]]:
    """The words in `prompt` that stand for textual inversions, and the names in them."""
    return [(word[0], word[1]) for word in _EMBEDDING.finditer(prompt)]


def weighted(prompt: str) -> list[tuple[str, float]]:
    """The pieces of `prompt`, each with how important it is; 1 is usual. Their texts together are what is to be read."""
    pieces: list[list] = []
    opened: list[tuple[str, int]] = []  # which bracket, and where its pieces begin
    text: list[str] = []

    def flush() -> None:
        if text:
            pieces.append(["".join(text), 1.0])
            text.clear()

    def close(factor: float) -> None:
        factor = min(max(factor, -_HEAVIEST), _HEAVIEST)
        for piece in pieces[opened.pop()[1]:]:
            piece[1] *= factor

    sign = iter(prompt)
    for one in sign:
        if one == "\\":
            following = next(sign, "")
            text.append(following if following and following in "()[]\\" else one + following)
        elif one in "([" and len(opened) < _DEEPEST:
            flush()
            opened.append((one, len(pieces)))
        elif one == ")" and opened and opened[-1][0] == "(":
            words = "".join(text)
            said = _WEIGHT.search(words)
            text[:] = words[: said.start()] if said else words
            flush()
            close(float(said[1]) if said else _STEP)
        elif one == "]" and opened and opened[-1][0] == "[":
            flush()
            close(1 / _STEP)
        else:
            text.append(one)
    flush()
    for bracket, at in reversed(opened):  # never closed: a bracket like any other sign
        pieces.insert(at, [bracket, 1.0])
    return _joined(pieces)


def plain(prompt: str) -> str:
    """What is to be read of `prompt`, without weights."""
    return "".join(text for text, _ in weighted(prompt))


def _joined(pieces: Sequence[Sequence]) -> list[tuple[str, float]]:
    """Neighbours of the same weight as one piece."""
    found: list[tuple[str, float]] = []
    for text, weight in pieces:
        if found and found[-1][1] == weight:
            found[-1] = (found[-1][0] + text, weight)
        else:
            found.append((text, weight))
    return found
