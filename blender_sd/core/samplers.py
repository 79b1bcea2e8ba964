"""List the samplers, in one table from the artist's names to diffusers' scheduler classes and their options.

Classes are named by strings, so that the panel can list them without torch. The engine builds `getattr(diffusers,
sampler.scheduler).from_config(pipe.scheduler.config, **sampler.options)`.

"SGM Uniform" is ComfyUI's and A1111's name for steps that begin at the last timestep of the training schedule and are
spread evenly; diffusers calls it trailing (Lin et al. 2023, arXiv:2305.08891). Few-step models need it.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sampler:
    """Describe a sampler.

    Attributes:
        id: Its name in files, which never changes.
        label: Its name in menus.
        scheduler: Its class in diffusers.
        tip: What it is good for.
        a1111: Its name in A1111's PNG parameters.
        options: Keyword arguments for the scheduler's config.
        eta: How much fresh noise each step adds, if the scheduler takes it.
    """

    id: str
    label: str
    scheduler: str
    tip: str
    a1111: str
    options: Mapping[str, object] = field(default_factory=dict)
    eta: float = 0.0


_TRAILING = {"timestep_spacing": "trailing"}

_SDE = {"algorithm_type": "sde-dpmsolver++"}

_TABLE = (
    Sampler("dpmpp_2m", "DPM++ 2M", "DPMSolverMultistepScheduler",
            "Fast and clean; a good first choice at 15 to 30 steps", "DPM++ 2M"),
    Sampler("dpmpp_2m_karras", "DPM++ 2M Karras", "DPMSolverMultistepScheduler",
            "DPM++ 2M with noise levels that favour fine detail", "DPM++ 2M Karras", {"use_karras_sigmas": True}),
    Sampler("dpmpp_sde", "DPM++ SDE", "DPMSolverSDEScheduler",
            "Adds fresh noise at every step: rich texture, twice the time", "DPM++ SDE"),
    Sampler("euler", "Euler", "EulerDiscreteScheduler", "Simple and predictable", "Euler"),
    Sampler("euler_a", "Euler a", "EulerAncestralDiscreteScheduler",
            "Adds fresh noise; the picture keeps changing with more steps", "Euler a"),
    Sampler("euler_trailing", "Euler SGM Uniform", "EulerDiscreteScheduler",
            "Euler, starting from pure noise: for Lightning, 2 to 8 steps", "Euler SGM Uniform", _TRAILING),
    Sampler("euler_a_trailing", "Euler a SGM Uniform", "EulerAncestralDiscreteScheduler",
            "Euler a, starting from pure noise: for Turbo, 1 to 4 steps", "Euler a SGM Uniform", _TRAILING),
    Sampler("heun", "Heun", "HeunDiscreteScheduler", "More exact than Euler, twice the time", "Heun"),
    Sampler("ddim", "DDIM", "DDIMScheduler", "The classic; exact at many steps", "DDIM"),
    Sampler("ddim_trailing", "DDIM SGM Uniform", "DDIMScheduler",
            "DDIM, starting from pure noise: for Hyper-SD and PCM, 1 to 8 steps", "DDIM SGM Uniform", _TRAILING),
    Sampler("unipc", "UniPC", "UniPCMultistepScheduler", "Good pictures in about 10 steps", "UniPC"),
    Sampler("lms", "LMS", "LMSDiscreteScheduler", "Linear multi-step; smooth at 20 steps and more", "LMS"),
    Sampler("pndm", "PNDM", "PNDMScheduler", "The default of the first Stable Diffusion releases", "PLMS",
            {"skip_prk_steps": True}),
    Sampler("deis", "DEIS", "DEISMultistepScheduler", "Exponential integrator; good at 10 to 20 steps", "DEIS"),
    Sampler("lcm", "LCM", "LCMScheduler", "For LCM models and LoRAs only: 4 to 8 steps, guidance near 1", "LCM"),
    Sampler("tcd", "TCD", "TCDScheduler", "For TCD models and LoRAs only: 4 to 8 steps, sharper than LCM", "TCD",
            eta=0.3),  # the authors' choice: https://huggingface.co/h1t/TCD-SD15-LoRA
    # New ones at the end: .blend files hold the place of the chosen one.
    Sampler("dpmpp_2m_sde", "DPM++ 2M SDE", "DPMSolverMultistepScheduler",
            "DPM++ 2M with fresh noise at every step: richer detail", "DPM++ 2M SDE", _SDE),
    Sampler("dpmpp_2m_sde_karras", "DPM++ 2M SDE Karras", "DPMSolverMultistepScheduler",
            "DPM++ 2M SDE with noise levels that favour fine detail", "DPM++ 2M SDE Karras",
            {**_SDE, "use_karras_sigmas": True}),
    Sampler("dpmpp_3m_sde", "DPM++ 3M SDE", "DPMSolverMultistepScheduler",
            "Of third order, with fresh noise; best at 30 steps and more", "DPM++ 3M SDE", {**_SDE, "solver_order": 3}),
    Sampler("dpmpp_3m_sde_karras", "DPM++ 3M SDE Karras", "DPMSolverMultistepScheduler",
            "DPM++ 3M SDE with noise levels that favour fine detail", "DPM++ 3M SDE Karras",
            {**_SDE, "solver_order": 3, "use_karras_sigmas": True}),
    Sampler("dpmpp_sde_karras", "DPM++ SDE Karras", "DPMSolverSDEScheduler",
            "DPM++ SDE with noise levels that favour fine detail", "DPM++ SDE Karras", {"use_karras_sigmas": True}),
)

SAMPLERS: Mapping[str, Sampler] = {sampler.id: sampler for sampler in _TABLE}
DEFAULT_SAMPLER = "dpmpp_2m"


# What other programs call them, as `_key` writes it.
_ALIASES = {
    "eulerancestral": "euler_a",
    "ancestraleuler": "euler_a",
    "eulera": "euler_a",
    "plms": "pndm",
    "ddimuniform": "ddim",
    "dpmsolverpp": "dpmpp_2m",
    "dpmpp2mv2": "dpmpp_2m",
    "dpmsolversde": "dpmpp_sde",
    "unipcbh2": "unipc",
    "unipcbh1": "unipc",
    "dpmpp2msdeheun": "dpmpp_2m_sde",
    "dpmppsdegpu": "dpmpp_sde",}
# Noise levels that names may end in, and those that samplers of their own stand for.
_ENDINGS = ("karras", "sgmuniform", "trailing", "polyexponential", "exponential", "ddimuniform", "normal", "simple",
            "beta", "kloptimal", "alignyoursteps", "linearquadratic")
_SCHEDULES = {"karras": "karras", "sgmuniform": "trailing", "trailing": "trailing"}
_PLAIN = frozenset(("", "automatic", "normal", "simple", "uniform", "discrete", "default", "native"))


def _key(name: str) -> str:
    """Return what names of samplers are compared by: "k_dpmpp_2m_sde_gpu", "DPM++ 2M SDE" and "dpmpp 2m sde" are
    one."""
    key = "".join(sign for sign in name.casefold().replace("++", "pp").removeprefix("k_") if sign.isalnum())
    return key.removesuffix("gpu").replace("eulerancestral", "eulera")


def id_of(name: str) -> str:
    """Return the id of the sampler with this label or id, or that another program calls so, regardless of case and
    punctuation; `name` itself if there is none."""
    known, exact = closest_id(name)
    return known if known and exact else name


def closest_id(name: str, schedule: str = "") -> tuple[str, bool]:
    """Return the id of the sampler that another program calls `name`, with the noise levels `schedule` ("Karras"), and
    whether it is just that one: where there is none with these noise levels, it is the plain one; "" where there is
    none at all."""
    key, levels = _key(name), _key(schedule)
    for ending in _ENDINGS:
        if key.endswith(ending) and key not in _KEYS and key not in _ALIASES:
            key, levels = key.removesuffix(ending), ending
    plain = _KEYS.get(key) or _ALIASES.get(key, "")
    if not plain or levels in _PLAIN:
        return plain, True
    special = f"{plain}_{_SCHEDULES.get(levels, '-')}"
    return (special, True) if special in SAMPLERS else (plain, False)


_KEYS = {_key(name): sampler.id for sampler in _TABLE for name in (sampler.id, sampler.label, sampler.a1111)}
