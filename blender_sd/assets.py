"""Materials into the person's asset libraries, so that every file can use them.

    sd.save_material(image, "Old Bricks", library="User Library", tags=["brick", "wall"])
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import bpy

from . import scene
from .protocol import wording
from .protocol.errors import AssetUnusable, SourceUnusable
from .protocol.checkpoints import STARTER
from .protocol.facts import STARTER_LICENCE, Facts
from .session import asset_library

_COMMON = frozenset("and the with for from texture seamless tileable background pattern material".split())
_MAX_TAGS = 12


def asset_libraries() -> dict[str, str]:
    """The asset libraries of Blender's preferences (File Paths) that are folders: name -> folder."""
    listed = bpy.context.preferences.filepaths.asset_libraries
    local = (one for one in listed if one.path and not getattr(one, "use_remote_url", False))
    return {one.name: os.path.normpath(bpy.path.abspath(one.path)) for one in local}


def save_material(what: bpy.types.Image | bpy.types.Material, name: str = "", *, library: str | os.PathLike = "",
                  tags: Iterable[str] | None = None, licence: str | None = None, description: str | None = None,
                  replace: bool = False) -> Path:
    """Writes an image, as a material that repeats, or a whole material into an asset library; the .blend file that it lies in.

    `library`: a name of `asset_libraries`, or a folder; "" is the first one. `name`: by default that of the material or image; with
    `replace` an asset of that name is written anew, else "name 2" is made. None, for `tags` and `description`: from the settings that
    made the picture; for `licence`: what `licence_of` says. The open file stays as it is, but that painted
    images are packed. Costs the main thread some 50 ms at 1024². Raises AssetUnusable, SourceUnusable.
    """
    folder = library_folder(library)
    if isinstance(what, bpy.types.Image):
        scene.size_of(what)
        image, write = what, scene.write_image
    elif isinstance(what, bpy.types.Material):
        image, write = scene.image_of(what), scene.write_material
        if licence is None:
            said = (licence_of(scene.image_facts(one)[1]) for one in {image, *scene.generated_in(what)} - {None})
            licence = ", ".join(sorted({*said} - {""}))
    else:
        raise SourceUnusable("Only an image or a material can be saved as a material asset.",
                             "Give one of bpy.data.images or bpy.data.materials.")
    about, path = plan(folder, name or what.name, image, tags, licence, description, replace)
    write(what, str(path), about)
    return path


def library_folder(library: str | os.PathLike = "") -> str:
    """The folder of the asset library of that name or path. Raises AssetUnusable where there is none, or its folder is gone."""
    known = asset_libraries()
    wanted = os.path.expanduser(os.fspath(library).strip())
    named = [path for name, path in known.items() if not wanted or name.casefold() == wanted.casefold()]
    folder = named[0] if named else os.path.normpath(wanted) if os.path.isabs(wanted) else ""
    if not folder:
        raise AssetUnusable(f"There is no asset library called '{wanted:.80}'." if wanted else "Blender has no asset library yet.",
                            f"There is: {', '.join(known)}." if known else
                            "Add one in Blender's Preferences › File Paths › Asset Libraries.")
    if not os.path.isdir(folder):
        raise AssetUnusable(f"The folder of the asset library is missing: {folder}.",
                            "Make it, or choose another in Blender's Preferences › File Paths › Asset Libraries.")
    return folder


def plan(folder: str, name: str, image: bpy.types.Image | None = None, tags: Iterable[str] | None = None, licence: str | None = None,
         description: str | None = None, replace: bool = False) -> tuple[scene.About, Path]:
    """What an asset will say of itself, and its file in the library at `folder`. `image`: whose settings say what is left open."""
    name = asset_library.asset_name(name)
    if not replace:
        name = asset_library.free_name(folder, name)
    said, facts = scene.image_facts(image)
    about = scene.About(
        name=name, description=said if description is None else description, tags=tuple(tags_of(facts) if tags is None else tags),
        licence=licence_of(facts) if licence is None else licence, catalog=asset_library.catalog(folder))
    return about, Path(asset_library.asset_file(folder, name))


def licence_of(facts: Facts) -> str:
    """The licence that an asset made of a picture carries: CC0 where the built-in model alone has painted it; else that of its model, named
    as such, since what it allows for pictures only its text says; "" where it is not known."""
    if facts.request is not None and facts.request.model == STARTER and all(part.licence == STARTER_LICENCE for part in facts.parts):
        return STARTER_LICENCE
    return f"{facts.licence} (the model's)" if facts.licence else ""


def tags_of(facts: Facts) -> list[str]:
    """Tags from the prompt of a picture."""
    return words_of(facts.request.prompt) if facts.request is not None else []


def words_of(prompt: str) -> list[str]:
    """Tags from a prompt: its words, without the common ones."""
    words = re.findall(r"[^\W\d_]{3,}", wording.plain(wording.without_loras(prompt)[0]).lower())
    return [word for word in dict.fromkeys(words) if word not in _COMMON][:_MAX_TAGS]
