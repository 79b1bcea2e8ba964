"""What well-known licences of models say of commercial use, in a word: for reports and panels. It is no advice; the licence counts.

Names as the Hugging Face hub writes them in model cards (https://huggingface.co/docs/hub/repositories-licenses) and as people write them;
compared by `cards.Licence.key`. Read for the table: choosealicense.com and creativecommons.org for the software and Creative Commons ones;
CreativeML OpenRAIL-M (https://huggingface.co/spaces/CompVis/stable-diffusion-license: no right is claimed in the output, its use keeps to
Attachment A) and OpenRAIL++-M (in stabilityai/stable-diffusion-xl-base-1.0); Stability AI's Community Licence
(https://stability.ai/community-license-agreement: free below US$ 1 M of yearly revenue) and its non-commercial research ones; the
FLUX.1 [dev] Non-Commercial License (https://bfl.ai/legal: the model is for non-commercial purposes; what its text says of outputs and what
its owner says of them differ, so a person has to decide). A licence that is not in the table is to be read.
"""
from __future__ import annotations

from dataclasses import dataclass

from .cards import Licence

YES, CONDITIONS, NO, READ = "yes", "conditions", "no", "read it"


@dataclass(frozen=True)
class Terms:
    """`commercial`: may pictures be used commercially: YES, CONDITIONS, NO, or READ where it is not known here. `text`: why, in a line."""

    commercial: str
    text: str


UNKNOWN = Terms(READ, "Unknown licence: find it and read it")
_NOT_LISTED = Terms(READ, "This licence is not among those known here: read it")
_FREE = Terms(YES, "No condition on pictures")
_RAIL = Terms(CONDITIONS, "Allowed within the uses that the licence permits (its attachment lists those forbidden)")
_COPYLEFT = Terms(YES, "Its conditions are on the model's own copies, not on pictures")
_NON_COMMERCIAL = Terms(NO, "Non-commercial use only")
_STABILITY = Terms(CONDITIONS, "Free below US$ 1 M of yearly revenue, by registration; above it Stability AI's own licence is needed")
_FLUX_DEV = Terms(NO, "The model is for non-commercial use; whether its pictures may be sold, its owner's licence and page have to say")

_BY_KEY = {
    **dict.fromkeys(("cc0-1.0", "cc0", "apache-2.0", "apache", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "unlicense", "wtfpl", "isc",
                     "public-domain"), _FREE),
    **dict.fromkeys(("gpl-3.0", "gpl-3.0-or-later", "gpl-2.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "fair-ai-public-license-1.0-sd",
                     "faipl-1.0-sd"), _COPYLEFT),
    **dict.fromkeys(("creativeml-openrail-m", "creativeml-openrail++-m", "creativeml-open-rail++-m", "openrail", "openrail-m", "openrail++",
                     "openrail++-m", "bigscience-openrail-m", "bigscience-bloom-rail-1.0", "bigcode-openrail-m"), _RAIL),
    **dict.fromkeys(("cc-by-4.0", "cc-by-3.0", "cc-by-2.0"), Terms(CONDITIONS, "Its author has to be named")),
    **dict.fromkeys(("cc-by-sa-4.0", "cc-by-sa-3.0"),
                    Terms(CONDITIONS, "Its author has to be named, and what derives from it be shared alike")),
    "cc-by-nd-4.0": Terms(CONDITIONS, "Its author has to be named, and nothing derived from it may be shared: read it"),
    **dict.fromkeys(("cc-by-nc-4.0", "cc-by-nc-3.0", "cc-by-nc-2.0", "cc-by-nc-sa-4.0", "cc-by-nc-sa-3.0", "cc-by-nc-nd-4.0",
                     "cc-by-nc-nd-3.0", "sai-nc-community", "stabilityai-nc-research-community",
                     "stabilityai-non-commercial-research-community",
                     "stable-cascade-nc-community", "stable-video-diffusion-nc-community"), _NON_COMMERCIAL),
    **dict.fromkeys(("stabilityai-ai-community", "stability-ai-community", "stabilityai-community",
                     "stability-ai-community:-free-below-us$-1-m-yearly-revenue"), _STABILITY),
    **dict.fromkeys(("flux-1-dev-non-commercial-license", "flux-1-dev-non-commercial", "flux-dev-non-commercial-license",
                     "flux.1-[dev]-non-commercial", "flux.1-[dev]-non-commercial-license", "flux-non-commercial-license",
                     "flux-dev-non-commercial"), _FLUX_DEV),
}


def terms_of(licence: str) -> Terms:
    """What the licence of that name says of commercial use. One that is not in the table is NO where its name itself says that it is
    non-commercial, else READ."""
    key = Licence(licence).key
    if not key or key in ("other", "unknown", "none"):
        return UNKNOWN
    found = _BY_KEY.get(key)
    if found is not None:
        return found
    return _NON_COMMERCIAL if "non-commercial" in key or "noncommercial" in key or "-nc-" in f"-{key}-" else _NOT_LISTED


def strictest(found: list[Terms]) -> Terms:
    """The terms that bind most, where a picture owes to several nets."""
    order = (NO, READ, CONDITIONS, YES)
    return min(found, key=lambda one: order.index(one.commercial), default=UNKNOWN)
