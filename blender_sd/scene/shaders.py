"""What a material shows: one walk through its nodes, from the active output backwards, as Cycles and EEVEE evaluate
them.

Muted nodes pass on what Blender connects inside them, muted links nothing; reroutes and groups are entered and left; a
Mix node shows the sides that its factor lets through, with animation and drivers applied; a group's unlinked input is
the one outside it. Everything that needs to know which picture a material shows, by which UV map, and where a picture
must go to be seen, uses this module.
"""
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import bpy
from mathutils import Euler, Matrix

from . import compat

IMAGES = ("TEX_IMAGE", "TEX_ENVIRONMENT")
PRINCIPLED = "BSDF_PRINCIPLED"
_INVISIBLE = ("BSDF_TRANSPARENT", "HOLDOUT")  # shaders that show no colour of their own
_ADJUSTMENTS = {"HUE_SAT": "Color", "BRIGHTCONTRAST": "Color", "GAMMA": "Color", "INVERT": "Color",
                "CURVE_RGB": "Color"}
_CONVERSIONS = {"VALTORGB": "Fac", "MAP_RANGE": "Value", "CLAMP": "Value", "RGBTOBW": "Color",
                "SEPARATE_COLOR": "Color",
                "NORMAL_MAP": "Color", "BUMP": "Normal", "CURVE_FLOAT": "Value"}
MIXES = ("MIX", "MIX_RGB", "MIX_SHADER")
_COMBINED = ("MATH", "VECT_MATH", "COMBINE_COLOR", "ADD_SHADER")  # show all of their inputs
_CONSTANTS = ("VALUE", "RGB")  # nodes that only hold a value
_LEFT_MUTED = (*_ADJUSTMENTS, *_CONVERSIONS, *MIXES, *_COMBINED)  # when muted, the picture behind them is seen


class Place(NamedTuple):
    """An input, and the group nodes that were entered to reach it, the outermost first: a group may be used many times.
    """

    socket: bpy.types.NodeSocket
    groups: tuple[bpy.types.Node, ...] = ()


class Giver(NamedTuple):
    """An output that feeds a place."""

    socket: bpy.types.NodeSocket
    groups: tuple[bpy.types.Node, ...]

    @property
    def node(self) -> bpy.types.Node:
        return self.socket.node


Muted = tuple["bpy.types.Node | bpy.types.NodeLink", ...]


@dataclass(frozen=True)
class Route:
    """The way of a picture to an input.

    Attributes:
        node: The image node, or None.
        end: The input that it feeds, or should feed.
        muted: What is muted on the way and hides it.
    """

    node: bpy.types.ShaderNodeTexImage | None
    end: Place
    muted: Muted = ()


class Shown(NamedTuple):
    """A shader that a surface shows, and what is muted between it and the output."""

    giver: Giver
    muted: Muted

    @property
    def node(self) -> bpy.types.Node:
        return self.giver.node


class Mapping(NamedTuple):
    """How an image lies on faces.

    Attributes:
        uv_map: The UV map's name, "" for the one for rendering.
        matrix: From UVs to the image's own coordinates.
        by_uv: Whether it is mapped by a UV map at all.
    """

    uv_map: str = ""
    matrix: Matrix = Matrix.Identity(4)
    by_uv: bool = True


def output_of(tree: bpy.types.NodeTree) -> bpy.types.ShaderNode | None:
    """Return the output that the scene's engine uses."""
    return tree.get_output_node("CYCLES" if bpy.context.scene.render.engine == "CYCLES" else "EEVEE")


def is_volume_alone(material: bpy.types.Material) -> bool:
    """Return whether `material` shades a volume and no surface."""
    output = output_of(material.node_tree) if compat.uses_nodes(material) else None
    if output is None or feeding(Place(output.inputs["Volume"]))[0] is None:
        return False
    return all(leaf.node.type == "BSDF_TRANSPARENT" for leaf in shown_shaders(material))


def shown_shaders(material: bpy.types.Material, mutes: bool = True, factors: bool = True) -> Iterator[Shown]:
    """Yield the shaders that a material's surface shows, those nearest to the output first.

    Args:
        material: The material.
        mutes: Whether to respect muting; False also yields what only muting hides.
        factors: Whether to respect factors; False also yields what only the factor of a Mix Shader hides.
    """
    output = output_of(material.node_tree)
    queue = [(Place(output.inputs["Surface"]), ())] if output is not None else []
    passed = set()
    while queue:
        place, muted = queue.pop(0)
        muted = (*muted, *_muted(place))
        giver, _ = feeding(place, mutes)
        if giver is None or giver in passed:
            continue
        passed.add(giver)
        if giver.node.type in ("MIX_SHADER", "ADD_SHADER"):
            queue += [(inner, muted) for inner in opened(giver, mutes, factors)]
        else:
            yield Shown(giver, muted)


def feeding(place: Place, mutes: bool = True) -> tuple[Giver | None, Place]:
    """Return the output that really feeds `place`, or None, and the input at the end of the way, with its link or
    value.

    `mutes` False follows muted links, and muted nodes that show something of their own.
    """
    while True:
        link = next(iter(place.socket.links), None)
        if link is None or (mutes and link.is_muted):
            return None, place
        giver = Giver(link.from_socket, place.groups)
        inner = _through(giver, mutes)
        if inner is None:
            return (None if mutes and giver.node.mute else giver), place
        place = inner


def shown_images(material: bpy.types.Material, mutes: bool = True, factors: bool = True) -> set[bpy.types.ShaderNode]:
    """Return the image nodes that contribute to what `material` shows, in groups too. `mutes`, `factors`: as in
    `shown_shaders`.
    """
    output = output_of(material.node_tree) if compat.uses_nodes(material) else None
    queue = [Place(item) for item in output.inputs] if output is not None else []
    passed, images = set(), set()
    while queue:
        giver, _ = feeding(queue.pop(), mutes)
        if giver is None or giver in passed:
            continue
        passed.add(giver)
        if giver.node.type in IMAGES:
            images.add(giver.node)
        queue += opened(giver, mutes, factors)
    return images


def route_to(place: Place) -> Route:
    """Return the way of a picture to `place`, through nodes that adjust it.

    If there is no picture, `end` is the input behind adjustments that shows most; a node with content of its own, such
    as a texture of Blender's, is replaced together with everything that adjusts it.
    """
    route = _search(place, frozenset())
    if route.node is not None:
        return route
    end = place
    while True:
        giver, inner = feeding(end)
        if giver is None:
            return Route(None, inner, _muted(inner))
        ahead = opened(giver) if giver.node.type in _ADJUSTMENTS or _is_colour_mix(giver.node) else []
        if not ahead:
            return Route(None, feeding(place, mutes=False)[1], _muted(place))
        end = ahead[0]


def mapping_of(node: bpy.types.ShaderNode, groups: tuple[bpy.types.Node, ...] = ()) -> Mapping:
    """Return how the image of `node`, in `groups`, lies on faces."""
    if getattr(node, "projection", "FLAT") != "FLAT":
        return Mapping(by_uv=False)
    place, matrix = Place(node.inputs["Vector"], groups), Matrix.Identity(4)
    while True:
        giver, end = feeding(place)
        if giver is None:  # an image node then takes the UV map, all others a point
            return Mapping("", matrix, by_uv=end.socket.node == node)
        kind = giver.node.type
        if kind == "UVMAP":
            return Mapping(giver.node.uv_map, matrix)
        if kind == "ATTRIBUTE" and giver.node.attribute_type == "GEOMETRY":
            return Mapping(giver.node.attribute_name, matrix)
        if kind == "TEX_COORD" and giver.socket.name == "UV":
            return Mapping("", matrix)
        if kind != "MAPPING" or giver.node.vector_type not in ("POINT", "TEXTURE"):
            return Mapping(by_uv=False)
        step = _mapping_matrix(giver)
        if step is None:
            return Mapping(by_uv=False)
        matrix = matrix @ step
        place = Place(giver.node.inputs["Vector"], giver.groups)


def groups_of(material: bpy.types.Material, node: bpy.types.ShaderNode) -> tuple[bpy.types.Node, ...]:
    """Return the group nodes through which `node` is reached first in `material`, the outermost first."""
    queue: list[tuple[bpy.types.NodeTree, tuple[bpy.types.Node, ...]]] = [(material.node_tree, ())]
    while queue:
        tree, groups = queue.pop(0)
        if tree == node.id_data:
            return groups
        queue += [(inner.node_tree, (*groups, inner)) for inner in tree.nodes
                  if inner.type == "GROUP" and inner.node_tree is not None and inner not in groups]
    return ()


def why_hidden(material: bpy.types.Material, node: bpy.types.ShaderNode) -> str:
    """Return why nothing of the image node `node` is seen in `material`, in one sentence with the remedy; "" if it is
    seen.
    """
    if node in shown_images(material):
        return ""
    if node.mute:
        return f"The image node '{node.name}' of '{material.name}' is muted: select it and press M."
    if node in shown_images(material, mutes=False):
        return (f"Between the image node '{node.name}' and the output of '{material.name}' a node or a link is muted: "
                "unmute it.")
    if node in shown_images(material, factors=False):
        return (f"A Mix node of '{material.name}' shows only its other side, not the image node '{node.name}': change "
                "its factor.")
    return f"The image node '{node.name}' is not connected to the active output of '{material.name}': connect it."


def opened(giver: Giver, mutes: bool = True, factors: bool = True) -> list[Place]:
    """Return the inputs of `giver`'s node that show in its output, those that show most first. `mutes`, `factors`: as
    of `shown_shaders`."""
    node = giver.node
    if node.mute and mutes:
        return []  # what it lets through was followed already
    if node.type in MIXES:
        factor, sides = sides_of(node)
        shown = _shown_sides(Place(factor, giver.groups), sides, giver, factors)
        return [Place(item, giver.groups) for item in (*shown, *([factor] if factor.is_linked else []))]
    name = _ADJUSTMENTS.get(node.type) or _CONVERSIONS.get(node.type)
    first = [item for item in node.inputs if item.name == name]
    return [Place(item, giver.groups) for item in (*first, *(item for item in node.inputs if item not in first))
            if item.enabled]


def sides_of(node: bpy.types.ShaderNode) -> tuple[bpy.types.NodeSocket, list[bpy.types.NodeSocket]]:
    """Return the factor and the two sides of a Mix node, of whichever kind."""
    shown = [item for item in node.inputs if item.enabled]
    return shown[0], shown[1:3]


def ahead_of(giver: Giver) -> list[Place]:
    """Return the inputs through which a picture comes to `giver` or would if nothing were muted, the likeliest
    first."""
    inner = _through(giver, mutes=False)
    if inner is not None:
        return [inner]
    ahead = opened(giver, mutes=False) if giver.node.type in _LEFT_MUTED else []
    return ahead[:1] if giver.node.type in _ADJUSTMENTS or giver.node.type in _CONVERSIONS else ahead


# ---- inside --------------------------------------------------------------------------------------------------------


def _through(giver: Giver, mutes: bool) -> Place | None:
    """Return the input whose value the output `giver` passes on unchanged; None if its node changes it or has none."""
    node, socket = giver.node, giver.socket
    if node.type == "REROUTE":
        return Place(node.inputs[0], giver.groups)
    if node.mute and (mutes or _stays_muted(giver.socket)):
        inside = _behind(socket)
        return Place(inside, giver.groups) if inside is not None else None
    if node.type == "GROUP" and node.node_tree is not None and node not in giver.groups:
        end = next((end for end in node.node_tree.nodes if end.type == "GROUP_OUTPUT" and end.is_active_output), None)
        return Place(_same(end.inputs, socket), (*giver.groups, node)) if end is not None else None
    if node.type == "GROUP_INPUT" and giver.groups:
        *outer, group = giver.groups
        return Place(_same(group.inputs, socket), tuple(outer))
    return None


def _behind(output: bpy.types.NodeSocket) -> bpy.types.NodeSocket | None:
    """Return the input that a muted node hands on as `output`; None where none does."""
    return next((link.from_socket for link in output.node.internal_links if link.to_socket == output), None)


def _stays_muted(output: bpy.types.NodeSocket) -> bool:
    """Return whether the muted node of `output` may stay so, since what it hands on is seen: an adjustment, also as a
    group."""
    if output.node.type != "GROUP":
        return output.node.type in _LEFT_MUTED
    behind = _behind(output)
    return behind is not None and behind.is_linked


def _same(sockets: bpy.types.NodeInputs, socket: bpy.types.NodeSocket) -> bpy.types.NodeSocket:
    return next(other for other in sockets if other.identifier == socket.identifier)


def _shown_sides(factor: Place, sides: list[bpy.types.NodeSocket], giver: Giver,
                 factors: bool) -> list[bpy.types.NodeSocket]:
    source, end = feeding(factor)
    if not factors or (source is not None and source.node.type not in _CONSTANTS):
        return sides
    share = _value(end.socket if source is None else source.socket)
    share = share if isinstance(share, float) else max(share)
    if share <= 0:
        return sides[:1]
    node = giver.node
    blends = node.type != "MIX_SHADER" and getattr(node, "blend_type", "MIX") != "MIX" and getattr(node, "data_type",
                                                                                                   "RGBA") == "RGBA"
    if blends:
        return sides
    if share >= 1:
        return sides[1:]
    return sides if share <= 0.5 else sides[::-1]


def _value(socket: bpy.types.NodeSocket) -> float | list[float]:
    """Return the value of an unlinked input, with animation and drivers applied."""
    tree = socket.id_data
    if tree.animation_data is not None:
        now = compat.evaluated(tree, bpy.context.scene)
        node = now.nodes[socket.node.name]
        socket = _same(node.outputs if socket.is_output else node.inputs, socket)
    value = socket.default_value
    return float(value) if isinstance(value, (int, float)) else list(value)


def _is_colour_mix(node: bpy.types.Node) -> bool:
    return node.type == "MIX_RGB" or (node.type == "MIX" and node.data_type == "RGBA")


def _search(place: Place, passed: frozenset[Giver], muted: Muted = ()) -> Route:
    """Return the nearest image node that shows at `place`, or would if nothing were muted, depth first."""
    muted = (*muted, *_muted(place))
    giver, end = feeding(place, mutes=False)
    if giver is None or giver in passed:
        return Route(None, end, muted)
    if giver.node.type in IMAGES:
        return Route(giver.node, end, muted)
    for inner in ahead_of(giver):
        route = _search(inner, passed | {giver}, muted)
        if route.node is not None:
            return route
    return Route(None, end, muted)


def _muted(place: Place) -> Muted:
    """Return what is muted between `place` and what feeds it, and hides that."""
    muted: list[bpy.types.Node | bpy.types.NodeLink] = []
    while (link := next(iter(place.socket.links), None)) is not None:
        muted += [link] if link.is_muted else []
        muted += [link.from_node] if link.from_node.mute and not _stays_muted(link.from_socket) else []
        inner = _through(Giver(link.from_socket, place.groups), mutes=False)
        if inner is None:
            break
        place = inner
    return tuple(muted)


def _mapping_matrix(giver: Giver) -> Matrix | None:
    """Return what a Mapping node does to coordinates; None if something feeds its settings."""
    values = []
    for name in ("Location", "Rotation", "Scale"):
        source, end = feeding(Place(giver.node.inputs[name], giver.groups)) if name in giver.node.inputs else (None,
                                                                                                               None)
        if source is not None or end is None:
            return None
        values.append(_value(end.socket))
    made = Matrix.LocRotScale(values[0], Euler(values[1]), values[2])
    if giver.node.vector_type == "POINT":
        return made
    return made.inverted_safe()
