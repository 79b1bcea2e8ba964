"""Resolve what is settled before a prompt is painted: lists, choices, LoRAs and textual inversions.

The notation is in `prompt_syntax`.
"""
from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from .errors import InvalidRequest
from .prompt_nodes import Branch, Choice, Edit, ListName, Node, Tag, Text, Turns
from .prompt_syntax import (
    ACCENTS, LORA_KINDS, NUMBER, SHARE, inside, literal, parse, shape, walk, words,
)

_EMBEDDING = re.compile(rf"\bembedding:((?:\w[\w.{ACCENTS}-]*[\\/])*(?:\w[\w.{ACCENTS}-]*[\w{ACCENTS}]|\w))")
_WEIGHT = re.compile(NUMBER)
_NAMED = re.compile(rf"(te|unet)\s*=\s*({NUMBER})")
# of a LoRA tag: a parameter for an extension of another program, a number with a comma
_OTHER = re.compile(r"[a-z_]+\s*=[^=]*|[+-]?\d*,\d+", re.I)
_IN_TAG = re.compile(rf"(?<=[:=])\s*({NUMBER})\s*(?=[:>])")
_MOST = 100_000  # characters that lists may expand to
_LEVELS = 8  # levels of lists that name lists
_HEAVIEST = 4.0  # the largest weight of a LoRA


@dataclass(frozen=True)
class LoraTag:
    """Hold the content of a LoRA tag.

    Attributes:
        name: The LoRA's name.
        weight: How strongly it counts.
        text_weight: How strongly it counts in the text encoders; None for the same.
        unknown: Parts after the name that are not understood.
    """

    name: str
    weight: float = 1.0
    text_weight: float | None = None
    unknown: tuple[str, ...] = ()


# ---- lists -----------------------------------------------------------------------------------------------------------


def with_lists(prompt: str, lines: Callable[[str], Sequence[str]], seed: int = 0) -> str:
    """Return `prompt` with each __name__ replaced by the choice {line|line|…} of its list.

    Args:
        prompt: The prompt.
        lines: Returns the lines of the list with a given name; called once per name. A line is one option, whatever it
            contains; "3::line" counts three times. Lines may name lists in turn.
        seed: Chooses lines of lists that are too long for a prompt (100 000 characters in all).

    Raises:
        InvalidRequest: A list names itself.
    """
    known: dict[str, Sequence[str]] = {}
    depths: dict[str, int] = {}
    for name in _names_in(prompt):
        _read(name, lines, known, depths, 1)
    sizes = {name: sum(map(len, options)) + len(options) for name, options in known.items()}
    while names := [node for node in walk(parse(prompt)) if isinstance(node, ListName)]:
        room = max(_MOST - len(prompt), 0)
        share = None if sum(sizes[node.name] for node in names) <= room else room // len(names)
        parts, at = [], 0
        for number, node in enumerate(names):
            options = known[node.name]
            if share is not None and sizes[node.name] > share:
                options = _some(options, share, random.Random(f"{seed} {number} {node.name}"))
            parts += [prompt[at:node.start], "{", "|".join(map(_option, options)), "}"]
            at = node.end
        prompt = "".join((*parts, prompt[at:]))
    return prompt


def _names_in(text: str) -> list[str]:
    if "__" not in text:
        return []
    return list(dict.fromkeys(node.name for node in walk(parse(text)) if isinstance(node, ListName)))


def _read(name: str, lines: Callable[[str], Sequence[str]], known: dict[str, Sequence[str]], depths: dict[str, int],
          level: int) -> int:
    """Read the lines of a list, and of all lists that they name, into `known`.

    Args:
        name: The list.
        lines: As for `with_lists`.
        known: The lines of each list that was read.
        depths: The levels of lists below each list that was read; 0 while it is being read.
        level: The level of this list.

    Returns:
        The levels of lists, with this one.

    Raises:
        InvalidRequest: A list names itself.
    """
    if not depths.get(name, 1) or level > _LEVELS:
        raise InvalidRequest(f"The list '{name:.80}' names itself, or lists name each other more than {_LEVELS} deep.",
                             "Take its name out of its own lines.")
    if name not in depths:
        depths[name] = 0
        if name not in known:
            known[name] = lines(name)
        named = dict.fromkeys(other for line in known[name] if "__" in line for other in _names_in(line))
        depths[name] = 1 + max((_read(other, lines, known, depths, level + 1) for other in named), default=0)
    return depths[name]


def _some(options: Sequence[str], share: int, dice: random.Random) -> list[str]:
    """Return some of `options`, about `share` characters together; at least one."""
    taken: list[str] = []
    for place in dice.sample(range(len(options)), min(len(options), max(1, share))):
        share -= len(options[place]) + 1
        if share < 0 and taken:
            break
        taken.append(options[place])
    return taken


def _option(line: str) -> str:
    head = match[0] if (match := SHARE.match(line)) else ""
    return head + literal(line[len(head):])


# ---- choices ---------------------------------------------------------------------------------------------------------


def chosen(prompt: str, seed: int) -> str:
    """Return `prompt` with one text in place of each choice; the same for the same seed.

    All choices are made, inner ones first, each level from left to right. So adding a choice at the same level or
    further in changes those after it; adding one further out does not.
    """
    nodes = parse(prompt)
    heights: dict[int, int] = {}
    choices = _choices(nodes, heights)
    if not choices:
        return prompt
    dice = random.Random(seed)
    picks = {node.start: _picked(node, dice)
             for node in sorted(choices, key=lambda node: (heights[node.start], node.start))}
    made = _with_picks(prompt, 0, len(prompt), nodes, picks, False)
    if "\\" in made:  # characters of a list's line that need no backslash in their new place
        bare = _with_picks(prompt, 0, len(prompt), nodes, picks, True)
        if shape(parse(bare)) == shape(parse(made)):
            return bare
    return made


def _choices(nodes: Sequence[Node], heights: dict[int, int]) -> list[Choice]:
    """Return all choices in `nodes`, and record in `heights` how many levels of choices each contains, by its start."""
    made: list[Choice] = []
    for node in nodes:
        below = _choices(inside(node), heights)
        made += below
        if isinstance(node, Choice):
            heights[node.start] = 1 + max((heights[choice.start] for choice in below), default=0)
            made.append(node)
    return made


def _picked(choice: Choice, dice: random.Random) -> list[Branch]:
    options = list(choice.options)
    weighted = any(option.weight != 1 for option in options)
    if choice.joiner is None and not weighted:
        return [dice.choice(options)]
    count = choice.low if choice.low == choice.high else dice.randint(choice.low, choice.high)
    taken: list[Branch] = []
    for _ in range(count):
        total = sum(option.weight for option in options)
        index = dice.choices(range(len(options)), [option.weight for option in options] if total > 0 else None)[0]
        taken.append(options.pop(index))
    return taken


def _with_picks(source: str, start: int, end: int, nodes: Sequence[Node], picks: dict[int, list[Branch]], bare: bool,
                within: bool = False) -> str:
    """Return a part of `source` with the chosen texts.

    Args:
        source: The prompt.
        start, end: The part of it.
        nodes: The nodes of the part.
        picks: The chosen branches of each choice, by its start.
        bare: Whether to leave out the backslashes of escaped characters in options.
        within: Whether the part is in an option.
    """
    made, at = [], start
    for node in nodes:
        made.append(source[at:node.start])
        if isinstance(node, Choice):
            texts = [_with_picks(source, branch.start, branch.end, branch.nodes, picks, bare, True)
                     for branch in picks[node.start]]
            made.append(texts[0] if node.joiner is None else node.joiner.join(text.strip() for text in texts))
        elif isinstance(node, Text):
            made.append(node.text if bare and within else source[node.start:node.end])
        elif held := inside(node):
            made.append(_with_picks(source, node.start, node.end, held, picks, bare, within))
        else:
            made.append(source[node.start:node.end])
        at = node.end
    return "".join((*made, source[at:end]))


def alternatives(prompt: str, most: int) -> tuple[list[str], bool]:
    """Return the texts that may be painted of a prompt.

    There is one for each way of making its choices, and for each text of its changing parts.

    Args:
        prompt: The prompt.
        most: The most texts to return.

    Returns:
        The texts, and whether they are all; if there are more than `most`, some are missing or cut.
    """
    texts, complete = _expanded(prompt, 0, len(prompt), parse(prompt), most)
    return list(dict.fromkeys(texts)), complete


def _expanded(source: str, start: int, end: int, nodes: Sequence[Node], most: int) -> tuple[list[str], bool]:
    made, at, complete = [""], start, True
    for node in nodes:
        if not any(isinstance(part, (Choice, Edit, Turns)) for part in walk((node,))):
            continue
        if isinstance(node, (Choice, Edit, Turns)):
            branches = [_expanded(source, branch.start, branch.end, branch.nodes, most) for branch in inside(node)]
            texts, whole = [text for some, _ in branches for text in some], all(full for _, full in branches)
            if isinstance(node, Choice) and node.joiner is not None:
                texts, all_orders = _joined(node, texts, most)
                whole = whole and all_orders
        else:
            texts, whole = _expanded(source, node.start, node.end, inside(node), most)
        head = source[at:node.start]
        complete = complete and whole
        if len(made) * len(texts) > most:  # stop here: the rest would be copied for each of them
            return [left + head + right
                    for left, right in itertools.islice(itertools.product(made, texts), most)], False
        made = [left + head + right for left, right in itertools.islice(itertools.product(made, texts), most)]
        at = node.end
    return [text + source[at:end] for text in made], complete


def _joined(choice: Choice, texts: list[str], most: int) -> tuple[list[str], bool]:
    """Return the texts that several of a choice's options make together, and whether they are all."""
    orders = itertools.chain.from_iterable(itertools.permutations(texts, count)
                                           for count in range(choice.low, choice.high + 1))
    joiner = choice.joiner or ""
    made = [joiner.join(text.strip() for text in order) for order in itertools.islice(orders, most + 1)]
    return made[:most], len(made) <= most


# ---- LoRAs and textual inversions ------------------------------------------------------------------------------------


def without_loras(prompt: str, known: Container[str] | None = None) -> tuple[str, list[LoraTag]]:
    """Remove LoRA tags from a prompt.

    Tags in choices stay, and so do tags of unknown names.

    Args:
        prompt: The prompt.
        known: The names of the LoRAs to remove; None for all.

    Returns:
        The prompt without the tags, and the content of the tags.
    """
    if "<" not in prompt:
        return prompt, []
    tags = [node for node in walk(parse(prompt), (Choice,)) if _is_lora(node)
            and not any(isinstance(part, (Choice, ListName)) for part in walk(node.nodes))
            and (known is None or read_tag(words(prompt, node)).name in known)]
    if not tags:
        return prompt, []
    made, at = [], 0
    for node in tags:
        made.append(prompt[at:node.start].rstrip())
        at = node.end
    return "".join((*made, prompt[at:])).strip(), [read_tag(words(prompt, node)) for node in tags]


def lora_names(prompt: str, most: int) -> tuple[list[str], bool]:
    """Return the names in all LoRA tags of a prompt, in every choice.

    Args:
        prompt: The prompt.
        most: The most names of one tag.

    Returns:
        The names, and whether they are all.
    """
    names, complete = [], True
    for node in walk(parse(prompt)):
        if _is_lora(node):
            texts, whole = _expanded(prompt, node.start, node.end, node.nodes, most)
            complete = complete and whole
            names += [read_tag(text).name for text in texts]
    return names, complete


def read_tag(tag: str) -> LoraTag:
    """Parse the LoRA tag <kind:name:weight>. As in A1111's web UI, the first of two numbers is for the text encoders.
    """
    parts = [part.strip() for part in tag.strip("<>").partition(":")[2].split(":")]
    numbers: list[float] = []
    named: dict[str, float] = {}
    unknown: list[str] = []
    while len(parts) > 1:
        last = parts[-1]
        if _WEIGHT.fullmatch(last):
            numbers.insert(0, float(last))
        elif match := _NAMED.fullmatch(last):
            named[match[1]] = float(match[2])
        elif _OTHER.fullmatch(last):
            unknown.insert(0, last)
        elif last:
            break
        parts.pop()
    unknown += [f"{number:g}" for number in numbers[2:]]
    text = named.get("te", numbers[0] if numbers else 1.0)
    weight = named.get("unet", numbers[1] if len(numbers) > 1 else text)
    text, weight = (min(max(number, -_HEAVIEST), _HEAVIEST) for number in (text, weight))
    return LoraTag(":".join(parts), weight, None if text == weight else text, tuple(unknown))


def lora_tag(name: str, weight: float, text_weight: float | None = None) -> str:
    """Return the tag that adds a LoRA."""
    return f"<lora:{name}:{weight:g}>" if text_weight is None else f"<lora:{name}:{text_weight:g}:{weight:g}>"


def notes_on(prompt: str) -> list[str]:
    """Return sentences about a prompt's LoRA tags and braces that people should know, whichever choices are made."""
    notes = []
    for node in walk(parse(prompt)):
        if isinstance(node, Choice) and len(node.options) == 1 and node.joiner is None and node.end - node.start > 2:
            notes.append(f"In {words(prompt, node):.60} there is nothing to choose from, and braces give no weight: "
                         "write (words:1.05) for NovelAI's {words}.")
        if not _is_lora(node):
            if isinstance(node, (Edit, Turns)) and any(map(_is_lora, walk(inside(node)))):
                notes.append("A LoRA cannot change while a picture is painted: those between square brackets are on "
                             "from first to last.")
            continue
        tag = words(prompt, node)
        name, unknown = read_tag(tag).name, read_tag(tag).unknown
        if unknown:
            notes.append(f"Not understood in {tag:.120}, and left out: {', '.join(unknown):.80}.")
        elif any(abs(float(number)) > _HEAVIEST for number in _IN_TAG.findall(tag, tag.find(name) + len(name))):
            notes.append(f"The weight in {tag:.120} is above {_HEAVIEST:g}, and was limited to that.")
    return list(dict.fromkeys(notes))


def embeddings(prompt: str) -> list[tuple[str, str]]:
    """Return the words in `prompt` that stand for textual inversions, each with the name in it."""
    return [(word[0], word[1]) for word in _EMBEDDING.finditer(prompt)]


def _is_lora(node: Node) -> TypeGuard[Tag]:
    return isinstance(node, Tag) and node.kind in LORA_KINDS and any(part.end > part.start for part in node.nodes)
