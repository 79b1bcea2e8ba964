"""Resolve which part of a prompt is read at which step, and the weight of each word.

The notation is in `prompt_syntax`.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from .prompt_nodes import Break, Choice, Edit, Group, ListName, Node, Tag, Text, Turns
from .prompt_syntax import escaped, inside, parse, walk, words

Pieces = list[tuple[str, float]]
_SHOWN = 8  # parts of foreign notation that a note names
# Notation of other programs that no model reads, and that would be painted as words.
_FOREIGN = re.compile(
    r"\$\$|\$\{[^}]*\}?|\{%.{,200}?%\}"  # Dynamic Prompts, Jinja
    # Dynamic Prompts, NovelAI, Midjourney
    r"|(?<![\w.])-?(?:\d{1,9}(?:\.\d{1,9})?|\.\d{1,9})%?::|::-?\.?\d|::(?=\s|$)"
    r"|(?<!\w)__\w[\w./*-]{0,80}"  # a list that is not closed, or is given variables
    r"|(?<!\w)(?:AND(?:_[A-Z]{2,9})?|ADDBASE|ADDCOMM|ADDROW|ADDCOL)(?!\w)"  # composable diffusion, regions
    r"|(?m:^[ \t]*#(?=[ \t]*[^\W\d]))|\s#(?=\s)|/\*.{,200}?\*/"  # comments
    r"|<\s*(?i:lora|lyco|locon|loha|lokr|hypernet|embed|embedding)\s*:[^<>]{0,80}>?"  # a tag that is not closed
    r"|(?<![\w<:])(?i:lora|lyco):[^\s<>:,]{1,80}(?::[\d.]+)?"
    r"|（[^（）]{0,80}[：:]\s*[\d.]+\s*）"  # brackets of another script
    # Invoke, compel
    r"|(?<=\))(?:\d+\.\d+|[+-]+)|(?<=\w)(?:\+\+|--)[+-]*(?=[\s,.)]|$)|(?<=[)\"'])\.(?:swap|blend|and)(?!\w)"
    r"|(?<!\S)--[a-z]{1,12}\b"  # Midjourney's options
    # a bar outside of { } and [ ], a weight that is no number
    r"|(?<=[^\W_])\s*\|\s*(?=[^\W_])|:\s*\d+(?:[.,]\d*){1,4}\s*(?=\))")


def at_step(prompt: str, step: int, steps: int) -> str:
    """Return `prompt` as it is read at one step, in the same notation.

    Args:
        prompt: The prompt. [a:b:0.5] is a until half of the steps are done; [a|b] is a at the first step.
        step: The step, from 1.
        steps: The number of steps.
    """
    nodes = parse(prompt)
    if not changes(prompt):
        return prompt
    return _at(prompt, 0, len(prompt), nodes, step, steps, False)


def readings(prompt: str, steps: int) -> list[str]:
    """Return each text that `prompt` is read as during `steps` steps, in the order of their first step."""
    if not changes(prompt):
        return [prompt]
    return list(dict.fromkeys(at_step(prompt, step, steps) for step in range(1, steps + 1)))


def changes(prompt: str) -> bool:
    """Return whether `prompt` is read differently at different steps."""
    return "[" in prompt and any(isinstance(node, (Edit, Turns)) for node in walk(parse(prompt)))


def _at(source: str, start: int, end: int, nodes: Sequence[Node], step: int, steps: int, within: bool) -> str:
    made, at = [], start
    for node in nodes:
        made.append(source[at:node.start])
        if isinstance(node, (Edit, Turns)):
            if isinstance(node, Turns):
                branch = node.options[(step - 1) % len(node.options)]
            else:
                branch = node.before if step <= int(node.when * steps if node.share else node.when) else node.after
            made.append(_at(source, branch.start, branch.end, branch.nodes, step, steps, True))
        elif isinstance(node, Text):
            made.append(escaped(node.text) if within else words(source, node))
        elif isinstance(node, Group):
            made.append(_at(source, node.start, node.end, node.nodes, step, steps, within))
        else:
            made.append(words(source, node))
        at = node.end
    return "".join((*made, source[at:end]))


def chunks(prompt: str) -> list[Pieces]:
    """Split `prompt` at each BREAK into parts, each a list of texts with their weights (1 is normal).

    Joined, the texts are the prompt to be read. Of texts that change with the step, the first is used.

    Returns:
        The parts; at least one.
    """
    made: list[list[list]] = [[]]
    prompt = at_step(prompt, 1, 1 << 20)
    for text, weight in _weighed(prompt, parse(prompt)):
        if text is None:
            made.append([])
        else:
            made[-1].append([text, weight])
    if len(made) == 1:
        return [_joined(made[0])]
    parts = (_stripped(_joined(part)) for part in made)
    return [part for part in parts if part] or [[]]


def weighted(prompt: str) -> Pieces:
    """Split `prompt` into texts with their weights, for an encoder that reads them at once: a comma replaces BREAK."""
    first, *others = chunks(prompt)
    return _joined([*first, *(piece for part in others for piece in ((", ", 1.0), *part))])


def plain(prompt: str) -> str:
    """Return the text of `prompt` without weights."""
    return "".join(text for text, _ in weighted(prompt))


def foreign(prompt: str) -> list[str]:
    """Return the notation in `prompt` that is not understood, and is read as words or (tags) left out.

    The prompt's choices must be made already.
    """
    notations: list[str] = []
    masked = list(prompt)  # without the notation that is understood
    for node in walk(parse(prompt), (Tag,)):
        if isinstance(node, (Tag, ListName)) or _is_broken_edit(prompt, node):
            notations.append(words(prompt, node))
        if isinstance(node, Text) and words(prompt, node) == node.text:
            continue
        held = () if isinstance(node, Tag) else inside(node)
        for start, end in zip((node.start, *(part.end for part in held)), (*(part.start for part in held), node.end),
                              strict=True):
            masked[start:end] = [sign if sign == ")" and isinstance(node, Group) else " " for sign in prompt[start:end]]
    text = "".join(masked)
    notations += [match[0].strip() for match in _FOREIGN.finditer(text)]
    return list(dict.fromkeys(notations))


def note(prompt: str, label: str = "prompt") -> str:
    """Return a sentence for people about notation that is not understood, or "".

    Args:
        prompt: The prompt, its choices made.
        label: What to call it.
    """
    notations = foreign(prompt)
    if not notations:
        return ""
    left_out = [sign for sign in notations if isinstance(parse(sign)[0], Tag)]
    read = [sign for sign in notations if sign not in left_out]
    sentences = []
    if left_out:
        sentences.append(f"Not understood in the {label}, and left out: {_listed(left_out)}.")
    if read:
        sentences.append(f"Not understood in the {label}, and read as words: {_listed(read)}.")
    return " ".join(sentences)


# ---- inside ----------------------------------------------------------------------------------------------------------


def _is_broken_edit(source: str, node: Node) -> bool:
    """Return whether brackets look like [before:after:when], but do not say when."""
    colons = [part for part in inside(node) if isinstance(node, Group) and words(source, part) == ":"]
    return len(colons) > 1 and source[node.start] == "["


def _listed(signs: list[str]) -> str:
    return ", ".join(f"“{sign:.60}”" for sign in signs[:_SHOWN]) + (", …" if len(signs) > _SHOWN else "")


def _weighed(source: str, nodes: Sequence[Node]) -> Iterator[tuple[str | None, float]]:
    """Yield the texts in `nodes` with their weights, and None for a BREAK."""
    for number, node in enumerate(nodes):
        match node:
            case Group():
                for text, weight in _weighed(source, node.nodes):
                    yield text, weight * node.factor
            case Break():
                yield None, 1.0
            case Tag():
                pass
            case Text():
                text = node.text
                following = nodes[number + 1] if number + 1 < len(nodes) else None
                yield (text.rstrip() if isinstance(following, Tag) else text), 1.0
            case Choice() | ListName():
                yield words(source, node), 1.0


def _joined(pieces: Sequence[Sequence]) -> Pieces:
    """Merge neighbours of the same weight, and drop empty ones."""
    made: Pieces = []
    for text, weight in pieces:
        if made and made[-1][1] == weight:
            made[-1] = (made[-1][0] + text, weight)
        elif text:
            made.append((text, weight))
    return made


def _stripped(pieces: Pieces) -> Pieces:
    """Strip spaces and commas from both ends of `pieces`."""
    ends = list(pieces)
    while ends and not (text := ends[0][0].lstrip(" \t\n,")):
        ends.pop(0)
    if ends:
        ends[0] = (text, ends[0][1])
    while ends and not (text := ends[-1][0].rstrip(" \t\n,")):
        ends.pop()
    if ends:
        ends[-1] = (text, ends[-1][1])
    return ends
