"""Find what the interface's translations lack, and what they contain that is no longer shown.

    python scripts/translations.py               count translated, missing and obsolete texts for each language
    python scripts/translations.py --show de     print every missing and obsolete text of a language
    python scripts/translations.py --update      add missing texts, untranslated, and remove obsolete ones

Texts come from the registered classes (names, tooltips, choices that are fixed), from the add-on's source (`text=`,
`label`, `placeholder`, messages of `poll`, reports, `wrapped`, `translated`), and from the sentences of the other
packages, which are the errors and their remedies. A sentence with values in it (an f-string) is listed as a template:
"There is no style called '{name}'."
"""
from __future__ import annotations

import argparse
import ast
import builtins
import json
import re
import sys
from collections.abc import Iterator

import envs

PACKAGE = envs.ROOT / "blender_sd"
SOURCE = PACKAGE / "addon"
TRANSLATED = ("text", "heading", "placeholder")  # arguments of Blender's layouts
FIRST = {"wrapped": 2, "report": 1, "poll_message_set": 0, "translated": 0}  # call -> position of its text
# The same in the other packages, for texts that are not whole sentences.
SPOKEN = {
    "Stage": (1,),
    "Loading": (1,),
    "Note": (1,),
    "_say": (0,),
    "Detected": (1,),
    "what_is_done": (0,),
    "Line": (0, 1),
    "HubModel": (4, 5),
}
RETURNED = {"status_text"}  # functions of the other packages that return what panels draw
# calls whose texts no panel shows
NOT_SHOWN = {"log", "logging", "print", "setattr", "getattr", "ValueError", "TypeError", "WireError"}
# files of the add-on whose f-strings no panel shows
NOT_DRAWN = ("translations/", "command_line", "file_manager", "keymap")
# Names of models, methods and files are the same in every language.
WORD = re.compile(r"[A-Za-z][a-z]")
SENTENCE = re.compile(r"(?s)[A-Z{'].*[a-z]{2,}.* .*\.")
NAMES = {"sampler", "choice", "model_choice", "accelerator"}


def collect() -> dict[str, str]:
    """Return every translatable English text -> where it is from, in a translator's order: short ones first."""
    found: dict[str, str] = {}
    for text, place in (*_of_source(), *_of_classes(), *_of_packages()):
        text = text.removeprefix(_prefix())
        if _reads_as_words(text):
            found.setdefault(text, place)
    return dict(sorted(found.items(), key=lambda item: (len(item[0]) > 40, item[0])))


def _reads_as_words(text: str) -> bool:
    """Return whether `text` consists of words, and is not a sign, an address or an identifier."""
    return (
        any(letter.islower() for letter in text)
        and "://" not in text
        and (" " in text or "_" not in text and not text.islower())
    )


def _prefix() -> str:
    from blender_sd.addon import translations
    return translations.PREFIX


# ---- the registered classes ----------------------------------------------------------------------------------------

def _of_classes() -> Iterator[tuple[str, str]]:
    import bpy

    import blender_sd
    from blender_sd.addon import _CLASSES
    from blender_sd.core.declarations import SETTINGS
    from blender_sd.library import accelerators

    blender_sd.register()
    try:
        for cls in _CLASSES:
            name = cls.bl_idname.split(".")[-1] if hasattr(cls, "bl_idname") else ""
            operator = issubclass(cls, bpy.types.Operator)
            rna = getattr(bpy.ops.sd, name).get_rna_type() if operator else cls.bl_rna
            if cls.__module__.endswith(".state"):  # only panels' memory, in no field
                continue
            place = cls.__module__.removeprefix("blender_sd.addon.").replace(".", "/")
            if operator:
                yield rna.name, place
                yield rna.description, place
            elif issubclass(cls, (bpy.types.Panel, bpy.types.Menu)):
                yield cls.bl_label, place
                # its button's tooltip
                if issubclass(cls, bpy.types.Menu) or "INSTANCED" in getattr(cls, "bl_options", ()):
                    yield cls.__doc__ or "", place
            for prop in rna.properties:
                if prop.identifier in _declared(cls):
                    yield from _of_property(prop, place)
    finally:
        blender_sd.unregister()
    yield from ((item.setting.placeholder, "panels/parts") for item in SETTINGS)
    # the choices differ between systems
    yield from ((one.label, "installation") for one in accelerators.ACCELERATORS.values())


def _declared(cls: type) -> set[str]:
    return {name for base in cls.__mro__ for name in getattr(base, "__annotations__", {})}


def _of_property(prop, place: str) -> Iterator[tuple[str, str]]:
    yield prop.name, place
    yield prop.description, place
    for item in getattr(prop, "enum_items_static", ()):
        if prop.identifier not in NAMES:
            yield item.name, place
            yield item.description, place


# ---- the source ----------------------------------------------------------------------------------------------------

def _of_source() -> Iterator[tuple[str, str]]:
    for file in sorted(SOURCE.rglob("*.py")):
        place = file.relative_to(SOURCE).with_suffix("").as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        if place.startswith("translations"):
            continue
        for statement in tree.body:  # tables of words that panels draw
            if isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
                yield from ((text, place) for text in _words_in(statement.value))
        for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
            yield from ((text, place) for text in _of_function(function))
        if not place.startswith(NOT_DRAWN):
            yield from (
                (text, place) for node in _shown_nodes(tree) if isinstance(node, ast.JoinedStr) for text in _facts(node)
            )


def _of_packages() -> Iterator[tuple[str, str]]:
    """Yield the sentences outside the add-on, with or without values, and the texts of the calls in SPOKEN."""
    for file in sorted(PACKAGE.rglob("*.py")):
        place = file.relative_to(PACKAGE).with_suffix("").as_posix()
        if place.startswith(("addon/", "cli/", "calls/no_scene")):  # no panel shows what they raise
            continue
        for node in _shown_nodes(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name in RETURNED:
                returned = [part.value for part in ast.walk(node) if isinstance(part, ast.Return)]
                yield from ((text, place) for value in returned for text in _literals(value))
            if isinstance(node, ast.Call):
                spoken = [node.args[at] for at in SPOKEN.get(_name_of(node), ()) if at < len(node.args)]
                yield from ((text, place) for value in spoken for text in _literals(value))
            text = (
                node.value
                if isinstance(node, ast.Constant)
                else template(node)
                if isinstance(node, ast.JoinedStr)
                else ""
            )
            if isinstance(text, str) and SENTENCE.fullmatch(text):
                yield _filled_in_later(text), place


def _shown_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every expression except docstrings, arguments of NOT_SHOWN, and the literal parts of f-strings."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.Call) and _name_of(node, owner=True) in NOT_SHOWN:
            continue
        yield node
        if isinstance(node, ast.JoinedStr):
            for value in node.values:
                if isinstance(value, ast.FormattedValue):
                    yield from _shown_nodes(value)
        else:
            yield from _shown_nodes(node)


def _name_of(call: ast.Call, owner: bool = False) -> str:
    """Return the name of the called function, or with `owner`, of the module that it belongs to, such as `log`."""
    function = call.func
    if owner and isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
        return function.value.id
    return getattr(function, "attr", getattr(function, "id", ""))


def _facts(node: ast.JoinedStr) -> Iterator[str]:
    """Yield an f-string's template. If dots separate facts in it, yield each fact with words, as they are looked up one
    by one.
    """
    yield from (fact for fact in template(node).split(" · ") if WORD.search(re.sub(r"\{\w*\}", "", fact)))


def _filled_in_later(text: str) -> str:
    """Return a text for `str.format`, with names for its values."""
    holes = iter(("value", *(f"value{number}" for number in range(2, 10))))
    return re.sub(r"\{\}", lambda _: f"{{{next(holes)}}}", text)


def template(node: ast.JoinedStr) -> str:
    """Return an f-string with its values' names in braces, without separators at its ends; "" if it has no words.

    Adjacent values count as one.
    """
    parts: list[str] = []
    names: list[str] = []
    for value in node.values:
        if isinstance(value, ast.Constant):
            parts.append(value.value)
        elif not (parts and parts[-1].startswith("{") and parts[-1].endswith("}") and parts[-1][1:-1] in names):
            name = _name_of_value(value.value)
            names.append(name if name not in names else f"{name}{len(names) + 1}")
            parts.append(f"{{{names[-1]}}}")
    literal = "".join(part for part in parts if part[1:-1] not in names)
    is_text = WORD.search(literal) and not re.search(r"[_=/\\<>|]|\{", literal) and "://" not in literal
    return "".join(parts).strip(" ·,\n") if names and is_text else ""


def _name_of_value(node: ast.expr) -> str:
    """Return a name that tells a translator what a value is: the first attribute or variable in it."""
    if isinstance(node, ast.Call) and _name_of(node) == "len":
        return "number"
    inside = list(ast.walk(node))
    names = [
        one.attr
        for one in inside
        if isinstance(one, ast.Attribute)
        and not isinstance(getattr(one, "ctx", None), ast.Store)
        and one.attr not in dir(str)
    ]
    names += [one.id for one in inside if isinstance(one, ast.Name) and one.id not in dir(builtins)]
    return next((name.strip("_").lower() for name in names), "value")


def _of_function(function: ast.FunctionDef) -> Iterator[str]:
    """Yield what a function passes to a layout, `poll_message_set` or a report, what it raises, and the words that it
    returns or assigns.
    """
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield from (text for value in node.exc.args for text in _raised(value))
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given = [word.value for word in node.keywords if word.arg in TRANSLATED]
            given += node.args[FIRST[name]:FIRST[name] + 1] if name in FIRST else []
            if name == "first_refusal":  # pairs of (condition, words)
                given += [check.elts[1] for check in node.args[1:] if isinstance(check, ast.Tuple)]
            for value in given:
                yield from _literals(value)
        elif isinstance(node, (ast.Return, ast.Assign)) and node.value is not None:
            for value in node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]:
                yield from (text for literal in _branches(value) for text in _sentence(literal))
        elif isinstance(node, ast.For):  # for words, icon in (("Use", "…"), …)
            yield from _words_in(node.iter)


def _raised(value: ast.expr) -> Iterator[str]:
    """Yield the sentences that an error is raised with."""
    for branch in _branches(value):
        text = template(branch) if isinstance(branch, ast.JoinedStr) else branch.value
        if isinstance(text, str) and SENTENCE.fullmatch(text):
            yield text


def _words_in(node: ast.AST) -> Iterator[str]:
    """Yield all words in an expression, but not the pieces of an f-string."""
    yield from _sentence(node)
    if not isinstance(node, ast.JoinedStr):
        for part in ast.iter_child_nodes(node):
            yield from _words_in(part)


def _literals(node: ast.expr) -> Iterator[str]:
    for branch in _branches(node):
        if isinstance(branch, ast.JoinedStr):
            yield from _facts(branch)
        elif isinstance(branch.value, str):
            yield branch.value


def _branches(node: ast.expr) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Yield the texts that an expression can be: itself, or a branch of it."""
    if isinstance(node, (ast.Constant, ast.JoinedStr)):
        yield node
    elif isinstance(node, ast.IfExp):
        yield from _branches(node.body)
        yield from _branches(node.orelse)
    elif isinstance(node, (ast.BoolOp, ast.Dict)):
        for value in node.values:
            yield from _branches(value)
    elif isinstance(node, ast.Subscript):  # {"off": "…"}[state]
        yield from _branches(node.value)
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get":
        yield from _branches(node.func.value)


def _sentence(node: ast.AST) -> Iterator[str]:
    """Yield a constant's text if it reads as words: a capital, then small letters; not an identifier."""
    text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
    if isinstance(text, str) and len(text) > 1 and text[0].isupper() and not text.isupper() and "_" not in text:
        yield text


# ---- the files -----------------------------------------------------------------------------------------------------

def write(language: str, entries: dict[str, str], wanted: dict[str, str]) -> None:
    """Write the PO file with every wanted text."""
    from blender_sd.addon.translations import files

    lines = [
        'msgid ""',
        'msgstr ""',
        '"Content-Type: text/plain; charset=UTF-8\\n"',
        '"Content-Transfer-Encoding: 8bit\\n"',
        f'"Language: {files.LANGUAGES[language]}\\n"',
    ]
    for text, place in wanted.items():
        lines += ["", f"#: {place}", f"msgid {_quoted(text)}", f"msgstr {_quoted(entries.get(text, ''))}"]
    files.file_of(language).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def report(language: str, wanted: dict[str, str], everything: bool) -> dict[str, str]:
    """Print how complete a language is. Return its entries."""
    from blender_sd.addon.translations import files
    file = files.file_of(language)
    entries = files.read(file) if file.is_file() else {}
    missing = [text for text in wanted if not entries.get(text)]
    obsolete = [text for text in entries if text not in wanted]
    print(
        f"{language:8} {len(wanted) - len(missing):4} translated, {len(missing):4} missing, {len(obsolete):4} obsolete"
    )
    if everything:
        print(
            *(f"  missing   {wanted[text]}: {text}" for text in missing),
            *(f"  obsolete  {text}" for text in obsolete),
            sep="\n",
        )
    return entries


def main() -> int:
    parser = argparse.ArgumentParser(description="Find what the interface's translations lack.")
    parser.add_argument(
        "--show", metavar="LANGUAGE", help="print every missing and obsolete text of this language (de, es, fr, …)"
    )
    parser.add_argument(
        "--update", action="store_true", help="add missing texts, untranslated, and remove obsolete ones"
    )
    arguments = parser.parse_args()
    envs.run_inside()
    sys.path.insert(0, str(envs.ROOT))
    from blender_sd.addon.translations import files
    wanted = collect()
    for language in files.LANGUAGES:
        entries = report(language, wanted, arguments.show == language)
        if arguments.update:
            write(language, entries, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
