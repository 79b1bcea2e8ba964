"""Materials into the person's asset libraries, so that every file can use them.

    sd.save_material(image, "Old Bricks", library="User Library", tags=["brick", "wall"])
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import AssetUnusable, SourceUnusable
from ..core.names import name_key, suggestion
from ..core.prompt_choices import alternatives
from ..core.prompt_steps import plain
from ..library import asset_library
from ..core.nets import STARTER
from ..library.image_origin import STARTER_LICENCE, Facts
from .arguments import scene_call
from .runtime import runtime

if TYPE_CHECKING:
    import bpy

    from .. import scene

_COMMON = frozenset("and the with for from texture seamless tileable background pattern material".split())
_MAX_TAGS = 12


def asset_libraries() -> dict[str, str]:
    """Return the asset libraries of Blender's preferences (File Paths) that are folders: name -> folder."""
    import bpy

    listed = bpy.context.preferences.filepaths.asset_libraries  # type: ignore[union-attr]  # never None in Blender
    local = (library for library in listed if library.path and not getattr(library, "use_remote_url", False))
    return {library.name: os.path.normpath(bpy.path.abspath(library.path)) for library in local}


@scene_call
def save_material(what: bpy.types.Image | bpy.types.Material, name: str = "", *, library: str | os.PathLike = "",
                  tags: Iterable[str] | None = None, licence: str | None = None, description: str | None = None,
                  replace: bool = False) -> Path:
    """Write an image, as a material that repeats, or a whole material into an asset library; the .blend file that it
    lies in.

    `library`: a name of `asset_libraries`, or a folder; "" is the first one. `name`: by default that of the material or
    image; with `replace` an asset of that name is replaced, else "name 2" is made. None, for `tags` and `description`:
    from the settings that made the picture; for `licence`: what `licence_of` says. The open file stays as it is, but
    that painted images are packed. Costs the main thread some 50 ms at 1024². Raises AssetUnusable, SourceUnusable.
    """
    import bpy

    scene = runtime.scene
    folder = library_folder(library)
    if isinstance(what, bpy.types.Image):
        scene.size_of(what)
        image, write = what, scene.write_image
    elif isinstance(what, bpy.types.Material):
        image, write = scene.image_of(what), scene.write_material
        if licence is None:
            licences = (licence_of(scene.image_facts(part)[1]) for part in {image, *scene.generated_in(what)} - {None})
            licence = ", ".join(sorted({*licences} - {""}))
    else:
        raise SourceUnusable("Only an image or a material can be saved as a material asset.",
                             "Give one of bpy.data.images or bpy.data.materials.")
    about, path = plan(folder, name or what.name, image, tags, licence, description, replace)
    write(what, str(path), about)
    return path


def library_folder(library: str | os.PathLike = "") -> str:
    """Return the folder of the asset library of that name or path. Raises AssetUnusable where there is none, or its
    folder is gone."""
    known = asset_libraries()
    wanted = os.path.expanduser(os.fspath(library).strip())
    named = [path for name, path in known.items() if not wanted or name_key(name) == name_key(wanted)]
    folder = named[0] if named else os.path.normpath(wanted) if os.path.isabs(wanted) else ""
    if not folder:
        raise AssetUnusable(
            f"There is no asset library called '{wanted:.80}'." if wanted else "Blender has no asset library yet.",
            suggestion(wanted, known, "Add one in Blender's Preferences › File Paths › Asset Libraries."))
    if not os.path.isdir(folder):
        raise AssetUnusable(f"The folder of the asset library is missing: {folder}.",
                            "Make it, or choose another in Blender's Preferences › File Paths › Asset Libraries.")
    return folder


def plan(folder: str, name: str, image: bpy.types.Image | None = None, tags: Iterable[str] | None = None,
         licence: str | None = None, description: str | None = None, replace: bool = False) -> tuple[scene.About, Path]:
    """Return what an asset will say of itself, and its file in the library at `folder`. `image`: whose settings say
    what is left open."""
    name = asset_library.asset_name(name)
    if not replace:
        name = asset_library.free_name(folder, name)
    scene = runtime.scene
    summary, facts = scene.image_facts(image)
    about = scene.About(name=name, description=summary if description is None else description,
                        tags=tuple(tags_of(facts) if tags is None else tags),
                        licence=licence_of(facts) if licence is None else licence,
                        catalog=asset_library.catalog(folder))
    return about, Path(asset_library.asset_file(folder, name))


def licence_of(facts: Facts) -> str:
    """Return the licence that an asset made of a picture carries: CC0 where the built-in model alone has painted it;
    else that of its model, named as such, since what it allows for pictures only its text says; "" where it is not
    known."""
    if facts.request is not None and facts.request.model == STARTER and all(part.licence == STARTER_LICENCE
                                                                            for part in facts.parts):
        return STARTER_LICENCE
    return f"{facts.licence} (the model's)" if facts.licence else ""


def tags_of(facts: Facts) -> list[str]:
    """Return tags from the prompt of a picture."""
    return words_of(facts.request.prompt) if facts.request is not None else []


def words_of(prompt: str) -> list[str]:
    """Return tags from a prompt: its words, without the common ones."""
    words = [
        word for text in alternatives(prompt, _MAX_TAGS)[0] for word in re.findall(r"[^\W\d_]{3,}",
                                                                                   plain(text).lower())]
    return [word for word in dict.fromkeys(words) if word not in _COMMON][:_MAX_TAGS]
