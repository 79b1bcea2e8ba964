"""Pictures that are there already: found by their request, and never a map of a material in place of its picture."""
from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="only where Blender's Python has the engine's packages")
from PIL import Image

from blender_sd.core.image_origin import Origin
from blender_sd.core.request import Request
from blender_sd.core.roles import BASE_COLOUR, NORMAL
from blender_sd.engine.output import pictures
from blender_sd.library.kept_pictures import KeptPictures


def test_no_map_stands_in_for_its_picture(tmp_path):
    request = Request.of("text_to_image", prompt="moss", width=64, height=64, seed=3, steps=2)
    image = Image.new("RGB", (8, 8), (10, 20, 30))
    for index, role in enumerate((BASE_COLOUR, NORMAL), 2):
        path = pictures.save(image, tmp_path, "job", index, request.single(0), Origin(model="m"), role=role)
        assert role.replace(" ", "_") in path.name
    kept = KeptPictures(str(tmp_path))
    assert kept.find(request) == ()
    picture = pictures.save(image, tmp_path, "job", 1, request.single(0), Origin(model="m"))
    found, = kept.find(request)
    assert found.path == str(picture)
