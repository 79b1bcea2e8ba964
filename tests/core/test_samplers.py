"""Samplers by the names that people know."""
from __future__ import annotations

import pytest

from blender_sd.core.samplers import SAMPLERS, closest_id, id_of


@pytest.mark.parametrize(("name", "expected"), [
    *((sampler.label, sampler.id) for sampler in SAMPLERS.values()), *((sampler.a1111, sampler.id) for sampler in SAMPLERS.values()),  # noqa: E501
    *((sampler.id, sampler.id) for sampler in SAMPLERS.values()),
    ("euler_ancestral", "euler_a"), ("k_euler_ancestral", "euler_a"), ("Euler Ancestral", "euler_a"), ("k_euler_a", "euler_a"),  # noqa: E501
    ("dpmpp_2m_sde_gpu", "dpmpp_2m_sde"), ("dpmpp_2m_sde", "dpmpp_2m_sde"), ("k_dpmpp_2m", "dpmpp_2m"), ("DPM++ 2M v2", "dpmpp_2m"),  # noqa: E501
    ("uni_pc", "unipc"), ("uni_pc_bh2", "unipc"), ("PLMS", "pndm"), ("dpm++ 2m karras", "dpmpp_2m_karras"), ("DPMPP_SDE_GPU", "dpmpp_sde"),  # noqa: E501
    ("nonsense", "nonsense"), ("", ""), ("Heun Karras", "Heun Karras"),
])
def test_names_of_any_program_are_known(name, expected):
    assert id_of(name) == expected


@pytest.mark.parametrize(("name", "schedule", "expected"), [
    ("DPM++ 2M", "Karras", ("dpmpp_2m_karras", True)), ("DPM++ 2M SDE", "karras", ("dpmpp_2m_sde_karras", True)),
    ("dpmpp_3m_sde_gpu", "karras", ("dpmpp_3m_sde_karras", True)), ("DPM++ SDE", "Karras", ("dpmpp_sde_karras", True)),
    ("Euler a", "Automatic", ("euler_a", True)), ("euler", "normal", ("euler", True)), ("Euler", "SGM Uniform", ("euler_trailing", True)),  # noqa: E501
    ("euler_ancestral", "sgm_uniform", ("euler_a_trailing", True)), ("Heun", "Karras", ("heun", False)), ("Restart", "", ("", True)),  # noqa: E501
    ("DPM++ 2M SDE Karras", "", ("dpmpp_2m_sde_karras", True)), ("Heun Karras", "", ("heun", False)),
])
def test_noise_levels_choose_the_sampler_that_has_them(name, schedule, expected):
    assert closest_id(name, schedule) == expected
