"""The origin of a picture, from its request and the files of the networks that made it, and the same as XMP."""
from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from ...core.hub import name_of
from ...core.image_origin import Origin, Part, kind_of
from ...core.request import Request
from ...core.version import generator
from ...library import model_paths
from ...library.licences import licence_of
from .safety_filter import FILTER_KEY

if TYPE_CHECKING:
    from ..models.cache import Model

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # a file's name may hold any of these
# IPTC NewsCodes, "Digital Source Type"
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def origin_of(model: Model, request: Request) -> Origin:
    """Return the origin of the pictures of a request, without time and filter, which `finished` adds.

    Reads small files beside the networks.

    Args:
        model: The loaded model.
        request: The request with real paths (`library.model_paths`).
    """
    place, base_model = str(model.folder.path), model.folder.base_model
    licence = licence_of(place)
    if not licence.name and base_model is not None:
        licence = licence_of(str(base_model))
    return Origin(generator(), "", model.name, model.family.name, licence.name, licence.link, kind_of(request),
                  tuple(_part(kind, net) for kind, net in model_paths.used(request)))


def finished(origin: Origin, about: Mapping[Any, Any]) -> Origin:
    """Return the origin of a finished image: with the time, and the safety filters that looked at it, which Pillow's
    `info` of the image (`about`) names."""
    return dataclasses.replace(origin, made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                               filter=about.get(FILTER_KEY, ""))


def _part(kind: str, place: str) -> Part:
    return Part(kind, name_of(place) if Path(place).is_dir() else Path(place).stem, licence_of(place).name)


def xmp(origin: Origin) -> str:
    """Return an XMP packet: that a model made the picture or had a part in it, which model, and which program.

    It follows IPTC's Photo Metadata Standard 2025.1
    (https://www.iptc.org/std/photometadata/specification/IPTC-PhotoMetadata) and XMP's own basic schema. The model's
    licence is left out: XMP's fields for rights are about the picture's, which are unknown here.
    """
    fields = {"Iptc4xmpExt:DigitalSourceType": IPTC + origin.kind, "Iptc4xmpExt:AISystemUsed": origin.model,
            "xmp:CreatorTool": origin.generator, "xmp:CreateDate": origin.made}
    attributes = (f"{name}={quoteattr(_NOT_XML.sub('', value))}" for name, value in fields.items() if value)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f"{' '.join(attributes)}/>"
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
