"""The arguments of public calls, checked against their annotations: a slip in a script ends in one sentence that names
the argument, and nothing has begun by then."""
from __future__ import annotations

import functools
import inspect
import os
import textwrap
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeAlias, TypedDict, TypeVar

from ..core.declarations import SETTINGS, Declared
from ..core.errors import InvalidRequest, SDError, SourceUnusable, TargetUnusable
from ..core.names import suggestion
from ..core.parts import Control
from ..core.regions import Region
from ..core.settings import plain, shown
from ..core.tasks import KNOWN
from ..session.job import Job
from .no_scene import needs_blender
from .scene_access import the_scene

if TYPE_CHECKING:
    from .. import scene

_P = ParamSpec("_P")
_R = TypeVar("_R")
_WORDS = {
    Any: "anything", str: "text", int: "a whole number", float: "a number", bool: "True or False",
    type(None): "None", os.PathLike: "a path", "Image": "an image", "Material": "a material", "Object": "an object",
    "Collection": "a collection"}
ControlInput = tuple[Control, Any]  # a control and what its picture is taken from
RegionInput = tuple[Region, Any]  # a region and what its mask is taken from; None for what a name finds
# Where results go; None makes new images. Text, since `scene` needs Blender: see `_names`.
Place: TypeAlias = "scene.Target | Callable[[Job], list] | None"
_KINDS = {"int": int, "float": float, "str": str, "bool": bool}
# settings that calls take in another way: by place, as `size`, `views`, `prompts`
_APART = ("prompt", "width", "height", "mask_kind", "sides", "parts", "look")


class PartKeywords(TypedDict, total=False):
    """The keywords of every call that paints, beside the declared settings."""

    loras: Iterable[tuple[str, float]] | None
    controls: Iterable[ControlInput] | None
    regions: Iterable[RegionInput] | None
    axes: Iterable[tuple[str, str | Iterable]] | None
    reference: Any
    target: Place
    label: str | None


_PART_TIPS = {
    "loras": "More LoRAs, by name or file, with their weights",
    "controls": "What `control` returned; each guides the structure",
    "regions": "What `region` returned; each is a part of the picture with a prompt, a strength and a weight of "
               "controls of its own, or is kept as it is",
    "axes": "One or two settings that change from picture to picture, such as [(\"steps\", (8, 20)), (\"prompt\", "
            "(\"brick\", \"stone\"))]; the result is a labelled contact sheet, followed by the single pictures",
    "reference": "An image (as `source` of `restyle`) whose look `ip_adapter` takes over",
    "target": "What `scene.freeze_target` returned; or a function that takes the finished job, on the main thread, and "
              "returns its `outputs`; None makes a new image datablock",
    "label": "What lists call the job"}
_INDENT = 8 * " "  # of the arguments in a docstring
_DATABLOCKS = {"Image": (SourceUnusable, "Give one of bpy.data.images."),  # of bpy.types
               "Object": (TargetUnusable, "Give one of bpy.data.objects.")}


def checked_call(call: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return `call`, a public function, with its arguments checked before it runs. None stands for an argument's
    default.

    It then raises InvalidRequest for a keyword that it does not take, with the closest one that it does, and for an
    argument of another type than annotated; SourceUnusable or TargetUnusable where an image or an object is expected.
    """
    signature = inspect.signature(call)
    rest = next(
        (parameter for parameter in signature.parameters.values() if parameter.kind is inspect.Parameter.VAR_KEYWORD),
        None)
    # the call looks at its keywords itself
    takes_any = rest is not None and not hasattr(call, "_sd_keywords")

    @functools.wraps(call)
    def checked(*args: _P.args, **keywords: _P.kwargs) -> _R:
        hints = _hints(call)
        for name in keywords:
            if name not in hints and not takes_any:
                raise InvalidRequest(f"There is no setting called '{name}'.", suggestion(name, hints))
        bound = signature.bind(*args, **keywords)
        for name, value in bound.arguments.items():
            parameter = signature.parameters[name]
            if parameter.kind is parameter.VAR_KEYWORD:
                value = {
                    key: checked_value(key, hints.get(key, Any), item) for key, item in value.items()
                    if item is not None}
            elif parameter.kind is parameter.VAR_POSITIONAL:
                value = tuple(checked_value(name, hints[name], item) for item in value)
            elif value is None and parameter.default is not parameter.empty:
                value = parameter.default
            else:
                value = checked_value(name, hints[name], value)
            bound.arguments[name] = value
        return call(*bound.args, **bound.kwargs)

    return checked


def scene_call(call: Callable[_P, _R]) -> Callable[_P, _R]:
    """Return `call`, a public function that uses Blender's data, checked as by `checked_call` and for the thread that
    it is called on. It then raises InvalidRequest on another thread than Blender's main one, and NeedsBlender where it
    cannot do without bpy."""
    checked = checked_call(call)

    @functools.wraps(call)
    def on_main_thread(*args: _P.args, **keywords: _P.kwargs) -> _R:
        the_scene().check_thread()
        try:
            return checked(*args, **keywords)
        except ModuleNotFoundError as error:
            if error.name != "bpy":
                raise
            raise needs_blender(f"The call '{call.__name__}'") from None

    return on_main_thread


def task_call(task: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator for a public call that paints the task of that name: `scene_call`, with `**settings` standing
    for the declared settings of all requests and of the task.

    They become part of the call's signature, with their types, and take the place of "{settings}" in its docstring.
    None leaves a setting open.
    """
    def decorate(call: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(call)
        own = (*signature.parameters, *_APART, *KNOWN[task].sets)
        taken = [declared for declared in SETTINGS if declared.task in ("", task) and declared.name not in own]
        parts = {name: hint for name, hint in PartKeywords.__annotations__.items()
                 if name not in own and (name != "regions" or KNOWN[task].regional)}
        call._sd_regional = KNOWN[task].regional  # type: ignore[attr-defined]  # read by `_hints`
        call._sd_keywords = {  # type: ignore[attr-defined]  # read by `_hints`
            declared.name: _KINDS[declared.kind] | None for declared in taken}
        done = scene_call(call)
        done.task = task  # type: ignore[attr-defined]  # for who looks for the call of a task
        hints = {declared.name: f"{declared.kind} | None" for declared in taken} | {
            name: getattr(hint, "__forward_arg__", hint) for name, hint in parts.items()}
        named = [given for given in signature.parameters.values() if given.kind is not given.VAR_KEYWORD]
        extra = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
                 for name, hint in hints.items()]
        done.__signature__ = signature.replace(parameters=[*named, *extra])  # type: ignore[attr-defined]
        lines = [_documented(declared) for declared in taken] + [f"{name}: {_PART_TIPS[name]}." for name in parts]
        done.__doc__ = (call.__doc__ or "").replace(_INDENT + "{settings}", "\n".join(
            textwrap.fill(line, 120, initial_indent=_INDENT, subsequent_indent=_INDENT + "    ") for line in lines))
        return done

    return decorate


def _documented(declared: Declared) -> str:
    """Return the line of a setting in a call's docstring."""
    rule = declared.setting
    limits = f"; one of: {', '.join(rule.choices)}" if rule.choices else (
        f"; {rule.low} to {rule.high}" if rule.low is not None and rule.high is not None else "")
    return f"{declared.name}: {rule.tip}{limits}."


def fits(hint: Any, value: Any) -> bool:
    """Return whether `value` is of the annotated type `hint`. True and False are no numbers, text is no list."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if origin in (typing.Union, types.UnionType):
        return any(fits(part, value) for part in parts)
    if hint in (int, float):
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    if origin is tuple and parts[-1] is not ...:
        return isinstance(value, (tuple, list)) and len(value) == len(parts) and all(map(fits, parts, value))
    if origin in (tuple, list, Iterable):
        listed = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
        return listed and (not isinstance(value, Collection) or all(fits(parts[0], item) for item in value))
    return isinstance(value, origin or hint)


def checked_value(name: str, hint: Any, value: Any) -> Any:
    """Return `value` (of an iterator, its values). Raises SDError as `checked_call` says where it does not fit
    `hint`."""
    value = _plain(value)
    if isinstance(value, Iterator) and not fits(hint, ""):
        value = tuple(value)
    if not fits(hint, value):
        raise _refusal(hint, f"{name} must be {_words(hint)}, not {shown(value)}.")
    if hasattr(type(value), "bl_rna"):
        try:
            value.name  # noqa: B018 (reading it fails where the datablock was deleted)
        except ReferenceError:
            raise _refusal(hint, f"{name} was deleted.") from None
    return value


def _plain(value: Any) -> Any:
    """Return `value` with numbers of numpy's, also in lists and tuples, as Python's."""
    return type(value)(map(_plain, value)) if type(value) in (list, tuple) else plain(value)


@functools.cache
def _names() -> dict[str, Any]:
    """Return what annotations call by name but modules import only when Blender is there."""
    names: dict[str, Any] = {"Callable": Callable, "Job": Job}
    try:
        import bpy

        from .. import scene

        names |= {"bpy": bpy, "scene": scene}
    except ImportError:  # plain Python: no argument is of these types
        absent = type("NotBlender", (), {})
        names |= {
            "bpy": types.SimpleNamespace(types=types.SimpleNamespace(
                Image=absent, Material=absent, Object=absent, Collection=absent)),
            "scene": types.SimpleNamespace(Target=absent, About=absent)}
    return names


@functools.cache
def _hints(call: Callable) -> dict[str, Any]:
    """Return the types of what `call` takes, by name; settings that `task_call` added among them."""
    names = _names()
    hints = typing.get_type_hints(call, localns=names)
    hints.pop("return", None)
    if hasattr(call, "_sd_keywords"):
        hints |= call._sd_keywords | typing.get_type_hints(PartKeywords, localns=names)
        if not call._sd_regional:  # type: ignore[attr-defined]
            del hints["regions"]
    for parameter in inspect.signature(call).parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            hints.pop(parameter.name)
    return hints


def _refusal(hint: Any, message: str) -> SDError:
    for part in typing.get_args(hint) or (hint,):
        if (name := getattr(part, "__name__", "")) in _DATABLOCKS:
            error, what_to_give = _DATABLOCKS[name]
            return error(message, what_to_give)
    return InvalidRequest(message)


def _words(hint: Any) -> str:
    """Return what `hint` is called in a message."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        *others, last = dict.fromkeys(map(_words, parts))
        return f"{', '.join(others)} or {last}" if others else last
    if origin is tuple and parts[-1] is not ...:
        words = [_words(part) for part in parts]
        return f"two {words[0].removeprefix('a ')}s" if words[0] == words[-1] else f"a tuple of {' and '.join(words)}"
    if origin in (tuple, list, Iterable):
        return f"a list of {_words(parts[0])}"
    if origin is not None:
        return "a function" if origin is Callable else f"a {origin.__name__}"
    return _WORDS.get(hint) or _WORDS.get(hint.__name__, f"a {hint.__name__}")
