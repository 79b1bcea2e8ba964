"""Rules that keep the add-on running on Windows and macOS, held by reading the source. ruff holds what it has a rule
for (pyproject.toml): `os.replace`, `os.rename` and text files without an encoding."""
from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "blender_sd").rglob("*.py"))
ALL = [*SHIPPED, *(file for folder in ("scripts", "tests") for file in sorted((ROOT / folder).rglob("*.py"))
                   if file.name != "systems.py")]  # which asks by signal on POSIX alone
CHILD = "a Python that is started without -X utf8"


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Each call with the last name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def renames(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """pathlib's `rename` and `replace`, which differ from those of texts, dataclasses and dates in their arguments: one
    place."""
    for call, name in calls(tree):
        given = [*("target" for _ in call.args), *(keyword.arg for keyword in call.keywords)]
        if isinstance(call.func, ast.Attribute) and name in ("rename", "replace") and given == ["target"]:
            yield call.lineno, f"Path.{name}: a virus scanner may hold the file, use library.files.replace"


def shared_libraries(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """`ctypes.windll` and its like, whose functions are shared with all other add-ons; and functions of a library of
    our own that are called before their argument types are set."""
    typed = {
        ast.unparse(target.value) for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets
        if isinstance(target, ast.Attribute) and target.attr == "argtypes"}
    libraries = {
        ast.unparse(node.targets[0]) for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and _is_library(node.value)}
    functions = {ast.unparse(node.targets[0]): node.value for node in ast.walk(tree) if isinstance(node, ast.Assign)
                 and isinstance(node.value, ast.Attribute) and _of_library(node.value, libraries)}
    for node in ast.walk(tree):
        shared = {node.attr} if isinstance(node, ast.Attribute) else {one.name for one in node.names} if isinstance(
            node, ast.ImportFrom) and node.module == "ctypes" else set()
        if names := shared & {"windll", "oledll", "cdll", "pydll"}:
            yield node.lineno, f"ctypes.{names.pop()}: open a library of our own with ctypes.WinDLL"
        elif isinstance(node, ast.Call) and (isinstance(node.func, ast.Attribute) and _of_library(node.func, libraries)
                                             or ast.unparse(node.func) in functions) and ast.unparse(
                                                 node.func) not in typed:
            yield node.lineno, f"{ast.unparse(node.func)} is called without argtypes"


def _is_library(value: ast.AST) -> bool:
    return isinstance(value, ast.Call) and ast.unparse(
        value.func).removeprefix("ctypes.") in ("WinDLL", "CDLL", "OleDLL")


def _of_library(value: ast.Attribute, libraries: set[str]) -> bool:
    return _is_library(value.value) or ast.unparse(value.value) in libraries


def temporary_folders(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for call, name in calls(tree):
        if name == "TemporaryDirectory" and "ignore_cleanup_errors=True" not in map(ast.unparse, call.keywords):
            yield call.lineno, "TemporaryDirectory without ignore_cleanup_errors: what cannot be deleted would throw the work away"  # noqa: E501


def questions_by_signal(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for call, name in calls(tree):
        if name == "kill" and ast.unparse(call.func) in ("os.kill", "kill") and [
                ast.unparse(one) for one in call.args[1:]] == ["0"]:
            yield call.lineno, "os.kill(pid, 0) ends the process on Windows"


def texts_without_encoding(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """What ruff cannot see, since it does not know which names are paths."""
    for call, name in calls(tree):
        given = {one.arg: ast.unparse(one.value) for one in call.keywords}
        piped = isinstance(call.func, ast.Attribute) and "True" in (given.get("text"), given.get("universal_newlines"))
        if ((name, len(call.args)) in (("read_text", 0), ("write_text", 1)) or piped) and "encoding" not in given:
            yield call.lineno, f"{name} without an encoding"


def children_in_the_code_page(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Commands, written as lists or tuples, that begin with a Python and go on without -X utf8; what is walked through
    is no command."""
    walked = {id(node.iter) for node in ast.walk(tree) if isinstance(node, (ast.For, ast.comprehension))}
    for node in ast.walk(tree):
        if isinstance(node, (ast.List, ast.Tuple)) and isinstance(node.ctx, ast.Load) and len(
                node.elts) > 1 and id(node) not in walked:
            first, *more = map(ast.unparse, node.elts)
            if re.fullmatch(r"sys\.executable|python|(\w+\.)*python_in\(.*\)",
                            first) and "'-X', 'utf8'" not in ", ".join(more):
                yield node.lineno, CHILD


# Rule -> a word without which no source can break it: most files need not be parsed for most rules.
EVERYWHERE = {temporary_folders: "TemporaryDirectory", questions_by_signal: r"\bkill\b"}
IN_THE_ADD_ON = {renames: r"\.(rename|replace)\(", shared_libraries: "ctypes", texts_without_encoding: "_text|True",
                 children_in_the_code_page: r"sys\.executable|python"}


@pytest.mark.parametrize(("rule", "source", "lines"), [
    (renames, "part.replace(path)\npath.rename(new)\nname.replace('a', 'b')\nreplace(one, "
              "two)\ndataclasses.replace(one, x=1)", [1, 2]),
    (renames, "part.replace(target=path)\nwhen.replace(year=1)", [1]),
    (shared_libraries, "ctypes.windll.kernel32.Sleep(1)", [1]),
    (shared_libraries, "from ctypes import WinDLL, windll\nfrom ctypes import c_int", [1]),
    (shared_libraries, "f = ctypes.WinDLL('shell32').Get\nf(1)", [2]),
    (shared_libraries, "f = ctypes.WinDLL('shell32').Get\nf.argtypes = (c_int,)\nf(1)", []),
    (shared_libraries, "k = ctypes.WinDLL('kernel32')\nk.Sleep(1)", [2]),
    (shared_libraries, "k = ctypes.WinDLL('kernel32')\nk.Sleep.argtypes = (c_int,)\nk.Sleep(1)", []),
    (shared_libraries, "ctypes.CDLL(None).mallopt(1, 2)", [1]),
    (temporary_folders, "tempfile.TemporaryDirectory()\nTemporaryDirectory(prefix='x', "
                        "ignore_cleanup_errors=True)", [1]),
    (temporary_folders, "TemporaryDirectory(ignore_cleanup_errors=False)", [1]),
    (questions_by_signal, "os.kill(pid, 0)\nos.kill(pid, 9)\nkill(pid, 0)\nkill(pid)", [1, 3]),
    (texts_without_encoding, "p.read_text()\np.write_text('x')\npng.read_text(p)\np.read_text(encoding='ascii')", [1, 2]),  # noqa: E501
    (texts_without_encoding, "subprocess.run(x, text=True)\nrun(x, text=True)\nsubprocess.run(x, text=True, "
                             "encoding='utf-8')", [1]),
    (children_in_the_code_page, "run([sys.executable, '-c', x])\nrun([python, '-I', '-X', 'utf8', "
                                "x])\nrun((e.python_in(f), x))", [1, 3]),
])
def test_a_rule_sees_what_it_looks_for(rule, source, lines):
    assert [line for line, _ in rule(ast.parse(source))] == lines
    assert not lines or re.search({**EVERYWHERE, **IN_THE_ADD_ON}[rule], source), "the rule's word"


def test_the_source_keeps_to_the_rules():
    broken = []
    for file in ALL:
        source = file.read_text(encoding="utf-8")
        rules = [
            rule for rule, word in {**EVERYWHERE, **(IN_THE_ADD_ON if file in SHIPPED else {})}.items()
            if re.search(word, source)]
        tree = ast.parse(source if rules else "")
        broken += [f"{file.relative_to(ROOT)}:{line}: {why}" for rule in rules for line, why in rule(tree)]
    assert broken == []
