"""Panels, menus and popovers drawn without a window."""
from __future__ import annotations

from contextlib import contextmanager

import bpy
import pytest
from bl_ui.utils import PresetPanel

from blender_sd.addon import _CLASSES, layout, preference_access
from blender_sd.addon.panels.installation import SetUp
from blender_sd.addon.panels.results import Results
from blender_sd.core import errors
from blender_sd.core.errors import SDError
from tests.support.paper import Paper

# All but the list of presets, which Blender draws, the panel Set Up, which stands alone, and the latest results, while
# there are none.
PANELS = [
    cls for cls in _CLASSES if issubclass(cls, bpy.types.Panel) and not issubclass(cls, (PresetPanel, SetUp, Results))]
MENUS = [cls for cls in _CLASSES if issubclass(cls, bpy.types.Menu)]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Regions have a width only where there is a window."""
    monkeypatch.setattr(layout, "region_width", lambda _context: 2000.0)


@contextmanager
def within(space: str):
    """The context of an editor of that type. (Tabs of the Properties editor cannot be chosen without a window before
    5.2.)"""
    window = bpy.context.window_manager.windows[0]
    area = max(window.screen.areas, key=lambda area: area.width * area.height)
    area.type = space
    if space == "NODE_EDITOR":
        area.ui_type = "ShaderNodeTree"
    region = next(region for region in area.regions if region.type == ("WINDOW" if space == "PROPERTIES" else "UI"))
    with bpy.context.temp_override(window=window, area=area, region=region, space_data=area.spaces.active):
        yield bpy.context


def draw(cls, opened_from: str = "VIEW_3D") -> Paper | None:
    """What the panel draws in its editor, or the menu or popover where it is opened; None where its poll hides it."""
    paper = Paper()
    space = getattr(cls, "bl_space_type", opened_from)
    space = opened_from if space == "TOPBAR" else space
    with within(space) as context:
        if hasattr(cls, "poll") and not cls.poll(context):
            return None
        ours = tuple(base for base in cls.__bases__ if base not in (bpy.types.Panel, bpy.types.Menu))
        drawn = type(cls.__name__, ours, {"layout": paper, **({} if ours else {"draw": cls.draw})})()
        if hasattr(drawn, "draw_header"):
            drawn.draw_header(context)
        drawn.draw(context)
    return paper


def panel(name: str) -> type[bpy.types.Panel]:
    return next(cls for cls in PANELS if cls.bl_idname == name)


def shown(name: str) -> Paper:
    """What the panel of that id draws; it must not be hidden."""
    paper = draw(panel(name))
    assert paper is not None, f"{name} is hidden"
    return paper


KINDS = [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, SDError)]


@pytest.fixture
def enabled(addon):
    """As once the add-on is enabled: it has preferences."""
    entry = bpy.context.preferences.addons.new()
    entry.module = preference_access.PACKAGE
    yield
    bpy.context.preferences.addons.remove(entry)
