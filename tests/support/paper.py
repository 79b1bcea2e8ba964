"""A layout to draw on where there is no window: it takes what Blender's `UILayout` takes, by Blender's own description
of it, and remembers what was drawn. What a real layout would only print to the console (an unknown property, operator
or icon) fails here."""
from __future__ import annotations

from typing import Any

import bpy

_RNA = bpy.types.UILayout.bl_rna
_LAYOUTS = ("row", "column", "column_flow", "grid_flow", "box", "split", "menu_pie")


class Paper:
    """Stands in for a `UILayout` and all that is made from it. `operators`: (idname, properties set) in order; `props`:
    (owner, name); `texts`: all words shown; `entries`: (idname, words, properties set) of operators; `menus`: ids of
    menus and popovers."""

    def __init__(self, parent: Paper | None = None) -> None:
        vars(self).update(operators=parent.operators if parent else [], props=parent.props if parent else [],
                          texts=parent.texts if parent else [], entries=parent.entries if parent else [],
                          menus=parent.menus if parent else [])

    def __setattr__(self, name: str, value: Any) -> None:
        assert name in _RNA.properties, f"a layout has no '{name}'"

    def __getattr__(self, name: str):
        assert name in _RNA.functions, f"a layout has no '{name}'"
        known = _RNA.functions[name].parameters

        def call(*given: Any, **named: Any) -> Any:
            arguments = {
                **dict(zip((one.identifier for one in known if not one.is_output), given, strict=False)), **named}
            for key, value in arguments.items():
                assert key in known, f"{name}() has no '{key}'"
                if key == "icon":
                    assert value in known["icon"].enum_items, f"there is no icon '{value}'"
            self.texts.extend(arguments[key] for key in ("text", "heading", "placeholder") if arguments.get(key))
            return self._drawn(name, arguments)

        return call

    def _drawn(self, name: str, arguments: dict[str, Any]) -> Any:
        if name in _LAYOUTS:
            return Paper(self)
        if name in ("prop", "prop_enum"):
            owner, prop = arguments["data"].bl_rna.properties, arguments["property"]
            assert prop in owner, f"{arguments['data']} has no '{prop}'"
            if name == "prop_enum":
                assert arguments["value"] in owner[prop].enum_items
            self.props.append((arguments["data"], prop))
        if name in ("menu", "popover"):
            idname = arguments["menu" if name == "menu" else "panel"]
            assert hasattr(bpy.types, idname), f"there is no {name} '{idname}'"
            self.menus.append(idname)
        if name == "operator":
            return self._operator(arguments["operator"], arguments.get("text", ""))
        return None

    def _operator(self, idname: str, text: str) -> Any:
        room, _, short = idname.partition(".")
        rna = getattr(getattr(bpy.ops, room), short).get_rna_type()  # KeyError for one that is not there
        values: dict[str, Any] = {}
        self.operators.append((idname, values))
        self.entries.append((idname, text, values))

        class Properties:
            def __setattr__(self, name: str, value: Any) -> None:
                assert name in rna.properties, f"{idname} has no '{name}'"
                values[name] = value

        return Properties()
