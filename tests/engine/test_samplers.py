"""The sampler table against diffusers: each runs, is reproducible, and leaves the model's own noise as trained."""
from __future__ import annotations

import functools

import diffusers
import numpy as np
import pytest

from blender_sd.engine.denoise import samplers
from blender_sd.core.samplers import SAMPLERS
from tests.support import tiny_models

NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 4])
def test_every_sampler_paints_the_same_picture_twice(engine, sd, name, steps):
    one, two, other = (np.asarray(
        engine.generate("brick", seed=seed, steps=steps, size=(32, 32), model=sd, sampler=name)[0])
                       for seed in (5, 5, 6))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_restyles(engine, sd, name):
    source = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    one, two = (np.asarray(engine.restyle(source, "brick", seed=5, steps=4, strength=0.5, model=sd, sampler=name)[0])
                for _ in range(2))
    assert np.array_equal(one, two) and not np.array_equal(one, source)


def test_different_samplers_paint_different_pictures(engine, sd):
    painted = {
        name: engine.generate("brick", seed=5, steps=4, size=(32, 32), model=sd, sampler=name)[0].tobytes()
        for name in SAMPLERS}
    # at so few steps multistep ones of different orders may agree
    assert len(set(painted.values())) >= len(SAMPLERS) - 3


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_the_model_was_trained_with_is_kept(name):
    own = diffusers.DDIMScheduler(**NOISE, prediction_type="v_prediction", rescale_betas_zero_snr=False, steps_offset=1)
    before = dict(own.config)
    built, note = samplers.build(own, name, 10, 3)
    assert not note
    assert type(built).__name__ == SAMPLERS[name].scheduler
    assert built.config.prediction_type == "v_prediction"
    assert built.config.beta_schedule == "scaled_linear" and built.config.beta_end == 0.012
    assert dict(own.config) == before
    assert samplers.build(own, name, 10, 3)[0] is not built


def test_v_prediction_changes_the_picture(engine, sd, models):
    folder = str(tiny_models.build_tiny_sd(models / "sd_v", prediction_type="v_prediction"))
    one, two = (engine.generate("brick", seed=5, steps=4, size=(32, 32), model=path)[0].tobytes()
                for path in (sd, folder))
    assert one != two


def test_the_models_own_habits_do_not_leak_into_the_artists_choice():
    own = diffusers.DPMSolverMultistepScheduler(**NOISE, use_karras_sigmas=True, algorithm_type="sde-dpmsolver++",
                                                solver_order=3)
    plain, _ = samplers.build(own, "dpmpp_2m", 10, 0)
    assert not plain.config.use_karras_sigmas
    assert plain.config.algorithm_type == "dpmsolver++" and plain.config.solver_order == 2
    assert samplers.build(own, "dpmpp_2m_karras", 10, 0)[0].config.use_karras_sigmas


def test_latents_are_never_clipped_as_pixels_are():
    own = diffusers.EulerDiscreteScheduler(**NOISE)
    for name in ("ddim", "lcm", "tcd"):
        assert samplers.build(own, name, 10, 0)[0].config.clip_sample is False


@pytest.mark.parametrize("name", ["euler_trailing", "euler_a_trailing", "ddim_trailing"])
def test_sgm_uniform_begins_with_pure_noise(name):
    own = diffusers.EulerDiscreteScheduler(**NOISE, timestep_spacing="leading", steps_offset=1)
    built, _ = samplers.build(own, name, 4, 0)
    built.set_timesteps(4)
    assert built.timesteps.tolist() == [999, 749, 499, 249]


def test_tcd_adds_the_fresh_noise_that_its_authors_chose(engine, sd, monkeypatch):
    eta, own = [], diffusers.TCDScheduler.step

    @functools.wraps(own)  # pipelines ask its signature
    def step(self, *args, **options):
        eta.append(options["eta"])
        return own(self, *args, **options)

    monkeypatch.setattr(diffusers.TCDScheduler, "step", step)
    engine.generate("brick", seed=5, steps=2, size=(32, 32), model=sd, sampler="tcd")
    assert eta == [0.3, 0.3]


def test_the_seed_reaches_samplers_that_draw_their_own_noise():
    own = diffusers.DDIMScheduler(**NOISE)
    assert samplers.build(own, "dpmpp_sde", 10, 77)[0].noise_sampler_seed == 77


def test_more_steps_than_the_teacher_had_still_run(engine, sd):
    assert engine.generate("brick", seed=1, steps=60, size=(16, 16), model=sd, sampler="lcm")


def test_flow_matching_models_keep_their_scheduler():
    own = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    built, note = samplers.build(own, "dpmpp_2m", 10, 0)
    assert type(built) is type(own) and built is not own and built.config.shift == 3.0 and "DPM++ 2M" in note
    assert samplers.build(own, "euler", 10, 0)[1] == samplers.build(own, "euler_trailing", 10, 0)[1] == ""
    flow = diffusers.DPMSolverMultistepScheduler(**NOISE, use_flow_sigmas=True, prediction_type="flow_prediction")
    assert type(samplers.build(flow, "ddim", 10, 0)[0]) is type(flow)
