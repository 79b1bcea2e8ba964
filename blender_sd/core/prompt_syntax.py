r"""Parse prompts into trees. The notation is the one that A1111's web UI and Dynamic Prompts made common.

    (moss:1.3) (moss) [moss]                  weighted 1.3, 1.1 and 1/1.1 times
    [cat:dog:0.5] [dog:10] [cat::0.5]         changes during painting: after half of the steps, after the tenth step
    [cat|dog]                                 takes turns from step to step
    a wall BREAK a sky                        read separately by the text encoder
    {red|green} {2$$a|b|c} {3::red|green}     chosen by the seed: one, two of them, red three times as often
    __colours__ __walls/*__                   one line of a list, or of several
    <lora:old_bricks:0.8>                     adds a LoRA
    \( \[ \{ \| \: \<                         the characters themselves

Everything may contain everything else. Brackets that are not closed, or nested more than 64 deep, are literal. Prompts
may come from other people (a picture's settings, a text block), so parsing takes time in proportion to their length.
Nodes know their position in the prompt (`start`, `end`), so that parts can be replaced while the rest stays as it was
typed.
"""
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import overload

from .prompt_nodes import Branch, Break, Choice, Edit, Group, ListName, Node, Tag, Text, Turns

DEEPEST = 64  # levels of brackets
LORA_KINDS = frozenset(("lora", "lyco", "locon", "loha", "lokr"))
_STEP = 1.1  # the weight of a pair of brackets
_HEAVIEST = 100.0  # the largest weight of a word; pictures turn to noise far below it
NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)"
ACCENTS = "\u0300-\u036f"  # combining accents, which macOS writes apart from their letters in file names
_LIST = rf"__[~@]?(?:\w|\*)[\w ./*?{ACCENTS}-]*?__"
_TAG_HEAD = re.compile(r"<([A-Za-z]\w*)(?:\[[^\]<>]*\])?:")
_TAG = r"<[A-Za-z]\w*(?:\[[^\]<>]*\])?:[^<>]*>"
_ESCAPE = r"\\(?:[()\[\]{}|:<\\]|\$(?=\$))"
_TOKEN = re.compile(rf"(?P<escape>{_ESCAPE})|(?P<tag>{_TAG})|(?P<list>{_LIST})"
                    r"|(?P<break>(?<!\w)BREAK(?!\w))|(?P<sign>[()\[\]{}|:])")
_IN_TAG = re.compile(rf"(?P<list>(?<=:){_LIST}(?=[:>]))|(?P<sign>[{{}}|])")
_AMOUNT = re.compile(rf"\s*({NUMBER})\s*")
# how the choice goes on from picture to picture in Dynamic Prompts; here the seed always chooses
_METHOD = re.compile(r"\s*[~@!](?=[^\s~@!|{}][^|{}]*[|{])")
_MANY = re.compile(r"\s*(?:(\d{1,6})|(\d{0,6})\s*-\s*(\d{0,6}))\s*\$\$(?:([^$|{}]*|[^$\w{}]*)\$\$)?")
SHARE = re.compile(r"\s*(\d+(?:\.\d*)?|\.\d+)::")


@lru_cache(maxsize=64)
def parse(prompt: str) -> tuple[Node, ...]:
    """Parse `prompt`. Every text is a valid prompt; nothing is raised."""
    return _Parser(prompt, 0, len(prompt), _TOKEN).read()


@overload
def inside(node: Edit | Turns | Choice) -> tuple[Branch, ...]: ...


@overload
def inside(node: Node) -> tuple[Node, ...]: ...


def inside(node: Node) -> tuple[Node, ...]:
    """Return the nodes inside `node`, in order."""
    match node:
        case Group() | Branch() | Tag():
            return node.nodes
        case Edit():
            return node.before, node.after
        case Turns() | Choice():
            return node.options
    return ()


def walk(nodes: tuple[Node, ...], stop: tuple[type, ...] = ()) -> Iterator[Node]:
    """Yield every node in `nodes`, parents first, without looking into nodes of a type in `stop`."""
    for node in nodes:
        yield node
        if not isinstance(node, stop):
            yield from walk(inside(node), stop)


def shape(nodes: tuple[Node, ...]) -> tuple:
    """Return `nodes` without their positions, for comparing the meaning of prompts."""
    made: list = []
    for node in nodes:
        match node:
            case Text():
                if made and isinstance(made[-1], str):
                    made[-1] += node.text
                else:
                    made.append(node.text)
                continue
            case Group():
                about: tuple = (node.factor,)
            case Edit():
                about = (node.when, node.share)
            case Choice():
                about = (node.low, node.high, node.joiner, *(option.weight for option in node.options))
            case Tag():
                about = (node.kind,)
            case ListName():
                about = (node.name,)
            case _:
                about = ()
        made.append((type(node).__name__, about, shape(inside(node))))
    return tuple(part for part in made if part != "")


def escaped(text: str) -> str:
    """Return `text` with a backslash before each character that could mean something in a prompt."""
    return re.sub(r"\$(?=\$)|[()\[\]{}|:<]|\\(?=[()\[\]{}|:<$\\]|$)", r"\\\g<0>", text)


def literal(line: str) -> str:
    """Return `line` with its notation unchanged, and a backslash before each character in it that stands for itself."""
    if not re.search(r"[()\[\]{}|:<$\\]", line):
        return line
    return _literal(line, parse(line), 0, len(line))


def _literal(source: str, nodes: tuple[Node, ...], start: int, end: int) -> str:
    """Return a part of `source` with the texts in `nodes` escaped."""
    made, at = [], start
    for node in nodes:
        made.append(source[at:node.start])
        match node:
            case Text():
                made.append(escaped(node.text))
            case Tag() | ListName() | Break():
                made.append(source[node.start:node.end])
            case _:
                made.append(_literal(source, inside(node), node.start, node.end))
        at = node.end
    return "".join((*made, source[at:end]))


def words(source: str, node: Node) -> str:
    """Return the part of `source` that `node` covers."""
    return source[node.start:node.end]


# ---- inside ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Mark(Node):
    """A bar or colon that may separate texts in brackets."""

    sign: str


@dataclass(slots=True)
class _Frame:
    """An open bracket ("" for the whole prompt), and the nodes since."""

    sign: str
    start: int
    nodes: list[Node]


class _Parser:
    """Parse a part of `source` in one pass, with a stack of open brackets."""

    def __init__(self, source: str, start: int, end: int, token: re.Pattern) -> None:
        self.source, self.start, self.end = source, start, end
        self.tokens = list(token.finditer(source, start, end))
        self.in_tag = token is _IN_TAG
        self.braces = self._matched_braces()
        self.frames = [_Frame("", start, [])]
        self.depth = 0  # depth of round and square brackets

    def read(self) -> tuple[Node, ...]:
        at = self.start
        for token in self.tokens:
            if at < token.start():
                self._text(at, token.start())
            self._add_token(token.lastgroup, token.start(), token.end())
            at = token.end()
        if at < self.end:
            self._text(at, self.end)
        while len(self.frames) > 1:
            self._drop_bracket()
        return self._plain(self.frames[0].nodes)

    def _matched_braces(self) -> set[int]:
        """Return the positions of braces that have a partner; they bind before all other brackets."""
        matched, opened = set(), []
        for token in self.tokens:
            sign = token[0] if token.lastgroup == "sign" else ""
            if sign == "{":
                opened.append([token.start(), 0, False])
            elif sign == "|" and opened:
                opened[-1][2] = True
            elif sign == "}" and opened:
                place, below, parted = opened.pop()
                if opened:
                    opened[-1][1] = max(opened[-1][1], below + 1)
                if below < DEEPEST and (parted or not self._is_other(place, token.end())):
                    matched |= {place, token.start()}
        return matched

    def _is_other(self, start: int, end: int) -> bool:
        """Return whether braces around a text are no choice: part of a file name, ${variable}, {% Jinja %}."""
        if self.in_tag or self.source[start - 1:start] == "$":
            return True
        return self.source.startswith("{%", start) and self.source.endswith("%}", start, end)

    def _add_token(self, kind: str | None, start: int, end: int) -> None:
        match kind:
            case "escape":
                self._add(Text(start, end, self.source[start + 1]))
            case "tag":
                head = _TAG_HEAD.match(self.source, start, end)
                assert head is not None  # _TAG begins like this
                colon, name = head.end() - 1, head[1].lower()
                self._add(Tag(start, end, name, _Parser(self.source, colon + 1, end - 1, _IN_TAG).read()))
            case "list":
                self._add(ListName(start, end, self.source[start + 2:end - 2].lstrip("~@")))
            case "break":
                self._add(Break(start, end))
            case _:
                self._sign(self.source[start], start)

    def _sign(self, sign: str, at: int) -> None:
        top = self.frames[-1].sign
        if sign in "([" and self.depth < DEEPEST or sign == "{" and at in self.braces:
            self.frames.append(_Frame(sign, at, []))
            self.depth += sign != "{"
        elif sign == ")" and top == "(":
            self._close(at, self._group)
        elif sign == "]" and top == "[":
            self._close(at, self._square)
        elif sign == "}" and at in self.braces:
            while self.frames[-1].sign != "{":
                self._drop_bracket()
            self._close(at, self._choice)
        elif sign == "|":
            self._bar(at)
        elif sign == ":" and top and top in "([":
            self._add(_Mark(at, at + 1, sign))
        else:
            self._text(at, at + 1)

    def _bar(self, at: int) -> None:
        """Add a bar to the nearest [ or {; an ( in between stands for itself, as in "{:(|:)}"."""
        nearest = next((frame.sign for frame in reversed(self.frames) if frame.sign != "("), "")
        if not nearest:
            return self._text(at, at + 1)
        while self.frames[-1].sign == "(":
            self._drop_bracket()
        return self._add(_Mark(at, at + 1, "|"))

    def _close(self, at: int, make) -> None:
        frame = self.frames.pop()
        self.depth -= frame.sign != "{"
        self._add(make(frame, at))

    def _group(self, frame: _Frame, at: int) -> Node:
        nodes, factor = frame.nodes, _STEP
        last = next((place for place in range(len(nodes) - 1, -1, -1) if _is(nodes[place], ":")), None)
        if last is not None and (number := _AMOUNT.fullmatch(self.source, nodes[last].end, at)):
            nodes, factor = nodes[:last], float(number[1])
        return Group(frame.start, at + 1, self._plain(nodes), min(max(factor, -_HEAVIEST), _HEAVIEST))

    def _square(self, frame: _Frame, at: int) -> Node:
        inner = frame.start + 1
        if any(_is(node, "|") for node in frame.nodes):
            return Turns(frame.start, at + 1, tuple(self._branches(frame.nodes, inner, at, "|")))
        colons = [node for node in frame.nodes if _is(node, ":")]
        number = _AMOUNT.fullmatch(self.source, colons[-1].end, at) if 1 <= len(colons) <= 2 else None
        if number is None or float(number[1]) < 0:
            return Group(frame.start, at + 1, self._plain(frame.nodes), 1 / _STEP)
        *parts, _ = self._branches(frame.nodes, inner, at, ":")
        before = parts[0] if len(parts) == 2 else Branch(inner, inner, ())
        when = float(number[1])
        return Edit(frame.start, at + 1, before, parts[-1], when, "." in number[1] and when <= 1)

    def _choice(self, frame: _Frame, at: int) -> Node:
        begin, low, high, joiner = frame.start + 1, 1, 1, None
        if method := _METHOD.match(self.source, begin, at):
            begin = method.end()
        many = _MANY.match(self.source, begin, at)
        if many:
            begin = many.end()
        options = self._branches(self._from(frame.nodes, begin), begin, at, "|")
        if many:
            count = len(options)
            low = int(many[1] or many[2] or 1)
            high = int(many[1] or many[3] or count)
            low, high = sorted((min(low, count), min(high, count)))
            joiner = ", " if many[4] is None else many[4]
        return Choice(frame.start, at + 1, tuple(map(self._weighed, options)), low, high, joiner)

    def _weighed(self, option: Branch) -> Branch:
        share = SHARE.match(self.source, option.start, option.end)
        return self._cut(option, share.end(), float(share[1])) if share else option

    def _branches(self, nodes: list[Node], start: int, end: int, sign: str) -> list[Branch]:
        """Return the texts between the marks `sign` from `start` to `end`."""
        made, begin, part = list[Branch](), start, list[Node]()
        for node in nodes:
            if _is(node, sign):
                made.append(Branch(begin, node.start, self._plain(part)))
                begin, part = node.end, []
            else:
                part.append(node)
        return [*made, Branch(begin, end, self._plain(part))]

    def _cut(self, option: Branch, begin: int, weight: float = 1.0) -> Branch:
        """Return `option` without its text before `begin`."""
        return Branch(begin, option.end, tuple(self._from(option.nodes, begin)), min(weight, 1e9))

    def _from(self, nodes: Sequence[Node], begin: int) -> list[Node]:
        """Return `nodes` without what is before `begin`."""
        kept = [node for node in nodes if node.end > begin]
        if kept and kept[0].start < begin:
            kept[0] = Text(begin, kept[0].end, self.source[begin:kept[0].end])
        return kept

    def _drop_bracket(self) -> None:
        """Treat the last open bracket as plain text."""
        frame = self.frames.pop()
        self.depth -= frame.sign != "{"
        self._text(frame.start, frame.start + 1)
        self.frames[-1].nodes += frame.nodes

    def _text(self, start: int, end: int) -> None:
        self._add(Text(start, end, self.source[start:end]))

    def _add(self, node: Node) -> None:
        self.frames[-1].nodes.append(node)

    def _plain(self, nodes: list[Node]) -> tuple[Node, ...]:
        """Return `nodes` with marks that separate nothing as text."""
        return tuple(Text(node.start, node.end, node.sign) if isinstance(node, _Mark) else node for node in nodes)


def _is(node: Node, sign: str) -> bool:
    return isinstance(node, _Mark) and node.sign == sign
