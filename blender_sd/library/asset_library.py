"""Name the files of an asset library, and list our catalog in it."""
from __future__ import annotations

import logging
import os
import unicodedata
import uuid

from ..core.names import DEVICES, FORBIDDEN
from .files import write_whole

log = logging.getLogger("blender_sd")

FOLDER = "Stable Diffusion"  # the folder in the library, and the catalog's path
# Blender's file name; manual, "Asset Catalogs", section "Catalog Definition Files"
CATALOGS = "blender_assets.cats.txt"
# the same on all machines, since libraries are merged and shared
CATALOG_ID = str(uuid.uuid5(uuid.NAMESPACE_URL, "blender_sd/asset-catalog"))
_HEADER = "# This is an Asset Catalog Definition file for Blender.\n\nVERSION 1\n\n"
_MAX_NAME = 60  # bytes; Blender keeps 63 bytes of a datablock's name
_MAX_BYTES = 1 << 22


def asset_name(text: str) -> str:
    """Return `text` as a name that a datablock and a file can have on every system; never empty."""
    name = unicodedata.normalize(
        "NFC", " ".join(FORBIDDEN.sub(" ", text.encode(errors="replace").decode()).split())
    ).strip(". ")
    if len(name.encode()) > _MAX_NAME:
        cut = name.encode()[:_MAX_NAME].decode(errors="ignore")
        name = (cut.rsplit(" ", 1)[0] if " " in cut[20:] else cut).strip(". ,")
    return f"{name} material" if DEVICES.fullmatch(name) else name or "Material"


def asset_file(library: str, name: str) -> str:
    """Return the path of the asset `name` in the library folder `library`."""
    return os.path.join(library, FOLDER, f"{name}.blend")


def free_name(library: str, name: str) -> str:
    """Return `name`, or "name 2", "name 3", … if a file has that name already."""
    number, free = 1, name
    while os.path.exists(asset_file(library, free)):
        number += 1
        free = f"{name} {number}"
    return free


def catalog(library: str) -> str:
    """Return the id of our catalog in the library folder `library`, and list the catalog there if it is missing.

    Other lines of the file stay as they are. Return "" if the file cannot be read or written; assets then simply have
    no catalog.
    """
    file = os.path.join(library, CATALOGS)
    try:
        before = _read(file)
        for line in before.splitlines():
            parts = line.strip().split(":")
            if len(parts) == 3 and parts[1] == FOLDER and not line.startswith("#"):
                return str(uuid.UUID(parts[0]))
        if before and "VERSION 1" not in (line.strip() for line in before.splitlines()):
            raise ValueError("it is of a version that is not known")
        text = before + ("\n" if before and not before.endswith("\n") else "")
        write_whole(file, ((text or _HEADER) + f"{CATALOG_ID}:{FOLDER}:{FOLDER}\n").encode())
    except (OSError, ValueError) as error:
        log.warning("no catalog is set: %s: %s", file, error)
        return ""
    return CATALOG_ID


def _read(file: str) -> str:
    try:
        with open(file, encoding="utf-8-sig") as opened:
            text = opened.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        return ""
    if len(text) > _MAX_BYTES:
        raise ValueError("it is too large")
    return text
