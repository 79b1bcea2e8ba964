"""The samplers: one table from the artist's names to diffusers' scheduler classes and their options.

Classes are named by strings, so that the panel can list them without torch. The engine builds
`getattr(diffusers, sampler.scheduler).from_config(pipe.scheduler.config, **sampler.options)`.

"SGM Uniform" is ComfyUI's and A1111's name for steps that begin at the last timestep that the model was trained with and are spread
evenly; diffusers calls it trailing (Lin et al. 2023, arXiv:2305.08891). Few-step models need it.
"""
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Sampler:
    """`id` is stored in files and never changes; `label` and `tip` are shown; `a1111` is the name in PNG parameters. `eta`: how much
    fresh noise each step adds, where the scheduler takes it."""

    id: str
    label: str
    scheduler: str
    tip: str
    a1111: str
    options: Mapping[str, object] = field(default_factory=dict)
    eta: float = 0.0


_TRAILING = {"timestep_spacing": "trailing"}

_TABLE = (
    Sampler("dpmpp_2m", "DPM++ 2M", "DPMSolverMultistepScheduler", "Fast and clean; a good first choice at 15 to 30 steps", "DPM++ 2M"),
    Sampler("dpmpp_2m_karras", "DPM++ 2M Karras", "DPMSolverMultistepScheduler", "DPM++ 2M with noise levels that favour fine detail",
            "DPM++ 2M Karras", {"use_karras_sigmas": True}),
    Sampler("dpmpp_sde", "DPM++ SDE", "DPMSolverSDEScheduler", "Adds fresh noise at every step: rich texture, twice the time", "DPM++ SDE"),
    Sampler("euler", "Euler", "EulerDiscreteScheduler", "Simple and predictable", "Euler"),
    Sampler("euler_a", "Euler a", "EulerAncestralDiscreteScheduler", "Adds fresh noise; the picture keeps changing with more steps", "Euler a"),
    Sampler("euler_trailing", "Euler SGM Uniform", "EulerDiscreteScheduler", "Euler, starting from pure noise: for Lightning, 2 to 8 steps",
            "Euler SGM Uniform", _TRAILING),
    Sampler("euler_a_trailing", "Euler a SGM Uniform", "EulerAncestralDiscreteScheduler",
            "Euler a, starting from pure noise: for Turbo, 1 to 4 steps", "Euler a SGM Uniform", _TRAILING),
    Sampler("heun", "Heun", "HeunDiscreteScheduler", "More exact than Euler, twice the time", "Heun"),
    Sampler("ddim", "DDIM", "DDIMScheduler", "The classic; exact at many steps", "DDIM"),
    Sampler("ddim_trailing", "DDIM SGM Uniform", "DDIMScheduler", "DDIM, starting from pure noise: for Hyper-SD and PCM, 1 to 8 steps",
            "DDIM SGM Uniform", _TRAILING),
    Sampler("unipc", "UniPC", "UniPCMultistepScheduler", "Good pictures in about 10 steps", "UniPC"),
    Sampler("lms", "LMS", "LMSDiscreteScheduler", "Linear multi-step; smooth at 20 steps and more", "LMS"),
    Sampler("pndm", "PNDM", "PNDMScheduler", "The default of the first Stable Diffusion releases", "PLMS", {"skip_prk_steps": True}),
    Sampler("deis", "DEIS", "DEISMultistepScheduler", "Exponential integrator; good at 10 to 20 steps", "DEIS"),
    Sampler("lcm", "LCM", "LCMScheduler", "For LCM models and LoRAs only: 4 to 8 steps, guidance near 1", "LCM"),
    Sampler("tcd", "TCD", "TCDScheduler", "For TCD models and LoRAs only: 4 to 8 steps, sharper than LCM", "TCD",
            eta=0.3),  # the authors' choice: https://huggingface.co/h1t/TCD-SD15-LoRA
)

SAMPLERS: Mapping[str, Sampler] = {sampler.id: sampler for sampler in _TABLE}
_LABELS = {sampler.label.casefold(): sampler.id for sampler in _TABLE}
DEFAULT_SAMPLER = "dpmpp_2m"


def id_of(name: str) -> str:
    """The id of the sampler that a person calls so, by its label or id; `name` itself where there is none."""
    return _LABELS.get(name.strip().casefold(), name)
