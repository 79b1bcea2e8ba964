"""python scripts/translations.py: what the interface's translations lack, and what in them is no longer shown.

    python scripts/translations.py               a line for each language: how many are translated, missing, obsolete
    python scripts/translations.py --show de     every missing and obsolete text of that language
    python scripts/translations.py --update      adds what is missing, untranslated, and takes out what is obsolete

Texts come from the registered classes (names, tooltips, choices that are fixed) and from the add-on's source (`text=`, `label`,
`placeholder`, what `poll` says, reports, `wrapped`). A sentence with a value in it (an f-string) cannot be translated and is not listed.
"""
from __future__ import annotations

import argparse
import ast
import json
import sys
from collections.abc import Iterator

import envs

SOURCE = envs.ROOT / "blender_sd" / "addon"
TRANSLATED = ("text", "heading", "placeholder")  # arguments of Blender's layouts
FIRST = {"wrapped": 2, "report": 1, "poll_message_set": 0, "pgettext_tip": 0}  # calls -> where their text is
# Names of models, methods and files are the same in every language.
NAMES = {"sampler", "choice", "model_choice", "accelerator"}


def collect() -> dict[str, str]:
    """Every translatable English text -> where it is from, in the order in which a translator should take them: short ones first."""
    found: dict[str, str] = {}
    for text, place in (*_of_source(), *_of_classes()):
        text = text.removeprefix(_prefix())
        if _reads_as_words(text):
            found.setdefault(text, place)
    return dict(sorted(found.items(), key=lambda item: (len(item[0]) > 40, item[1], item[0])))


def _reads_as_words(text: str) -> bool:
    """Not a sign, an address or an identifier."""
    return any(letter.islower() for letter in text) and "://" not in text and "_" not in text and (" " in text or not text.islower())


def _prefix() -> str:
    from blender_sd.addon import translations
    return translations.PREFIX


# ---- the registered classes ----------------------------------------------------------------------------------------

def _of_classes() -> Iterator[tuple[str, str]]:
    import bpy

    import blender_sd
    from blender_sd.addon import _CLASSES
    from blender_sd.session import accelerators

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
            for prop in rna.properties:
                if prop.identifier in _declared(cls):
                    yield from _of_property(prop, place)
    finally:
        blender_sd.unregister()
    yield from ((one.label, "installing") for one in accelerators.ACCELERATORS.values())  # the choices differ between systems


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


def _of_function(function: ast.FunctionDef) -> Iterator[str]:
    """What a function gives to a layout, to `poll_message_set` or to a report, and what it returns or assigns that reads as words."""
    for node in ast.walk(function):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given = [word.value for word in node.keywords if word.arg in TRANSLATED]
            given += node.args[FIRST[name]:FIRST[name] + 1] if name in FIRST else []
            for value in given:
                yield from _literals(value)
        elif isinstance(node, (ast.Return, ast.Assign)) and node.value is not None:
            for value in node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]:
                yield from (text for literal in _constants(value) for text in _sentence(literal))
        elif isinstance(node, ast.For):  # for words, icon in (("Use", "…"), …)
            yield from _words_in(node.iter)


def _words_in(node: ast.AST) -> Iterator[str]:
    """All words in an expression, but not the pieces of an f-string."""
    yield from _sentence(node)
    if not isinstance(node, ast.JoinedStr):
        for part in ast.iter_child_nodes(node):
            yield from _words_in(part)


def _literals(node: ast.expr) -> Iterator[str]:
    yield from (one.value for one in _constants(node) if isinstance(one.value, str))


def _constants(node: ast.expr) -> Iterator[ast.Constant]:
    """The constants that an expression can be: itself, or a branch of it."""
    if isinstance(node, ast.Constant):
        yield node
    elif isinstance(node, ast.IfExp):
        yield from _constants(node.body)
        yield from _constants(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from _constants(value)


def _sentence(node: ast.AST) -> Iterator[str]:
    """A constant's text where it reads as words: a capital, then small letters; not an identifier."""
    text = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
    if isinstance(text, str) and len(text) > 1 and text[0].isupper() and not text.isupper() and "_" not in text:
        yield text


# ---- the files -----------------------------------------------------------------------------------------------------

def write(language: str, entries: dict[str, str], wanted: dict[str, str]) -> None:
    """The PO file: every wanted text, grouped by where it is from."""
    from blender_sd.addon import translations
    lines = ['msgid ""', 'msgstr ""', '"Content-Type: text/plain; charset=UTF-8\\n"', '"Content-Transfer-Encoding: 8bit\\n"',
             f'"Language: {translations.LANGUAGES[language]}\\n"']
    for text, place in wanted.items():
        lines += ["", f"#: {place}", f"msgid {_quoted(text)}", f"msgstr {_quoted(entries.get(text, ''))}"]
    translations.file_of(language).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="\n")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def report(language: str, wanted: dict[str, str], everything: bool) -> dict[str, str]:
    """Prints how far a language is; its entries."""
    from blender_sd.addon import translations
    file = translations.file_of(language)
    entries = translations.read(file) if file.is_file() else {}
    missing = [text for text in wanted if not entries.get(text)]
    obsolete = [text for text in entries if text not in wanted]
    print(f"{language:8} {len(wanted) - len(missing):4} translated, {len(missing):4} missing, {len(obsolete):4} obsolete")
    if everything:
        print(*(f"  missing   {wanted[text]}: {text}" for text in missing), *(f"  obsolete  {text}" for text in obsolete), sep="\n")
    return entries


def main() -> int:
    parser = argparse.ArgumentParser(description="Finds what the interface's translations lack.")
    parser.add_argument("--show", metavar="LANGUAGE", help="print every missing and obsolete text of this language (de, es, fr, …)")
    parser.add_argument("--update", action="store_true", help="add missing texts, untranslated, and take out obsolete ones")
    arguments = parser.parse_args()
    envs.run_inside()
    sys.path.insert(0, str(envs.ROOT))
    from blender_sd.addon import translations
    wanted = collect()
    for language in translations.LANGUAGES:
        entries = report(language, wanted, arguments.show == language)
        if arguments.update:
            write(language, entries, wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
