"""Where a picture comes from, put together from its request and the files of the nets that made it; and the same as XMP, for programs
that know nothing of this add-on."""
from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from ..protocol.cards import licence_of
from ..protocol.checkpoints import STARTER
from ..protocol.hub import name_of
from ..protocol.origin import Origin, Part, kind_of
from ..protocol.request import UPSCALE, Request
from ..protocol.version import generator
from . import controls
from .safety import FILTER_KEY

if TYPE_CHECKING:
    from PIL import Image

    from .models import Model

# IPTC NewsCodes, "Digital Source Type": http://cv.iptc.org/newscodes/digitalsourcetype/
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # a file's name may hold anything
IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def origin_of(model: Model, request: Request) -> Origin:
    """The origin of `request`'s pictures by `model`, but for the time and the filter (`finished`). Reads small files beside the nets."""
    place, borrowed = str(model.folder.path), model.folder.borrowed
    licence = licence_of(place)
    if not licence.name and borrowed is not None:
        licence = licence_of(str(borrowed))
    return Origin(generator(), "", model.name, model.family.name, licence.name, licence.link, kind_of(request), tuple(_parts(request)))


def finished(origin: Origin, image: Image.Image) -> Origin:
    """`origin` of `image`, which is finished now and was looked at by the safety filters that it names."""
    return dataclasses.replace(origin, made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), filter=image.info.get(FILTER_KEY, ""))


def uses_upscaler(request: Request) -> bool:
    """Whether the upscaler that `request` names has anything to do."""
    return bool(request.upscaler) and (request.task == UPSCALE or request.refine_scale > 1)


def _parts(request: Request) -> Iterator[Part]:
    used = dataclasses.replace(request, loras=tuple(one for one in request.loras if one.weight), upscaler=request.upscaler
                               if uses_upscaler(request) else "", controls=tuple(one for one in request.controls if one.weight))
    for kind, net in used.nets:
        yield _part(kind, str(controls.STARTER) if (kind, net) == ("ControlNet", STARTER) else net)


def _part(kind: str, place: str) -> Part:
    return Part(kind, name_of(place) if Path(place).is_dir() else Path(place).stem, licence_of(place).name)


def xmp(origin: Origin) -> str:
    """An XMP packet: that a model made the picture or had a part in it, which one, and the program. By IPTC's Photo Metadata Standard
    2025.1 (https://www.iptc.org/std/photometadata/specification/IPTC-PhotoMetadata) and XMP's own basic schema. The model's licence is not
    in it: XMP's fields for rights speak of the picture's, which are not known here."""
    said = {"Iptc4xmpExt:DigitalSourceType": IPTC + origin.kind, "Iptc4xmpExt:AISystemUsed": origin.model,
            "xmp:CreatorTool": origin.generator, "xmp:CreateDate": origin.made}
    attributes = (f"{name}={quoteattr(_NOT_XML.sub('', value))}" for name, value in said.items() if value)
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f"{' '.join(attributes)}/>"
        '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
