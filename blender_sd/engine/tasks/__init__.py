"""The tasks, one module each: what a task needs from the source, and how its picture is finished.

To add a task, write a module with `prepare(request, inputs, multiple) -> Plan` and name it in `TASKS` here and in
`TASKS` and `NEEDS` of `core.request`. `inputs` holds the input pictures by role; `multiple` is the number of pixels
that both sides of a painted picture must be multiples of.
"""
from __future__ import annotations

from . import image_to_image, inpaint, make_seamless, outpaint, text_to_image, upscale

TASKS = {"text_to_image": text_to_image, "image_to_image": image_to_image, "upscale": upscale, "inpaint": inpaint,
         "outpaint": outpaint, "make_seamless": make_seamless}
