"""Summarise in a word what well-known model licences say about commercial use.

This is not legal advice; the licence counts.

Names are those in model cards of the Hugging Face hub (https://huggingface.co/docs/hub/repositories-licenses) and those
that people write; they are compared by `Licence.key`. Sources of the table: choosealicense.com and creativecommons.org
for the software and Creative Commons licences; CreativeML OpenRAIL-M
(https://huggingface.co/spaces/CompVis/stable-diffusion-license: claims no right in the output, whose use must keep to
Attachment A) and OpenRAIL++-M (in stabilityai/stable-diffusion-xl-base-1.0); Stability AI's Community License
(https://stability.ai/community-license-agreement: free below US$ 1 M of yearly revenue) and its non-commercial research
licences; the FLUX.1 [dev] Non-Commercial License (https://bfl.ai/legal: the model is for non-commercial purposes; its
text and its owner's statements about outputs differ, so a person has to decide). People have to read a licence that is
not in the table.
"""
from __future__ import annotations

import re
from dataclasses import dataclass


YES, CONDITIONS, NO, READ = "yes", "conditions", "no", "read it"


@dataclass(frozen=True)
class Licence:
    """Name a licence.

    Attributes:
        name: Its owner's name for it, such as "CC0-1.0" or "creativeml-openrail-m"; "" if unknown.
        link: Where it can be read.
    """

    name: str = ""
    link: str = ""

    @property
    def key(self) -> str:
        """The form in which names of licences are compared: without case, spaces, underscores and "SPDX:"."""
        return re.sub(r"[\s_]+", "-", self.name.strip().casefold().removeprefix("spdx:"))


@dataclass(frozen=True)
class Terms:
    """Summarise a licence's terms.

    Attributes:
        commercial: Whether pictures may be used commercially: YES, CONDITIONS, NO, or READ if it is unknown.
        text: The reason, in one line.
    """

    commercial: str
    text: str


UNKNOWN = Terms(READ, "Unknown licence: find it and read it")
_NOT_LISTED = Terms(READ, "This licence is not among those known here: read it")
_FREE = Terms(YES, "No condition on pictures")
_RAIL = Terms(CONDITIONS, "Allowed within the uses that the licence permits (its attachment lists those forbidden)")
_COPYLEFT = Terms(YES, "Its conditions are on the model's own copies, not on pictures")
_NON_COMMERCIAL = Terms(NO, "Non-commercial use only")
_STABILITY = Terms(
    CONDITIONS, "Free below US$ 1 M of yearly revenue, by registration; above it Stability AI's own licence is needed"
)
_FLUX_DEV = Terms(
    NO,
    "The model is for non-commercial use; whether its pictures may be sold, its owner's licence and page have to say",
)

_BY_KEY = {
    **dict.fromkeys(("cc0-1.0", "cc0", "apache-2.0", "apache", "mit", "bsd", "bsd-2-clause", "bsd-3-clause",
                     "unlicense", "wtfpl", "isc",
                     "public-domain"), _FREE),
    **dict.fromkeys(("gpl-3.0", "gpl-3.0-or-later", "gpl-2.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0",
                     "fair-ai-public-license-1.0-sd",
                     "faipl-1.0-sd"), _COPYLEFT),
    **dict.fromkeys(("creativeml-openrail-m", "creativeml-openrail++-m", "creativeml-open-rail++-m", "openrail",
                     "openrail-m", "openrail++",
                     "openrail++-m", "bigscience-openrail-m", "bigscience-bloom-rail-1.0", "bigcode-openrail-m"),
                     _RAIL),
    **dict.fromkeys(("cc-by-4.0", "cc-by-3.0", "cc-by-2.0"), Terms(CONDITIONS, "Its author has to be named")),
    **dict.fromkeys(("cc-by-sa-4.0", "cc-by-sa-3.0"),
                    Terms(CONDITIONS, "Its author has to be named, and what derives from it be shared alike")),
    "cc-by-nd-4.0": Terms(CONDITIONS, "Its author has to be named, and nothing derived from it may be shared: read it"),
    **dict.fromkeys(("cc-by-nc-4.0", "cc-by-nc-3.0", "cc-by-nc-2.0", "cc-by-nc-sa-4.0", "cc-by-nc-sa-3.0",
                     "cc-by-nc-nd-4.0",
                     "cc-by-nc-nd-3.0", "sai-nc-community", "stabilityai-nc-research-community",
                     "stabilityai-non-commercial-research-community",
                     "stable-cascade-nc-community", "stable-video-diffusion-nc-community"), _NON_COMMERCIAL),
    **dict.fromkeys(("stabilityai-ai-community", "stability-ai-community", "stabilityai-community",
                     "stability-ai-community:-free-below-us$-1-m-yearly-revenue"), _STABILITY),
    **dict.fromkeys(("flux-1-dev-non-commercial-license", "flux-1-dev-non-commercial",
                     "flux-dev-non-commercial-license",
                     "flux.1-[dev]-non-commercial", "flux.1-[dev]-non-commercial-license",
                     "flux-non-commercial-license",
                     "flux-dev-non-commercial"), _FLUX_DEV),
}


def terms_of(licence: str) -> Terms:
    """Return what the licence of that name says about commercial use.

    A licence that is not in the table is NO if its name contains "non-commercial" or the like; otherwise READ.
    """
    key = Licence(licence).key
    if not key or key in ("other", "unknown", "none"):
        return UNKNOWN
    listed = _BY_KEY.get(key)
    if listed is not None:
        return listed
    return _NON_COMMERCIAL if "non-commercial" in key or "noncommercial" in key or "-nc-" in f"-{key}-" else _NOT_LISTED


def strictest(terms: list[Terms]) -> Terms:
    """Return the strictest of several terms, for a picture that owes to several nets."""
    strictness = (NO, READ, CONDITIONS, YES)
    return min(terms, key=lambda each: strictness.index(each.commercial), default=UNKNOWN)
