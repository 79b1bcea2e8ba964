"""Pages that are read from the source when the site is built, so that they are never stale.

    {calls}      every call of the scripting API, in the order and rooms of `blender_sd.__init__`
    {settings}   every field of a request: label, tip, limits, default
    {errors}     every error with the remedies that the source gives, by kind
    {keys}       the add-on's keys
    {operators}  every operator that can be given a key
"""
from __future__ import annotations

import ast
import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.ext.autodoc.mock import mock
from sphinx.util.docutils import SphinxDirective

PACKAGE = Path(__file__).resolve().parents[2] / "blender_sd"


class Written(SphinxDirective):
    """A directive whose content `text` writes, as Markdown."""

    has_content = False

    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes(self.text(), allow_section_headings=True)

    def text(self) -> str:
        raise NotImplementedError


class Calls(Written):
    def text(self) -> str:
        import blender_sd

        lines = []
        for module, names in blender_sd._CALLS.items():
            with mock(self.config.autodoc_mock_imports):
                known = import_module(f"blender_sd.{module}")
            lines += [f"## {(known.__doc__ or '').splitlines()[0].rstrip('.').split(':')[0]}", "", "```{eval-rst}"]
            for name in names:
                lines += [f".. autofunction:: blender_sd.{module}.{name}", ""]
            lines += ["```", ""]
        return "\n".join(lines)


class Settings(Written):
    def text(self) -> str:
        from blender_sd.protocol.request import Request

        lines = ["| setting | what it does | from – to | default |", "|---|---|---|---|"]
        for field in dataclasses.fields(Request):
            rule = field.metadata.get("setting")
            if rule is not None:
                limits = ", ".join(rule.choices) if rule.choices else "" if rule.low is None else f"{rule.low:.10g} – {rule.high:.10g}"
                tip = _plain(rule.tip)
                lines.append(f"| **{rule.label}** `{field.name}` | {tip} | {limits} | {_shown(field.default)} |")
        return "\n".join(lines)


class Errors(Written):
    def text(self) -> str:
        from blender_sd.protocol import errors

        lines, told = [], _raised()
        for name, cls in vars(errors).items():
            if isinstance(cls, type) and issubclass(cls, errors.SDError) and told.get(name):
                lines += [f"## {name}", "", cls.__doc__.splitlines()[0], "", "| what it says | what to do |", "|---|---|"]
                lines += [f"| {message} | {hint} |" for message, hint in sorted(told[name].items())]
                lines.append("")
        return "\n".join(lines)


class Keys(Written):
    def text(self) -> str:
        lines = ["| key | what it does |", "|---|---|"]
        operators, shown = _operators(), _shown_by_keys()
        for name, key in _keys():
            label, tip = operators.get(name, shown.get(name, (name, "")))
            lines.append(f"| {key} | **{label}**. {tip} |")
        return "\n".join(lines)


class Operators(Written):
    def text(self) -> str:
        rows = sorted(_operators().items(), key=lambda one: one[1])
        lines = [f"| **{label}** `{name}` | {tip} |" for name, (label, tip) in rows]
        return "\n".join(["| operator | what it does |", "|---|---|", *lines])


def _keys() -> Iterator[tuple[str, str]]:
    """(operator, or the menu or panel that it shows, and its key in words) of the table and the calls in `addon/keymap.py`."""
    words = {"ctrl": "Ctrl", "shift": "Shift", "alt": "Alt", "ESC": "Esc"}
    for node in ast.walk(_tree(PACKAGE / "addon" / "keymap.py")):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_KEYS":
            for _, shown, key, modifiers in (row.elts for row in node.value.elts):
                held = [words[one.value] for one in modifiers.keys]
                yield shown.id, " ".join((*held, key.value))
        plain = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "new" and len(node.args) == 3
        if plain and all(isinstance(one, ast.Constant) for one in node.args):
            yield node.args[0].value, words[node.args[1].value]


def _shown_by_keys() -> dict[str, tuple[str, str]]:
    """Constant of `addon/layout.py` -> what the menu or popover of that id is called, and its docstring."""
    return {told["bl_idname"].id: (told["bl_label"].value, doc) for told, doc in _classes()
            if isinstance(told.get("bl_idname"), ast.Name) and "bl_label" in told}


def _operators() -> dict[str, tuple[str, str]]:
    """Every operator that a person can find: id -> label and tooltip."""
    found = {}
    for told, doc in _classes():
        name, options = told.get("bl_idname"), told.get("bl_options")
        internal = options is not None and "INTERNAL" in ast.unparse(options)
        if isinstance(name, ast.Constant) and name.value.startswith("sd.") and not internal:
            found[name.value] = told["bl_label"].value.removeprefix("Stable Diffusion: "), doc
    return found


def _classes() -> Iterator[tuple[dict[str, ast.expr], str]]:
    """What the classes of the add-on's room assign, and the first paragraph of their docstrings in one line."""
    for path in sorted((PACKAGE / "addon").rglob("*.py")):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                told = {one.targets[0].id: one.value for one in node.body
                        if isinstance(one, ast.Assign) and isinstance(one.targets[0], ast.Name)}
                yield told, _plain(" ".join((ast.get_docstring(node) or "").split()))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _raised() -> dict[str, dict[str, str]]:
    """Error class -> message -> remedy, of every error that the source makes with a message written out."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, message, hint in _errors_in(_tree(path)):
            found[name].setdefault(message, hint)
    return found


def _errors_in(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    from blender_sd.protocol import errors

    known = {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, errors.SDError)}
    constants = {target.id: _words(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign)
                 for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known and node.args:
            texts = [constants.get(arg.id, "") if isinstance(arg, ast.Name) else _words(arg) for arg in node.args[:2]]
            if texts[0]:
                yield node.func.id, texts[0], texts[1] if len(texts) > 1 else ""


def _words(node: ast.expr) -> str:
    """A text as written, with … where something is filled in; "" for what is no text."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _plain(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_plain(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.IfExp):
        return " / ".join(filter(None, (_words(node.body), _words(node.orelse))))
    return ""


def _plain(text: str) -> str:
    """`text` for a cell of a table; what stands in backticks is code already."""
    parts = text.replace("|", "\\|").replace("\n", " ").split("`")
    parts[::2] = [part.replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_") for part in parts[::2]]
    return "`".join(parts)


def _shown(value: object) -> str:
    return "" if value in ("", ()) else f"`{value}`"


def setup(app) -> dict:
    app.add_directive("calls", Calls)
    app.add_directive("settings", Settings)
    app.add_directive("errors", Errors)
    app.add_directive("keys", Keys)
    app.add_directive("operators", Operators)
    return {"parallel_read_safe": True}
