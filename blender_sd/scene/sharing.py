"""Image nodes that serve several inputs of a material: which inputs read one, how, and from where on a way is one's
own.

A picture can be read as a colour or as data, whole or one channel of it. A new picture for one input would spoil
another that reads the node differently.
"""
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import bpy

from . import shaders
from .shaders import Giver, Place

_CHANNELS = ("SEPARATE_COLOR", "SEPRGB", "SEPHSV", "SEPXYZ")  # nodes with an output for each channel
_PASSING = ("REROUTE", "GROUP", "GROUP_INPUT")  # nodes whose outputs have nothing to do with each other
_ENDS = ("Displacement",)  # inputs of the output that read pictures beside shaders


class Reading(NamedTuple):
    """How an input reads a picture: as `data` or as a colour; all of it, or the `channel` of that name."""

    data: bool
    channel: str = ""


def is_read_differently(material: bpy.types.Material, node: bpy.types.ShaderNodeTexImage, place: Place) -> bool:
    """Return whether other inputs of `material` read the image node `node` differently from the shader's input `place`.

    Adjustments, groups, muted nodes and hidden sides of Mix nodes are followed too.
    """
    own, others = set(), set()
    for reader in _inputs(material):
        (own if reader == place else others).update(_readings(reader, node))
    own = own or {Reading(place.socket.type != "RGBA")}
    kept = {reading for reading in others if reading.channel == "Alpha"}  # a picture takes over the former one's
    return not others - kept <= own


def own_end(place: Place, node: bpy.types.ShaderNodeTexImage) -> Place:
    """Return the input on the way from the image node `node` to the input `place` from which on the way serves no other
    input; the one nearest to `node`.
    """
    way = _way(place, node, frozenset()) or [place]
    for here, ahead in zip(way, way[1:], strict=False):
        giver = here.socket.links[0].from_socket
        beside = () if giver.node.type in _PASSING else (output for output in giver.node.outputs if output != giver)
        if len(giver.links) > 1 or any(output.is_linked for output in beside) or _is_shared(ahead, here):
            return here
    return way[-1]


# ---- inside --------------------------------------------------------------------------------------------------------


def _inputs(material: bpy.types.Material) -> Iterator[Place]:
    """Yield the inputs of all shaders and outputs of `material` that pictures may feed."""
    tree = material.node_tree
    givers = [shown.giver for shown in shaders.shown_shaders(material, mutes=False, factors=False)]
    unused = [Giver(node.outputs[0], ()) for node in tree.nodes if node.outputs and node.outputs[0].type == "SHADER"
              and node.type != "GROUP"]
    for giver in dict.fromkeys((*givers, *unused)):
        yield from (Place(item, giver.groups) for item in giver.node.inputs if item.type != "SHADER")
    for node in tree.nodes:
        if node.type == "OUTPUT_MATERIAL":
            yield from (Place(node.inputs[name]) for name in _ENDS)


def _readings(reader: Place, node: bpy.types.ShaderNodeTexImage) -> set[Reading]:
    """Return the ways in which `reader` reads `node`; none where it does not."""
    readings, passed = set(), set()
    queue = [(reader, Reading(reader.socket.type != "RGBA"))]
    while queue:
        place, reading = queue.pop()
        giver, _ = shaders.feeding(place, mutes=False)
        if giver is None or (giver, reading) in passed:
            continue
        passed.add((giver, reading))
        if giver.node == node:
            readings.add(reading._replace(channel=reading.channel or ("Alpha" if giver.socket.name == "Alpha" else "")))
            continue
        if giver.node.type in _CHANNELS:
            reading = reading._replace(channel=giver.socket.name)
        for ahead in shaders.opened(giver, mutes=False, factors=False):
            as_factor = giver.node.type in shaders.MIXES and ahead.socket == shaders.sides_of(giver.node)[0]
            queue.append((ahead, reading._replace(data=True) if as_factor else reading))
    return readings


def _way(place: Place, node: bpy.types.ShaderNode, passed: frozenset[Giver]) -> list[Place]:
    """Return the inputs from `place` to the one that `node` feeds, each with a link; [] if there is no path."""
    link = next(iter(place.socket.links), None)
    if link is None:
        return []
    giver = Giver(link.from_socket, place.groups)
    if giver.node == node:
        return [place]
    if giver in passed:
        return []
    for ahead in shaders.ahead_of(giver):
        rest = _way(ahead, node, passed | {giver})
        if rest:
            return [place, *rest]
    return []


def _is_shared(inner: Place, outer: Place) -> bool:
    """Return whether the way from `outer` to `inner` goes into a node group that others use, or cannot be changed."""
    tree = inner.socket.id_data
    return tree != outer.socket.id_data and not tree.is_embedded_data and (tree.users > 1 or not tree.is_editable)
