"""Generate: the panel's settings become a job, and the job's picture goes where Target says."""
from __future__ import annotations

import bpy
import pytest

import blender_sd as sd
from blender_sd.core.errors import OutOfMemory
from blender_sd.core.request import Request
from tests.support.addon import cube, drain, state
from tests.support.fake_pipeline import colour_of


def _snapshot() -> tuple:
    return ([image.name for image in bpy.data.images], [material.name for material in bpy.data.materials],
            [slot.material and slot.material.name
             for slot in cube().material_slots], [layer.name for layer in cube().data.uv_layers])


def _base_colour(obj):
    nodes = obj.active_material.node_tree.nodes
    shader = next(node for node in nodes if node.type == "BSDF_PRINCIPLED")
    return shader.inputs["Base Color"].links[0].from_node.image


def test_panel_settings_become_the_request(addon, pipeline):
    addon.prompt, addon.negative, addon.width, addon.height, addon.steps = "brick", "grey", 48, 32, 3
    addon.guidance, addon.sampler, addon.random_seed, addon.seed, addon.tiling, addon.count = 2.5, "euler", False, 11, "x", 2  # noqa: E501
    assert bpy.ops.sd.generate() == {"FINISHED"}
    drain()
    request = pipeline.orders[0].request
    assert (request.prompt, request.negative, request.width, request.height, request.steps) == ("brick", "grey", 48, 32,
                                                                                                3)
    assert (request.guidance, request.sampler, request.seed, request.tiling, request.count) == (2.5, "euler", 11, "x",
                                                                                                2)


def test_new_image_and_nothing_else(addon):
    before = _snapshot()
    addon.prompt, addon.random_seed, addon.seed, addon.target = "brick", False, 11, "NEW"
    bpy.ops.sd.generate()
    drain()
    job = sd.jobs()[-1]
    assert job.state == "finished", job.error
    image = job.outputs[0]
    assert tuple(image.size) == (64, 64) and image.packed_file
    assert [round(value * 255) for value in image.pixels[:3]] == list(colour_of(11))
    assert _snapshot()[1:] == before[1:]
    assert state().outcome == "Brick is a new image"


@pytest.mark.parametrize("target", ["AUTO", "MATERIAL"])
def test_what_is_missing_is_made_and_named(addon, target):
    cube().data.materials.clear()
    while cube().data.uv_layers:
        cube().data.uv_layers.remove(cube().data.uv_layers[0])
    assert addon.target == "AUTO", "a newcomer's"
    addon.prompt, addon.target = "red brick wall", target
    bpy.ops.sd.generate()
    drain()
    assert _base_colour(cube()) == sd.jobs()[-1].outputs[0]
    assert len(cube().data.uv_layers) == 1
    assert state().outcome == "Red brick wall is the base color of Cube; a material and a UV map were made"
    cube().data.uv_layers.remove(cube().data.uv_layers[0])
    bpy.ops.sd.generate()
    drain()
    assert state().outcome == "Red brick wall.001 is the base color of Cube; a UV map was made"


def test_targets_that_files_hold_keep_their_numbers(addon):
    items = addon.bl_rna.properties["target"].enum_items
    assert [(item.identifier, item.value) for item in items] == [("NEW", 0), ("MATERIAL", 1), ("SLOT", 2), ("AUTO", 3)]


def test_generate_onto_ignores_the_panels_target(addon):
    addon.prompt, addon.target = "brick", "NEW"
    bpy.ops.sd.generate_onto()
    drain()
    assert _base_colour(cube()) == sd.jobs()[-1].outputs[0]


def test_random_seed_is_shown_afterwards(addon, pipeline):
    addon.prompt = "brick"
    seeds = []
    for _ in range(2):
        bpy.ops.sd.generate()
        seeds.append(addon.seed)
        drain()
    assert [order.request.seed for order in pipeline.orders] == seeds and seeds[0] != seeds[1]
    addon.random_seed = False
    bpy.ops.sd.generate()
    drain()
    assert pipeline.orders[-1].request.seed == seeds[1]


def test_poll_says_what_to_do(addon):
    with pytest.raises(RuntimeError, match="Type a prompt"):
        bpy.ops.sd.generate()
    addon.prompt, addon.target = "brick", "MATERIAL"
    bpy.context.view_layer.objects.active = bpy.data.objects["Light"]
    with pytest.raises(RuntimeError, match="Select a mesh object"):
        bpy.ops.sd.generate()


def test_bad_input_changes_nothing(addon, pipeline):
    before, seed = _snapshot(), addon.seed
    addon.prompt, addon.model = "brick", "/no/such/model"
    with pytest.raises(RuntimeError, match="/no/such/model|no model"):
        bpy.ops.sd.generate()
    assert state().error and state().hint
    assert _snapshot() == before and addon.seed == seed and not pipeline.orders and not sd.jobs()


def test_an_object_without_faces_is_refused(addon, pipeline):
    mesh = bpy.data.meshes.new("empty")
    thing = bpy.data.objects.new("empty", mesh)
    bpy.context.collection.objects.link(thing)
    bpy.context.view_layer.objects.active = thing
    addon.prompt, addon.target = "brick", "MATERIAL"
    with pytest.raises(RuntimeError, match="empty"):
        bpy.ops.sd.generate()
    assert not thing.material_slots and not pipeline.orders


def test_a_rounded_size_is_noted(addon):
    addon.prompt, addon.width = "brick", 61
    bpy.ops.sd.generate()
    drain()
    assert "61" in state().notes and "64" in state().notes


def test_a_failed_job_shows_its_error_until_the_next(addon, pipeline):
    before = _snapshot()
    pipeline.fail_with = OutOfMemory("The picture does not fit.", "Choose a smaller size.")
    addon.prompt = "brick"
    bpy.ops.sd.generate()
    drain()
    assert (state().error, state().hint) == ("The picture does not fit.", "Choose a smaller size.")
    assert _snapshot() == before
    pipeline.fail_with = None
    bpy.ops.sd.generate()
    assert state().error == ""
    drain()
    assert state().error == "" and sd.jobs()[-1].state == "finished"


def test_dismiss(addon, pipeline):
    pipeline.fail_with = OutOfMemory("The picture does not fit.")
    addon.prompt = "brick"
    bpy.ops.sd.generate()
    drain()
    bpy.ops.sd.dismiss()
    drain()
    assert state().error == ""


def test_a_picture_that_goes_to_a_function_is_previewed_on_no_mesh(addon):
    taken = []
    job = sd.generate("brick", size=(32, 32), target=lambda job: taken.append(job.id) or ["there"])
    assert job.target is None
    drain()
    assert (job.outputs, taken) == (["there"], [job.id])
    other = sd.generate("brick", size=(32, 32))
    assert other.target is not None


def test_a_large_seed_counts_until_its_field_is_empty(addon, pipeline):
    large = 2**40 + 1
    addon.seed = 5
    addon.fill_from(Request(prompt="brick", seed=large))
    assert (addon.large_seed, addon.seed, addon.random_seed) == (str(large), 5, False)
    for expected in (large, 5):
        bpy.ops.sd.generate()
        drain()
        assert pipeline.orders[-1].request.seed == expected
        addon.large_seed = ""
    for wrong in ("x", "-1", str(2**64), "1.5"):
        addon.large_seed = wrong
        with pytest.raises(RuntimeError, match="large seed"):
            bpy.ops.sd.generate()
    addon.fill_from(Request(seed=9))
    assert (addon.large_seed, addon.seed) == ("", 9)
