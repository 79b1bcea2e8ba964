"""The open file changes under a running job: another file, undo, and what the picture was meant for deleted or renamed.
"""
from __future__ import annotations

from collections.abc import Callable

from .world import Fault, Lost, World, Wrong

_GONE = "target_unusable"


def _scene(world: World):
    """A cube with a material whose texture is to be replaced, a second scene, and all of it saved; the cube."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=False)
    bpy.context.preferences.edit.use_global_undo = True
    cube = bpy.data.objects["Cube"]
    bpy.context.view_layer.objects.active = cube
    image = bpy.data.images.new("rough wood", 8, 8)
    world.api.apply(image, cube)
    bpy.data.scenes.new("second")
    bpy.ops.wm.save_as_mainfile(filepath=str(world.root / "artist.blend"))
    bpy.ops.ed.undo_push(message="prepared")
    return cube


def _meanwhile(kind: str, change: Callable[[], None], *ends: str, after: Callable[[World, object], None] | None = None):
    """`change` happens to the file while a picture for the target `kind` is painted. `after` looks at what became of
    it.
    """

    def inflict(world: World, turn: int) -> None:
        import bpy

        from blender_sd import scene

        cube = _scene(world)
        world.ready()
        bpy.context.view_layer.objects.active = cube
        world.plan("step", "stop", 1)
        job = world.order(turn, target=scene.freeze_target(bpy.context, kind))
        engine = world.stopped(job)
        change()
        world.hit()
        engine.resume()
        world.ends(job, *ends)
        if job.error and not ("kept" in job.error.hint and job.results):
            raise Wrong(f"the error does not name the picture's place: {job.error}")
        if after is not None:
            after(world, job)

    return inflict


def _material_image():
    import bpy

    return next(
        node.image for node in bpy.data.objects["Cube"].active_material.node_tree.nodes if node.type == "TEX_IMAGE"
    )


def _in_the_material(world: World, job) -> None:
    """The picture has taken its place, whatever that is called now."""
    import bpy

    materials = [node.image for material in bpy.data.materials if material.node_tree
                 for node in material.node_tree.nodes if node.type == "TEX_IMAGE"]
    if job.outputs[0] not in materials:
        raise Wrong(f"the picture is not in the material: {materials}")


def _kept_in_file(world: World, job) -> None:
    """The place is gone, the file is the same: the picture stays in it as an image."""
    import bpy

    if not any(image.use_fake_user and image.packed_file for image in bpy.data.images):
        raise Lost("the picture is not in the file")


def _reopen() -> None:
    import bpy

    bpy.ops.wm.open_mainfile(filepath=bpy.data.filepath)


def _new_file() -> None:
    import bpy

    bpy.ops.wm.read_homefile(use_empty=True, load_ui=False)


def _undo() -> None:
    """A step that the artist takes while the picture is painted is taken back."""
    import bpy

    bpy.data.objects["Cube"].location.x += 1
    bpy.ops.ed.undo_push(message="moved")
    bpy.ops.ed.undo()


def _undo_past() -> None:
    """The steps before the order are taken back too: the cube is there, its material with the slot is not."""
    import bpy

    for _ in range(3):
        if bpy.ops.ed.undo.poll():
            bpy.ops.ed.undo()


def _undone_after(world: World, job) -> None:
    """Undo after the picture came takes it out of the file; it stays in the history, and comes back from there."""
    import bpy

    bpy.ops.ed.undo()
    if _material_image().name != "rough wood":
        raise Wrong(f"undo did not bring the old image back: {_material_image()}")
    image = world.history.open_picture(job.results[0].path)
    if not image.packed_file:
        raise Lost("it cannot be opened from the history")


def _scene_deleted() -> None:
    import bpy

    bpy.context.window.scene = bpy.data.scenes["second"]
    bpy.data.scenes.remove(bpy.data.scenes["Scene"])


def _all_scenes_replaced() -> None:
    import bpy

    bpy.data.scenes.new("third")
    for name in ("Scene", "second"):
        bpy.data.scenes.remove(bpy.data.scenes[name])


def _remove(collection: str, name: str) -> Callable[[], None]:
    def change() -> None:
        import bpy

        blocks = getattr(bpy.data, collection)
        blocks.remove(blocks[name] if name else blocks[0])

    return change


def _material_deleted() -> None:
    import bpy

    bpy.data.materials.remove(bpy.data.objects["Cube"].active_material)


def _node_deleted() -> None:
    import bpy

    nodes = bpy.data.objects["Cube"].active_material.node_tree.nodes
    nodes.remove(next(node for node in nodes if node.type == "TEX_IMAGE"))


def _everything_renamed() -> None:
    import bpy

    cube = bpy.data.objects["Cube"]
    cube.active_material.name = "walls"
    for node in cube.active_material.node_tree.nodes:
        node.name = f"my {node.name}"
    bpy.data.images["rough wood"].name = "smooth stone"
    bpy.context.scene.name = "shot 20"
    cube.name = "house"
    bpy.data.objects.new("Cube", None)  # a stranger takes the name


FAULTS = (
    Fault(".blend reloaded during the job", 3, _meanwhile("material", _reopen, _GONE)),
    Fault("new file opened during the job", 3, _meanwhile("material", _new_file, _GONE)),
    Fault("undo during the job", 3, _meanwhile("material", _undo, "finished", after=_in_the_material)),
    Fault("undo past the order during the job", 3, _meanwhile("slot", _undo_past, "finished", _GONE)),
    Fault("undo after the job", 3, _meanwhile("slot", lambda: None, "finished", after=_undone_after)),
    Fault(
        "scene deleted during the job", 3, _meanwhile("material", _scene_deleted, "finished", after=_in_the_material)
    ),
    Fault("all scenes replaced during the job", 2, _meanwhile("material", _all_scenes_replaced, "finished", _GONE)),
    Fault(
        "object deleted during the job",
        3,
        _meanwhile("material", _remove("objects", "Cube"), _GONE, after=_kept_in_file),
    ),
    Fault("material deleted during the job", 3, _meanwhile("material", _material_deleted, _GONE, after=_kept_in_file)),
    Fault(
        "image deleted during the job",
        3,
        _meanwhile("slot", _remove("images", "rough wood"), "finished", after=_in_the_material),
    ),
    Fault("image node deleted during the job", 3, _meanwhile("slot", _node_deleted, _GONE, after=_kept_in_file)),
    Fault("all renamed during the job", 3, _meanwhile("slot", _everything_renamed, "finished", after=_in_the_material)),
)
