"""Define the nodes of a parsed prompt (see `prompt_syntax` for the notation)."""
from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """A part of a prompt, from `start` to before `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Text(Node):
    """Plain text; `text` is without the backslashes of escaped characters."""

    text: str


@dataclass(frozen=True, slots=True)
class Group(Node):
    """Text weighted by `factor`."""

    nodes: tuple[Node, ...]
    factor: float


@dataclass(frozen=True, slots=True)
class Edit(Node):
    """Text that changes once.

    Attributes:
        before: The text until the step `when`.
        after: The text after it.
        when: The step, or a share of the steps.
        share: Whether `when` is a share (0 to 1).
    """

    before: Branch
    after: Branch
    when: float
    share: bool


@dataclass(frozen=True, slots=True)
class Turns(Node):
    """Texts that take turns from step to step."""

    options: tuple[Branch, ...]


@dataclass(frozen=True, slots=True)
class Choice(Node):
    """A choice made by the seed.

    Attributes:
        options: The texts to choose from.
        low, high: How many are chosen, at least and at most.
        joiner: What joins them; None if one is chosen and stays as it was typed.
    """

    options: tuple[Branch, ...]
    low: int
    high: int
    joiner: str | None


@dataclass(frozen=True, slots=True)
class Branch(Node):
    """One of several texts for the same place; `weight` is how often it is chosen, relative to the others."""

    nodes: tuple[Node, ...]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ListName(Node):
    """The name of a list, or a pattern for several."""

    name: str


@dataclass(frozen=True, slots=True)
class Tag(Node):
    """A tag <kind:…>; `nodes` is the content after the first colon."""

    kind: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Break(Node):
    """The end of a part that the text encoder reads at once."""
