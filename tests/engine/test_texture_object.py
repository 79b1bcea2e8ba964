"""Whole objects, painted from every side: every family, agreement that adds nothing, masks, memory, cancel."""
from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from blender_sd.core.errors import InvalidRequest, OutOfMemory, SourceUnusable
from blender_sd.core.roles import BASE_COLOUR, SHEET
from blender_sd.core.samplers import SAMPLERS
from blender_sd.core.tasks import Bake
from blender_sd.engine.denoise import latents, samplers
from blender_sd.engine.denoise.agreeing import SurfaceBlend, SurfaceNoise, agreeing, packed, unpacked
from blender_sd.engine.tasks.bake import bake
from blender_sd.geometry import agreement, cameras, memory
from blender_sd.geometry.surface import Surface
from blender_sd.library import control_groups
from blender_sd.protocol.messages import Cancelled, Failed, Finished, Loading, Note, Step
from tests.support import meshes, objects

TOGETHER = ("sd", "sd2", "taesd", "sdxl", "sd3", "flux", "flux_schnell", "z_image", "qwen_image", "sana", "sana_sprint")
IN_TURN = ("flux2_klein", "flux_kontext", "flux_fill", "qwen_edit", "qwen_edit_plus", "inpaint")
FOUR = {"sides": "front,right,back,left", "more_views": 0}


@pytest.fixture
def texture(engine, families, tmp_path):
    """Textures a sphere, or `things`; returns the events."""
    def texture(name="sd", things=None, inputs=None, cancelled=lambda: False, on_event=None, **settings):
        things = things or objects.scenery(meshes.sphere(12, 24), size=128)
        events = []

        def take(event):
            events.append(event)
            if on_event:
                on_event(event)

        order = objects.order(things, families(name), str(tmp_path), inputs, **{**FOUR, **settings})
        engine.run(order, take, cancelled)
        return events

    return texture


def baked(events):
    assert isinstance(events[-1], Finished), events[-1]
    result = next(result for result in events[-1].results if result.role == BASE_COLOUR)
    with Image.open(result.path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.slow
@pytest.mark.parametrize("name", (*TOGETHER, *IN_TURN))
def test_every_family_textures_an_object(texture, name):
    events = texture(name)
    assert baked(events).std() > 1
    roles = [result.role for result in events[-1].results]
    assert sorted(roles) == sorted((BASE_COLOUR, SHEET))
    one_by_one = any("one view after another" in event.text for event in events if isinstance(event, Note))
    assert one_by_one == (name in IN_TURN)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_agreement_that_changes_nothing_gives_the_plain_step(sampler):
    def walked(agree):
        own = samplers.diffusers.DDIMScheduler(beta_schedule="scaled_linear", prediction_type="v_prediction")
        scheduler, _ = samplers.build(own, sampler, 4, 1)
        scheduler.set_timesteps(4)
        sample = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
        draw = torch.Generator().manual_seed(1)
        with agreeing(scheduler, agree, lambda value: value, lambda value: value):
            for timestep in scheduler.timesteps:
                scheduler.scale_model_input(sample, timestep)
                keywords = {"generator": torch.Generator().manual_seed(2)} if (
                    "generator" in scheduler.step.__signature__.parameters) else {}
                sample = scheduler.step(torch.randn(sample.shape, generator=draw), timestep, sample, **keywords)[0]
        return sample

    plain, same = walked(lambda x0, share: x0), walked(lambda x0, share: x0.clone())
    assert torch.allclose(plain, same, atol=1e-5)


@pytest.mark.parametrize("sampler", [name for name in SAMPLERS if name not in ("lcm", "tcd")])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_views_that_always_agree_end_on_what_they_agreed_on(sampler, prediction):
    """A wrong formula for x0 would lead elsewhere."""
    wanted = torch.full((2, 4, 8, 8), 0.3)
    own = samplers.diffusers.DDIMScheduler(beta_schedule="scaled_linear", prediction_type=prediction)
    scheduler, _ = samplers.build(own, sampler, 12, 1)
    scheduler.set_timesteps(12)
    sample = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(0)) * scheduler.init_noise_sigma
    with agreeing(scheduler, lambda x0, share: wanted, lambda value: value, lambda value: value):
        for timestep in scheduler.timesteps:
            scheduler.scale_model_input(sample, timestep)
            sample = scheduler.step(torch.zeros_like(sample), timestep, sample)[0]
    assert (sample - wanted).abs().mean() < 0.08


def test_tokens_and_planes_are_each_others_way_back():
    planes = torch.randn(2, 4, 6, 8)
    assert torch.equal(unpacked(packed(planes), 6, 8), planes)


@pytest.fixture(scope="module")
def links():
    surface = Surface(meshes.mesh(meshes.sphere(24, 48)))
    views = cameras.sides(surface, 32)
    return agreement.link(surface, views)


def test_noise_sticks_to_the_surface_and_stays_white(links):
    noise = SurfaceNoise(links).draw(4, torch.Generator().manual_seed(1))
    assert noise.mean().abs() < 0.02 and abs(noise.std() - 1) < 0.02
    assert (noise[..., 1:] * noise[..., :-1]).mean().abs() < 0.02  # neighbours do not know of each other
    flat = noise.permute(0, 2, 3, 1).reshape(-1, 4)
    linked = links.quality[:, 1] > 0
    same = (flat[links.pixel[linked, 0]] == flat[links.pixel[linked, 1]]).all(1).float().mean()
    assert same > 0.4


def test_a_blend_keeps_what_agrees_and_everything_round_it(links):
    values = torch.randn(links.views, 3, 32, 32)
    blend = SurfaceBlend(links, torch.device("cpu"))
    once = blend(values, 40.0)
    outside = torch.ones(links.views * 32 * 32, dtype=bool)
    outside[links.pixel[:, 0]] = False
    before, after = (part.permute(0, 2, 3, 1).reshape(-1, 3) for part in (values, once))
    assert torch.equal(before[outside], after[outside])
    flat = torch.full_like(values, 0.25)
    assert torch.allclose(blend(flat, 1.0), flat, atol=1e-6)


def test_views_that_agree_differ_less_than_views_painted_alone(links):
    values = torch.randn(links.views, 3, 32, 32)
    blended = SurfaceBlend(links, torch.device("cpu"))(values, 4.0)
    assert _disagreement(links, blended) < 0.5 * _disagreement(links, values)


def _disagreement(links, values):
    flat = values.permute(0, 2, 3, 1).reshape(-1, 3)
    linked = links.quality[:, 1] > 0
    return float((flat[links.pixel[linked, 0]] - flat[links.pixel[linked, 1]]).square().mean())


def test_finished_views_show_what_the_best_of_them_does(texture, monkeypatch):
    """Where one view is the best, its details stay as they were painted; elsewhere views show the same."""
    from blender_sd.engine.denoise import many_views

    before, after, pixels = [], [], []
    own = many_views.Together.agreed

    def agreed(self, pictures, check):
        before.extend(pictures)
        after.extend(own(self, pictures, check))
        pixels.append(self.pixel_links)
        return after

    monkeypatch.setattr(many_views.Together, "agreed", agreed)
    assert baked(texture(steps=2, width=128, height=128)).std() > 1
    one, other = (torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() for pictures in (before, after))
    first, second = ((SurfaceBlend(pixels[0], torch.device("cpu"))(value, many_views.SHARP) - value).square().mean()
                     for value in (one, other))
    assert second < 0.2 * first, "what agrees stays as it is"
    quality = pixels[0].quality
    best = pixels[0].pixel[quality[:, 0] > 1.1 * quality[:, 1:].max(1), 0]
    flat = [value.permute(0, 2, 3, 1).reshape(-1, 3)[best] for value in (one, other)]
    assert len(best) > 1000 and (flat[0] - flat[1]).std() < 0.1 * flat[0].std(), "only what varies slowly is levelled"


def test_the_same_seed_gives_the_same_texture_and_another_one_does_not(texture):
    first, again, other = (baked(texture(seed=seed)) for seed in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


@pytest.mark.parametrize("settings", [{}, {"variation_seed": 5, "variation_strength": 0.8}])
def test_prompts_that_change_while_painting(texture, settings):
    """The pipeline starts several times for them, which must leave the noise as it is."""
    plain = baked(texture(prompt="red wall", **settings))
    assert np.array_equal(plain, baked(texture(prompt="[red:red:0.5] wall", **settings)))
    assert not np.array_equal(plain, baked(texture(prompt="[red:blue:0.5] wall", **settings)))


def test_latents_stay_where_the_vae_works():
    """A part that is moved to the card only when it is called reports another device until then."""
    class Vae:
        device, dtype = torch.device("meta"), torch.float32
        config = SimpleNamespace(scaling_factor=0.5)

        def encode(self, values, return_dict):
            return (values[:, :3],)

    pictures = torch.rand(2, 3, 8, 8) - 0.5
    planes = latents.encoded(Vae(), list(pictures), torch.device("cpu"))
    assert planes.device.type == "cpu" and torch.allclose(planes, pictures / 2)


def test_a_mask_keeps_the_rest_bit_for_bit(texture):
    before = objects.flat((10, 200, 30), 128)
    mask = objects.flat((0, 0, 0), 128)
    mask.pixels[40:80, 30:100, :3] = 255
    after = baked(texture(inputs={"existing0": before, "mask0": mask}))
    kept = mask.pixels[..., 0] == 0
    assert (after[kept] == (10, 200, 30)).all()
    assert (after[~kept] != (10, 200, 30)).any()


def test_a_mask_that_no_view_sees_is_refused_before_painting(texture):
    events = texture(inputs={"existing0": objects.flat((9, 9, 9), 128), "mask0": objects.flat((0, 0, 0), 128)})
    assert isinstance(events[-1], Failed) and events[-1].kind == SourceUnusable.kind
    assert "mask" in events[-1].message


def test_strength_0_returns_the_texture(texture):
    before = objects.flat((120, 60, 30), 128)
    after = baked(texture(inputs={"existing0": before}, strength=0.0))
    assert np.abs(after - (120, 60, 30)).mean() < 3


def test_other_prompts_reach_their_own_object_only(texture):
    things = objects.scenery(meshes.cube((-0.6, 0, 0), 0.4), meshes.cube((0.6, 0, 0), 0.4), size=64)
    plain, changed = (texture(things=things, parts=parts) for parts in ("", '[["gold", [1]]]'))
    pairs = list(zip(*([np.asarray(Image.open(result.path).convert("RGB")) for result in events[-1].results
                        if result.role == BASE_COLOUR] for events in (plain, changed))))
    assert (pairs[0][0] == pairs[0][1]).mean() > 0.95 and (pairs[1][0] != pairs[1][1]).mean() > 0.5


def test_mirrored_textures_are_even(texture):
    """The sphere's u runs round it from +x, so that u and 0.5 − u are mirror images."""
    after = baked(texture(mirror=True, sides="front,front right,right,back right,back")).astype(float)
    columns = np.arange(4, 124)
    around = ((columns + 0.5) / 128 - 0.02) / 0.96
    turned = np.round(((0.5 - around) % 1 * 0.96 + 0.02) * 128 - 0.5).astype(int) % 128
    rows = slice(40, 90)
    even = np.abs(after[rows][:, columns] - after[rows][:, turned]).mean()
    uneven = np.abs(after[rows][:, columns] - after[rows][:, (columns + 37) % 128]).mean()
    assert even < 0.6 * uneven


@pytest.mark.parametrize(("name", "shares"), [("sd", True), ("sd3", True), ("flux", False)])
def test_views_look_at_their_neighbours_where_attention_can_be_shared(texture, name, shares):
    own, shared = (baked(texture(name, share=share)) for share in (False, True))
    assert (own != shared).any() == shares
    if shares:
        batches = baked(texture(name, batch=2))
        assert np.abs(batches - shared).mean() < 25


def test_small_batches_change_little(texture):
    whole, parts = baked(texture(share=False)), baked(texture(share=False, batch=1))
    assert np.abs(whole - parts).mean() < 1
    shared = baked(texture(batch=2))
    assert np.abs(baked(texture()) - shared).mean() < 25


def test_a_model_too_large_for_all_views_says_how_many_it_sees_before_it_starts(texture, monkeypatch):
    monkeypatch.setattr("blender_sd.engine.memory.budget.views_at_once", lambda *_: 3)
    events = texture()
    notes = [number for number, event in enumerate(events) if isinstance(event, Note)
             and event.text == "The model sees 3 of 4 views at a time, because memory is short."]
    steps = [number for number, event in enumerate(events) if isinstance(event, Step) and event.step]
    assert notes and notes[0] < steps[0] and baked(events).std() > 1


def test_bakes_keep_to_a_containers_memory(texture, monkeypatch):
    monkeypatch.setattr(control_groups, "memory", lambda: (1 << 30, (1 << 30) - (150 << 20)))
    assert texture()[-1].kind == OutOfMemory.kind
    with pytest.raises(OutOfMemory):
        next(bake(objects.scenery(meshes.cube()), [], Bake(), {}, lambda: False, lambda share: None, lambda text: None))


def test_many_large_views_are_refused_with_a_size_that_fits():
    memory.check_views(64, 1024, 1024, 8 << 30)
    assert not memory.links_fit(64, 1024, 1024, 8 << 30) and memory.links_fit(64, 1024, 1024, 20 << 30)
    with pytest.raises(OutOfMemory) as refused:
        memory.check_views(64, 1024, 1024, 4 << 30)
    side = int(refused.value.hint.split()[2])
    memory.check_views(64, side, side, 4 << 30)
    assert 512 < side < 1024


def test_without_memory_for_links_between_pixels_the_views_agree_in_latents_alone(texture, monkeypatch):
    whole = texture()
    monkeypatch.setattr(memory, "links_fit", lambda *size: False)
    short = texture()
    assert [event.text for event in short if isinstance(event, Note) and "less in detail" in event.text]
    assert not [event for event in whole if isinstance(event, Note) and "less in detail" in event.text]
    assert (baked(whole) != baked(short)).any()


@pytest.mark.slow
def test_models_that_edit_depart_from_the_texture_by_strength(texture):
    before = objects.flat((120, 60, 30), 128)
    near, far = (baked(texture("flux2_klein", inputs={"existing0": before}, strength=strength))
                 for strength in (0.0, 1.0))
    assert np.abs(near - (120, 60, 30)).mean() < 3 < np.abs(far - (120, 60, 30)).mean()
    notes = [event.text for event in texture("qwen_edit_plus", inputs={"existing0": before}, strength=0.5)
             if isinstance(event, Note)]
    assert any("Strength has no effect" in text for text in notes)


def test_what_no_view_sees_is_inpainted_and_all_is_refined_on_request(texture):
    things = objects.scenery(meshes.cube(), size=128)
    plain, inpainted, refined = (baked(texture(things=things, sides="front", **settings)) for settings in (
        {}, {"paint_unseen": True}, {"texture_refine": 0.8}))
    front, back = (slice(92, 122), slice(92, 122)), (slice(50, 78), slice(6, 36))  # faces of the cube on the image
    assert (plain[103:111, 103:111] == inpainted[103:111, 103:111]).all(), "seams are closed again, but not here"
    assert np.abs(plain[back] - inpainted[back]).mean() > 5
    assert all(np.abs(plain[face] - refined[face]).mean() > 2 for face in (front, back))


@pytest.mark.slow
def test_families_that_cannot_inpaint_or_refine_say_so(texture):
    notes = [event.text for event in texture("qwen_edit_plus", paint_unseen=True, texture_refine=0.5)
             if isinstance(event, Note)]
    assert any("cannot inpaint" in text for text in notes) and any("cannot refine" in text for text in notes)


def test_a_quick_look_bakes_nothing(texture):
    events = texture(look=True)
    assert [result.role for result in events[-1].results] == [SHEET]


def test_controls_are_drawn_for_each_view():
    from blender_sd.geometry import showing

    surface = Surface(meshes.mesh(meshes.cube()))
    sight = agreement.look(surface, cameras.sides(surface, 64, ["front right"])[0])
    assert showing.depth(sight).max() == 255 and showing.depth(sight).min() == 0
    assert 10 < (showing.lines(sight) == 255).sum() < 64 * 64
    normals = showing.normals(sight).reshape(-1, 3)
    assert (normals[sight.pixel][:, 2] > 127).all()  # what is seen faces the camera


def test_unusable_requests_are_refused(texture):
    assert "side" in texture(sides="front,inside")[-1].message
    order = objects.order(objects.scenery(meshes.cube()), "", "")
    assert order.scenery is not None


def test_cancelling_within_a_step_ends_without_a_result(texture, tmp_path):
    seen = []
    events = texture(steps=50, cancelled=lambda: bool(seen), on_event=lambda event: seen.append(event) if isinstance(
        event, Step) and event.step == 2 else None)
    assert isinstance(events[-1], Cancelled) and not list(tmp_path.glob("*.png"))


def _as_long(events, count):
    return len(events) >= count


@pytest.mark.slow
def test_cancelling_at_any_stage_ends_without_a_result(texture, tmp_path):
    """Each time the job is cancelled as soon as it has reported one thing more: loading, looking, a step, baking."""
    everything = {"steps": 2, "paint_unseen": True, "texture_refine": 0.5, "sides": "front,back"}
    stages = texture(**everything)
    assert isinstance(stages[-1], Finished)
    texts = [event.text for event in stages if isinstance(event, Loading)]
    assert {"Looking at the objects", "Baking"} <= set(texts), texts
    for path in tmp_path.glob("*.png"):
        path.unlink()
    for count in range(1, len(stages)):
        reported = []
        events = texture(on_event=reported.append, cancelled=partial(_as_long, reported, count), **everything)
        assert isinstance(events[-1], Cancelled), (count, events[-1])
        assert len(events) <= count + 2, "it goes on for more than a step"
    assert not list(tmp_path.glob("*.png"))


def test_without_its_objects_a_request_is_refused(engine, families, tmp_path):
    from dataclasses import replace

    events = []
    order = replace(objects.order(objects.scenery(meshes.cube()), families("sd"), str(tmp_path)), scenery=None)
    engine.run(order, events.append, lambda: False)
    assert isinstance(events[-1], Failed) and events[-1].kind == InvalidRequest.kind
