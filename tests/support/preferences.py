"""The add-on's preferences, as they are once it is enabled."""
from __future__ import annotations

import bpy
import pytest

from blender_sd.addon import preference_access


@pytest.fixture
def prefs(addon):
    """The preferences as they are once the add-on is enabled."""
    addons = bpy.context.preferences.addons
    entry = addons.new()
    entry.module = preference_access.PACKAGE
    yield entry.preferences
    addons.remove(entry)
