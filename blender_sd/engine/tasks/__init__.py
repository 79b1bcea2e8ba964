"""One file per task: what it asks of the source, how the picture is finished.

To add a task: write a file with `prepare(request, inputs, multiple) -> Plan`, and name it in `TASKS`
here and in `TASKS` and `NEEDS` of `protocol.request`. `inputs`: the input pictures by role.
"""
from __future__ import annotations

from . import image_to_image, inpaint, make_seamless, outpaint, text_to_image, upscale

TASKS = {"text_to_image": text_to_image, "image_to_image": image_to_image, "upscale": upscale, "inpaint": inpaint,
         "outpaint": outpaint, "make_seamless": make_seamless}
