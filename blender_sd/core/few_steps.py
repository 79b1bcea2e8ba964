"""Recognise distilled models and LoRAs, which paint in a few steps, and know the settings that their makers recommend.

    LCM                   arXiv:2310.04378, 2311.05556; cards of SimianLuo/LCM_Dreamshaper_v7, lcm-lora-sdv1-5
    Turbo                 arXiv:2311.17042; cards of stabilityai/sd-turbo, sdxl-turbo: 1 to 4 steps
    SDXL-Lightning        arXiv:2402.13929; card of ByteDance/SDXL-Lightning
    TCD                   arXiv:2402.19159; card of h1t/TCD-SD15-LoRA
    Hyper-SD              arXiv:2404.13686; card of ByteDance/Hyper-SD
    PCM                   arXiv:2405.18407; card of wangfuyun/PCM_Weights
    DMD2                  arXiv:2405.14867; card of tianweiy/DMD2
    Flash Diffusion       arXiv:2406.02347; cards of jasperai/flash-sd, flash-sdxl
    Qwen-Image-Lightning  card of lightx2v/Qwen-Image-Lightning
    FLUX.1-Turbo          card of alimama-creative/FLUX.1-Turbo-Alpha

Cards that switch guidance off say 0; here that is 1. The kind is read from the file's name or from the title in its
metadata, since its weights look like any other's. Words that are also ordinary ones (lightning, flash) count only
beside a number of steps or a family.
"""
from __future__ import annotations

import re
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class FewSteps:
    """Describe a kind of few-step model or LoRA and how to use it.

    Attributes:
        name: What people call it.
        steps: The recommended number of steps.
        guidance: The recommended guidance; 1 is off.
        sampler: The id of the recommended sampler.
        weight: The recommended weight of a LoRA.
        side: Pixels that it was trained at; 0 for those of its family.
    """

    name: str
    steps: int
    guidance: float
    sampler: str
    weight: float = 1.0
    side: int = 0


EMBEDDED = FewSteps("LCM", 4, 8.0, "lcm")  # its UNet takes guidance as an input and needs no second pass
_LCM = FewSteps("LCM", 4, 1.0, "lcm")
_TCD = FewSteps("TCD", 4, 1.0, "tcd")
_LIGHTNING = FewSteps("Lightning", 4, 1.0, "euler_trailing")
_TURBO = FewSteps("Turbo", 4, 1.0, "euler_a_trailing", side=512)
_FAMILY = r"\b(sd|sd ?15|sd ?xl|xl) ?"
# Tried in this order, on names in lower case with spaces for punctuation.
_NAMES = (
    (r"\bhyper flux", FewSteps("Hyper-SD", 8, 3.5, "euler", weight=0.125)),
    (r"\bhyper sd ?3", FewSteps("Hyper-SD", 8, 5.0, "euler", weight=0.125)),
    (r"\bhyper sd.* cfg\b", FewSteps("Hyper-SD", 8, 5.0, "ddim_trailing")),
    (r"\bhyper sd.*\b1 ?steps?\b", FewSteps("Hyper-SD", 1, 1.0, "tcd")),
    (r"\bhyper sd", FewSteps("Hyper-SD", 8, 1.0, "ddim_trailing")),
    (r"\bqwen\b.*\blightning\b", FewSteps("Qwen-Image-Lightning", 8, 1.0, "euler")),
    (r"\bflux.*\bturbo\b", FewSteps("FLUX.1-Turbo", 8, 3.5, "euler")),
    (_FAMILY + r"turbo", _TURBO),
    (_FAMILY + r"lightning|\blightning\b.*\d ?steps?\b|\d ?steps?\b.*\blightning\b", _LIGHTNING),
    (r"\bpcm\b.*\bnormalcfg\b", FewSteps("PCM", 8, 3.0, "ddim_trailing")),
    (r"\bpcm\b.*\blcmlike\b", FewSteps("PCM", 4, 1.0, "lcm")),
    (r"\bpcm\b.*\bsmallcfg\b|\bpcm\b.*\d ?steps?\b", FewSteps("PCM", 4, 1.0, "ddim_trailing")),
    (r"\bdmd ?2\b", FewSteps("DMD2", 4, 1.0, "lcm")),
    (r"\bflash ?(sd|sd ?xl)\b", FewSteps("Flash Diffusion", 4, 1.0, "lcm")),
    (r"\btcd\b", _TCD),
    (r"\blcm\b", _LCM),
)
_BARE = ((r"\bturbo\b", _TURBO), (r"\blightning\b", _LIGHTNING))
_SCHEDULERS = {"LCMScheduler": _LCM, "TCDScheduler": _TCD}
_STEPS = re.compile(r"\b(\d{1,2}) ?steps?\b")


def named(*names: str, trailing: bool = False) -> FewSteps | None:
    """Return the kind that the first telling name stands for, with the number of steps in that name, or None.

    Args:
        names: Names and titles, the most telling first.
        trailing: Whether the scheduler beside them begins at the last timestep, as few-step models do, so that the bare
            word "turbo" or "lightning" is enough.
    """
    for name in names:
        words = re.sub(r"[\W_]+", " ", name.lower())
        for pattern, kind in (*_NAMES, *(_BARE if trailing else ())):
            if re.search(pattern, words):
                steps = _STEPS.search(words)
                return replace(kind, steps=int(steps[1])) if steps and int(steps[1]) else kind
    return None


def configured(name: str, embeds_guidance: bool, scheduler: str, trailing: bool) -> FewSteps | None:
    """Return the kind of a model folder, or None if it is no few-step model.

    Args:
        name: The folder's name.
        embeds_guidance: Whether its UNet takes guidance as an input.
        scheduler: The class of its scheduler.
        trailing: Whether that scheduler begins at the last timestep.
    """
    return EMBEDDED if embeds_guidance else named(name, trailing=trailing) or _SCHEDULERS.get(scheduler)
