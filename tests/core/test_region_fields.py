"""Regions as fields of a file, and back."""
from __future__ import annotations

import pytest

from blender_sd.core.regions import COLLECTION, FACES, OBJECT, Region, as_fields, from_fields


@pytest.mark.parametrize("region", [
    Region(OBJECT, "Bottle", keep=True, feather=4), Region(COLLECTION, "Set", prompt="oak", strength=0.25),
    Region(FACES, prompt="moss")])
def test_a_region_comes_back_from_its_fields(region):
    assert from_fields(as_fields(region)) == (region, None)
