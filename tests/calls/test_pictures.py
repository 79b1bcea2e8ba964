"""From a call to a picture in Blender."""
from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest

import blender_sd
from blender_sd import scene
from blender_sd.library import png
from blender_sd.core.errors import InvalidRequest, JobCancelled, SourceUnusable
from tests.support.calls import PATIENCE, pixels

pytestmark = pytest.mark.bpy


def result(job):
    return job.result(timeout=PATIENCE)


def test_a_prompt_becomes_a_packed_image_that_knows_its_settings(sd, small):
    job = sd.generate("red brick wall", size=(64, 96), negative="moss", **small)
    (image,) = result(job)
    assert tuple(image.size) == (64, 96) and image.packed_file and image.colorspace_settings.name == "sRGB"
    assert job.state == "finished" and job.progress == 1
    request = sd.recall(image)
    assert (request.prompt, request.negative, request.seed, request.steps) == ("red brick wall", "moss", 7, 2)
    text = png.read_text(job.results[0].path)
    assert png.request_in(text) == request
    assert text["parameters"].startswith("red brick wall\nNegative prompt: moss\nSteps: 2, Sampler: ")


def test_several_images_take_seeds_in_turn_and_each_can_be_made_alone(sd, small):
    first, second = result(sd.generate("tiles", size=(64, 64), count=2, **small))
    assert not np.array_equal(pixels(first), pixels(second))
    (alone,) = result(sd.run(sd.recall(second)))
    assert sd.recall(second).seed == 8
    assert np.array_equal(pixels(alone), pixels(second))


def test_a_size_that_the_model_cannot_paint_is_rounded_with_a_note(sd, small):
    job = sd.generate("x", size=(70, 64), **small)
    (image,) = result(job)
    assert image.size[0] % 8 == 0 and "rounded" in " ".join(job.notes)


@pytest.mark.parametrize("kind", ["uint8", "float", "rgba"])
def test_an_array_is_restyled_at_its_own_size(sd, small, kind):
    rng = np.random.default_rng(1)
    source = rng.random((50, 70, 4 if kind == "rgba" else 3))
    source = source if kind == "float" else (source * 255).astype(np.uint8)
    (image,) = result(sd.restyle(source, "watercolour", strength=1.0, **small))
    assert tuple(image.size) == (70, 50)
    if kind == "rgba":
        assert np.array_equal(np.rint(pixels(image)[::-1, :, 3] * 255), source[..., 3])


def test_a_picture_is_signed_and_what_is_made_from_it_holds_the_chain(sd, small, tmp_path):
    job = sd.generate("bricks", size=(64, 64), **small)
    (image,) = result(job)
    over = sd.restyle(image, "water", strength=1.0, **small)
    (restyled,) = result(over)
    paths = [Path(one.results[0].path) for one in (job, over)]
    proof = blender_sd.credentials(restyled).result(PATIENCE)
    assert proof.state == "valid" and [step.title for step in proof.steps] == [path.name for path in reversed(paths)]
    assert blender_sd.credentials(paths[0]).result(PATIENCE).steps[0].actions == ("c2pa.created",)
    origins = [png.origin_in(png.read_head(path).text) for path in paths]
    assert [one.kind for one in origins] == ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"]
    assert all(blender_sd.has_credentials(path) for path in paths)
    restyled.filepath_raw, restyled.file_format = str(tmp_path / "saved.png"), "PNG"
    restyled.save()
    assert blender_sd.credentials(tmp_path
                                  / "saved.png").result(PATIENCE).state == "none", "Blender writes a file of its own"
    with pytest.raises(SourceUnusable):
        blender_sd.credentials(bpy.data.images.new("blank", 8, 8))


def test_strength_0_gives_the_source_back(sd, small):
    (image,) = result(sd.generate("bricks", size=(64, 64), **small))
    (same,) = result(sd.restyle(image, "water", strength=0.0, **small))
    assert np.array_equal(pixels(same), pixels(image))


def test_a_restyle_can_be_repeated_from_its_settings_alone(sd, small):
    source = np.random.default_rng(2).integers(0, 255, (64, 64, 3), np.uint8)
    (image,) = result(sd.restyle(source, "watercolour", strength=1.0, **small))
    (again,) = result(sd.run(sd.recall(image)))
    assert np.array_equal(pixels(again), pixels(image))


def test_a_picture_is_upscaled_and_can_be_repeated(sd, small):
    source = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)
    (image,) = result(sd.upscale(source, "bricks", scale=2.0, strength=0.6, tile=64, **small))
    assert tuple(image.size) == (80, 96)
    (again,) = result(sd.run(sd.recall(image)))
    assert np.array_equal(pixels(image), pixels(again))


def test_a_masked_part_is_repainted_and_can_be_repeated(sd, small):
    source = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    mask = np.zeros((48, 64), bool)
    mask[10:30, 20:50] = True
    (image,) = result(sd.inpaint(source, mask, "bricks", **small))
    shown = np.rint(pixels(image)[::-1, :, :3] * 255)
    assert np.array_equal(shown[~mask], source[~mask]) and not np.array_equal(shown[mask], source[mask])
    (again,) = result(sd.run(sd.recall(image)))
    assert np.array_equal(pixels(image), pixels(again))


def test_a_picture_grows_to_an_aspect(sd, small):
    source = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    (image,) = result(sd.outpaint(source, "bricks", aspect=(2, 1), overlap=0, **small))
    assert tuple(image.size) == (96, 48)
    assert np.array_equal(np.rint(pixels(image)[::-1, 16:80, :3] * 255), source)
    for wrong in ((0, 1), "x", (1, float("nan"))):
        with pytest.raises(InvalidRequest, match="aspect"):
            sd.outpaint(source, "bricks", aspect=wrong)
    with pytest.raises(InvalidRequest, match="nothing to add"):
        sd.outpaint(source, "bricks")


def test_a_texture_is_made_seamless(sd, small):
    source = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    (image,) = result(sd.make_seamless(source, "bricks", tiling="x", strength=1.0, **small))
    shown = np.rint(pixels(image)[::-1, :, :3] * 255)
    assert np.array_equal(shown[:, 8:56], source[:, 8:56]) and not np.array_equal(shown[:, :4], source[:, :4])
    assert sd.recall(image).task.name == "make_seamless"
    with pytest.raises(InvalidRequest, match="axis"):
        sd.make_seamless(source, tiling="none")


def test_high_res_fix_gives_the_larger_picture(sd, small):
    (image,) = result(sd.generate("bricks", size=(64, 64), refine_scale=1.5, refine_strength=0.6, **small))
    assert tuple(image.size) == (96, 96) and (sd.recall(image).width, sd.recall(image).task.refine_scale) == (64, 1.5)


def test_the_cameras_render_is_restyled_at_the_renders_size(sd, small):
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.render.engine, scene.cycles.samples = "CYCLES", 1
    scene.render.resolution_x, scene.render.resolution_y = 72, 40
    (image,) = result(sd.restyle("CAMERA", "watercolour", strength=1.0, **small))
    assert tuple(image.size) == (72, 40)


def test_a_picture_is_applied_to_an_object_without_a_material(sd, small, cube):
    (image,) = result(sd.generate("bricks", size=(64, 64), **small))
    material = sd.apply(image, cube)
    assert cube.active_material == material
    assert image in [node.image for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]


def test_panel_and_console_give_the_same_pixels(sd, small):
    settings = {"size": (64, 64), "guidance": 4.0, "sampler": "ddim", **small}
    (console,) = result(sd.generate("bricks", **settings))

    blender_sd.register()
    panel = bpy.context.scene.sd
    panel.model = small["model"]
    panel.prompt, panel.width, panel.height, panel.guidance, panel.sampler = "bricks", 64, 64, 4.0, "ddim"
    panel.seed, panel.random_seed, panel.steps, panel.target = small["seed"], False, small["steps"], "NEW"
    try:
        assert bpy.ops.sd.generate() == {"FINISHED"}
        (clicked,) = result(sd.jobs()[-1])
    finally:
        blender_sd.unregister()
    assert np.array_equal(pixels(clicked), pixels(console))


def test_in_thread_mode_gives_the_same_pixels(sd, small):
    pytest.importorskip("diffusers", reason="only where Blender's Python has torch")
    (apart,) = result(sd.generate("bricks", size=(64, 64), **small))
    sd.configure(in_thread=True)
    try:
        (inside,) = result(sd.generate("bricks", size=(64, 64), **small))
    finally:
        sd.configure(in_thread=False)
    assert np.array_equal(pixels(inside), pixels(apart))


def test_a_cancelled_job_leaves_nothing_and_the_next_one_is_whole(sd, small, painting):
    (expected,) = result(sd.generate("bricks", size=(64, 64), **small))
    files = set(Path(sd.output_folder()).glob("*.png"))
    job = sd.generate("bricks", **painting)
    while job.step < 2:
        sd.wait(0.1)
        sd.pump()
    job.cancel()
    with pytest.raises(JobCancelled):
        result(job)
    (after,) = result(sd.generate("bricks", size=(64, 64), **small))
    assert np.array_equal(pixels(after), pixels(expected))
    assert len(set(Path(sd.output_folder()).glob("*.png"))) == len(files) + 1


def test_a_job_from_a_render_handler_is_done_once_after_it(sd, small, monkeypatch, camera_scene):
    """As with a window, where the timer pumps after the render."""
    camera_scene(64)
    monkeypatch.setattr(scene.handlers, "_has_after", lambda: True)
    ordered = []

    def after(*_):
        ordered.append(sd.restyle("CAMERA", "clay", strength=0.0, **small))

    bpy.app.handlers.render_post.append(after)
    bpy.ops.render.render()
    bpy.app.handlers.render_post.remove(after)
    job, = ordered
    image, = job.result(PATIENCE)
    assert image.size[:] == (64, 64) and 0 < (pixels(image)[..., 3] > 0.5).mean() < 1


def test_in_background_mode_a_job_that_needs_a_render_is_refused_in_its_handler(sd, small, camera_scene):
    camera_scene(64)
    before, heard = len(sd.jobs()), []

    def after(*_):
        for source in ("CAMERA", "RENDER"):
            try:
                sd.restyle(source, "clay", strength=0.0, controls=[sd.control("depth", "CAMERA")], **small)
            except SourceUnusable as error:
                heard.append(error.message)

    bpy.app.handlers.render_post.append(after)
    bpy.ops.render.render()
    bpy.app.handlers.render_post.remove(after)
    assert len(heard) == 2 and all("inside a render handler" in text for text in heard) and len(sd.jobs()) == before


def test_a_result_after_undo_and_redo_and_what_is_reported(sd, small, cube):
    bpy.ops.ed.undo_push(message="start")
    job = sd.generate("brick", size=(64, 64), target=scene.target_of_object(cube), **small)
    name = job.result(PATIENCE)[0].name
    bpy.ops.ed.undo()
    bpy.ops.ed.redo()
    assert job.result()[0].name == name and job.outputs[0] == bpy.data.images[name]
    sky = bpy.data.images.new("sky", 64, 64, float_buffer=True)
    sky.pixels.foreach_set(np.full(64 * 64 * 4, 0.5, np.float32))
    sd.apply(sky, bpy.context.object)
    later = sd.restyle(sky, "clouds", strength=0.0, target=scene.target_of_object(bpy.context.object), **small)
    assert any("HDR" in note for note in later.notes), "before it is replaced"
    later.result(PATIENCE)
    assert sd.purge_replaced() and "sky" not in bpy.data.images
