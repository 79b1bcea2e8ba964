"""Where pictures come from: the report of a file's generated images, the chain of edits behind one, and marks of bakes
by scripts.

    print(sd.report())                                  # every generated image of the open file, and what uses it
    sd.report("clearance.csv", format="csv")
    for link in sd.trace(image):                        # what it was made of, and what that was made of
        print("  " * link.depth, link.role, link.path, link.known.request and link.known.request.prompt)
"""
from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import OutputUnwritable
from ..library import image_report, lineage
from ..library.files import write_whole
from ..library.image_report import TEXT

from .arguments import scene_call
from .runtime import runtime

if TYPE_CHECKING:
    import bpy


@scene_call
def report(path: str | os.PathLike | None = None, format: str = TEXT, prompts: bool = False,
           chains: bool = False) -> str:
    """Return every generated image of the open file, those that are linked from other files among them, and images that
    were baked from them: kind, model, licence and what it says of commercial use, seed, LoRAs and other nets, input
    pictures, date, and what uses it.

    `format`: "text" or "csv" (one line for each image; cells cannot become formulas). `prompts`: with the prompts.
    Written to the file `path` where one is given (CSV begins with a mark by which spreadsheets know UTF-8), and
    returned. Reads the files of images that carry no mark. `chains`: with the chain of edits behind each picture, as
    `trace` finds it, and the licences in it; this reads files of the output folder, and waits. Raises InvalidRequest
    for another format, OutputUnwritable.
    """
    import bpy

    folder = str(runtime.folders.output_path())
    rows = [image_report.Row(image.facts, image.library, image.materials, image.others, image.objects,
                             lineage.trace(image.facts.request, folder) if chains and image.facts.inputs else ())
            for image in runtime.scene.generated()]
    text = image_report.write(rows, bpy.data.filepath, format, prompts)
    if path is not None:
        target = os.path.abspath(bpy.path.abspath(os.path.expanduser(os.fspath(path))))
        try:
            write_whole(target, text.encode("utf-8-sig" if format == image_report.CSV else "utf-8"))
        except OSError as error:
            raise OutputUnwritable(f"The report cannot be written to {target}.",
                                   "Look whether the folder is there and can be written to.", repr(error)) from None
    return text


@scene_call
def trace(image: bpy.types.Image | str | Path) -> tuple[lineage.Link, ...]:
    """Return the chain of edits behind `image` (a bpy image, or the path of a PNG), as far as the output folder holds
    it: each input picture, followed by those that it was made of itself. Reads files, and waits. Raises InvalidRequest
    where the image carries no settings."""
    return lineage.trace(runtime.scene.request_of(image), str(runtime.folders.output_path()))


@scene_call
def mark_baked(obj: bpy.types.Object, others: Iterable[bpy.types.Object] = ()) -> list[bpy.types.Image]:
    """Mark the images that `obj` was just baked into as made from the generated images in its materials, or (Selected
    to Active) in those of `others`; the images that are marked now. For scripts: Blender tells of bakes that the button
    starts, not of those that `bpy.ops.object.bake` waits for; many of these are found when the file is saved, but not
    all."""
    return runtime.scene.mark_baked(obj, others)
