"""Read parts of pages from the source when the site is built, so that they are always up to date.

    {calls}      every call of the scripting API, in the order and modules of `blender_sd.__init__`
    {settings}   every declared setting: label, tooltip, limits, default, task
    {errors}     every error with its remedy, by kind
    {keys}       the add-on's keys
    {operators}  every operator that can be given a key
"""
from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from docutils import nodes
from sphinx.ext.autodoc.mock import mock
from sphinx.util.docutils import SphinxDirective

PACKAGE = Path(__file__).resolve().parents[2] / "blender_sd"


class Written(SphinxDirective):
    """A directive whose content comes from `text`, as Markdown."""

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
                known = import_module(f"blender_sd.calls.{module}")
            lines += [f"## {(known.__doc__ or '').splitlines()[0].rstrip('.').split(':')[0]}", "", "```{eval-rst}"]
            for name in names:
                lines += [f".. autofunction:: blender_sd.calls.{module}.{name}", ""]
            lines += ["```", ""]
        return "\n".join(lines)


class Settings(Written):
    def text(self) -> str:
        from blender_sd.core.declarations import SETTINGS

        lines = ["| setting | what it does | from – to | default | task |", "|---|---|---|---|---|"]
        for item in SETTINGS:
            rule = item.setting
            limits = (
                ", ".join(rule.choices)
                if rule.choices
                else ""
                if rule.low is None
                else f"{rule.low:.10g} – {rule.high:.10g}"
            )
            task = item.task.replace("_", " ") or "all"
            row = (f"**{rule.label}** `{item.name}`", _plain(rule.tip), limits, _shown(item.default), task)
            lines.append(f"| {' | '.join(row)} |")
        return "\n".join(lines)


class Errors(Written):
    def text(self) -> str:
        from blender_sd.core import errors

        lines, raised = [], _raised()
        for name, cls in vars(errors).items():
            if isinstance(cls, type) and issubclass(cls, errors.SDError) and raised.get(name):
                lines += [f"## {name}", "", cls.__doc__.splitlines()[0], "", "| message | what to do |", "|---|---|"]
                lines += [f"| {message} | {hint} |" for message, hint in sorted(raised[name].items())]
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
    """Yield (the operator, or the menu or panel that it shows; its key in words) from the table and the calls in
    `addon/keymap.py`.
    """
    words = {"ctrl": "Ctrl", "shift": "Shift", "alt": "Alt", "ESC": "Esc"}
    for node in ast.walk(_tree(PACKAGE / "addon" / "keymap.py")):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "_KEYS":
            for operator, shown, key, modifiers in (row.elts for row in node.value.elts):
                held = [words[one.value] for one in modifiers.elts]
                yield shown.id if isinstance(shown, ast.Name) else operator.value, " ".join((*held, key.value))
        plain = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "new" and len(node.args) == 3
        if plain and all(isinstance(one, ast.Constant) for one in node.args):
            yield node.args[0].value, words[node.args[1].value]


def _shown_by_keys() -> dict[str, tuple[str, str]]:
    """Return constant of `addon/layout.py` -> label of the menu or popover with that id, and its docstring."""
    return {fields["bl_idname"].id: (fields["bl_label"].value, doc) for fields, doc in _classes()
            if isinstance(fields.get("bl_idname"), ast.Name) and "bl_label" in fields}


def _operators() -> dict[str, tuple[str, str]]:
    """Return every operator that a person can find: id -> label and tooltip."""
    operators = {}
    for fields, doc in _classes():
        name, options = fields.get("bl_idname"), fields.get("bl_options")
        internal = options is not None and "INTERNAL" in ast.unparse(options)
        if isinstance(name, ast.Constant) and name.value.startswith("sd.") and not internal:
            operators[name.value] = fields["bl_label"].value.removeprefix("Stable Diffusion: "), doc
    return operators


def _classes() -> Iterator[tuple[dict[str, ast.expr], str]]:
    """Yield the assignments in each class of the add-on, and the first paragraph of its docstring in one line."""
    for path in sorted((PACKAGE / "addon").rglob("*.py")):
        for node in ast.walk(_tree(path)):
            if isinstance(node, ast.ClassDef):
                fields = {part.targets[0].id: part.value for part in node.body
                          if isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Name)}
                yield fields, _plain(" ".join((ast.get_docstring(node) or "").split()))


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _raised() -> dict[str, dict[str, str]]:
    """Return error class -> message -> remedy for every error whose message is written out in the source."""
    raised: dict[str, dict[str, str]] = defaultdict(dict)
    for path in sorted(PACKAGE.rglob("*.py")):
        for name, message, hint in _errors_in(_tree(path)):
            raised[name].setdefault(message, hint)
    return raised


def _errors_in(tree: ast.AST) -> Iterator[tuple[str, str, str]]:
    from blender_sd.core import errors

    known = {name for name, cls in vars(errors).items() if isinstance(cls, type) and issubclass(cls, errors.SDError)}
    constants = {target.id: _words(node.value) for node in ast.walk(tree) if isinstance(node, ast.Assign)
                 for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known and node.args:
            texts = [constants.get(arg.id, "") if isinstance(arg, ast.Name) else _words(arg) for arg in node.args[:2]]
            if texts[0]:
                yield node.func.id, texts[0], texts[1] if len(texts) > 1 else ""


def _words(node: ast.expr) -> str:
    """Return a text as written, with … for its values; "" for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _plain(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_plain(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.IfExp):
        return " / ".join(filter(None, (_words(node.body), _words(node.orelse))))
    return ""


def _plain(text: str) -> str:
    """Return `text` for the cell of a table. Parts in backticks are code already."""
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
