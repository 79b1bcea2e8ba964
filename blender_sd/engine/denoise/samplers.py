"""Make the diffusers scheduler that stands for the artist's sampler and fits the model."""
from __future__ import annotations

import inspect
from typing import Any

import diffusers
from diffusers.schedulers import KarrasDiffusionSchedulers

from ...core.samplers import SAMPLERS, Sampler

# The settings of a model's own scheduler about *how to sample* must not leak into the sampler that the artist chose;
# those about the noise that the model was trained with (betas, prediction_type, timestep_spacing …) must be kept.
_NEUTRAL = {
    "use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False, "use_lu_lambdas": False,
    "clip_sample": False, "thresholding": False,  # latents, unlike pixels, have no range [-1, 1]
}
_FOREIGN = ("algorithm_type", "solver_type", "solver_order", "lower_order_final", "final_sigmas_type",
            "noise_sampler_seed",
            "interpolation_type", "skip_prk_steps", "original_inference_steps")
# TCD and LCM choose their steps among the teacher's; set_timesteps refuses more steps than that.
_TEACHER_STEPS = 50
# Schedulers for the diffusion of Stable Diffusion 1, 2 and XL, which can replace each other.
_FAMILY = {member.name for member in KarrasDiffusionSchedulers} | {"LCMScheduler", "TCDScheduler"}


def build(own: Any, request_sampler: str, steps: int, seed: int) -> tuple[Any, str]:
    """Return a fresh scheduler for one picture, and a note if the choice could not be honoured ("" otherwise).

    Models trained for flow matching (SD 3, Flux, Z-Image …) keep their own: the other samplers' noise levels would mean
    nothing to them.

    Args:
        own: The model's scheduler as loaded; it is never changed.
        request_sampler: The id of the chosen sampler (`core.samplers`).
        steps: Number of steps.
        seed: The picture's seed, for samplers that draw noise of their own.
    """
    sampler = SAMPLERS[request_sampler]
    target = getattr(diffusers, sampler.scheduler)
    if not _exchangeable(own):
        fresh = type(own).from_config(own.config)
        if sampler.scheduler == "EulerDiscreteScheduler" and "Euler" in type(own).__name__:
            return fresh, ""
        return fresh, f"This model only works with its own sampler, so '{sampler.label}' was not used."
    return target.from_config(_config(own, target), **_options(target, sampler, steps, seed)), ""


def _exchangeable(own: Any) -> bool:
    flow = own.config.get("prediction_type") == "flow_prediction" or own.config.get("use_flow_sigmas")
    return type(own).__name__ in _FAMILY and not flow


def _config(own: Any, target: type) -> dict[str, Any]:
    config = {key: value for key, value in own.config.items() if not key.startswith("_") and key not in _FOREIGN}
    if type(own).__name__ != target.__name__ and "set_alpha_to_one" not in config:
        config["set_alpha_to_one"] = False  # Stable Diffusion's convention; DDIM's default is for pixel space
    return config


def _options(target: type, sampler: Sampler, steps: int, seed: int) -> dict[str, Any]:
    known = inspect.signature(target.__init__).parameters
    options = {key: value for key, value in _NEUTRAL.items() if key in known}
    if "noise_sampler_seed" in known:
        options["noise_sampler_seed"] = seed  # it would draw a seed of its own
    if "original_inference_steps" in known:
        options["original_inference_steps"] = max(_TEACHER_STEPS, steps)
    return {**options, **sampler.options}
