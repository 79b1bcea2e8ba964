"""Which results of a job a person is shown: not six maps of one material."""
from __future__ import annotations

import pytest

from blender_sd.core.request import Request
from blender_sd.core.roles import BASE_COLOUR, MAPS, METALLIC, NORMAL, PICTURE, ROUGHNESS, SHEET
from blender_sd.protocol.pictures import Result, main_results


@pytest.mark.parametrize(("roles", "shown"), [
    ((PICTURE, *MAPS), [PICTURE]),
    (MAPS, [BASE_COLOUR]),
    ((SHEET, BASE_COLOUR, NORMAL, ROUGHNESS, METALLIC), [SHEET, BASE_COLOUR]),
    ((SHEET, PICTURE, PICTURE), [SHEET, PICTURE, PICTURE]),
    ((PICTURE, BASE_COLOUR), [PICTURE, BASE_COLOUR]),  # a picture and what it was baked into
    ((), []),
])
def test_a_materials_picture_stands_for_its_maps(roles, shown):
    request = Request.of("text_to_image", prompt="moss")
    assert [result.role for result in main_results([Result("", request, 8, 8, role=role) for role in roles])] == shown
