"""Read ComfyUI's graphs: what a picture was painted with, by walking upstream from the node that samples.

A graph maps each node's id to {"class_type", "inputs"}; an input is a value, or [id, output] of the node that it comes
from. Nodes of extensions are read by what their inputs are called.
"""
from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from ..core.prompt_choices import lora_tag

_MOST_NODES = 2000
_DEEPEST = 200  # nodes on the way to one value
# What inputs that hold a value are called -> our fields.
_VALUES = {
    "seed": "seed", "noise_seed": "seed", "steps": "steps", "cfg": "guidance", "guidance": "guidance",
    "sampler_name": "sampler", "scheduler": "schedule", "denoise": "strength", "width": "width", "height": "height",
    "ckpt_name": "model", "unet_name": "model"}
_TEXTS = ("text", "text_g", "prompt", "t5xxl", "clip_l", "text_l", "string", "value", "populated_text", "wildcard_text")
_NUMBERS = ("value", "seed", "int", "float", "number", "noise_seed")
_CONDITIONS = ("conditioning", "positive", "cond", "conditioning_1", "conditioning_to")
_OTHERS = {
    "CLIP layer": "stop_at_clip_layer", "vae": "vae_name", "ControlNet": "control_net_name", "upscaler": "model_name"}

Graph = dict[str, Any]


def read(graph: Graph) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of our fields in a graph, and what else it sets that has no counterpart. Raises ValueError if
    nothing samples."""
    nodes = {
        str(key): node for key, node in graph.items()
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict)}
    if len(nodes) > _MOST_NODES:
        raise ValueError("too many nodes")
    sampler = _sampler(nodes)
    fields: dict[str, Any] = {}
    unused: dict[str, Any] = {}
    loras: list[str] = []
    for node in _upstream(nodes, sampler):
        inputs = node["inputs"]
        for name, ours in _VALUES.items():
            value = _number(nodes, inputs.get(name))
            if value is not None:
                fields.setdefault(ours, value)
        if isinstance(inputs.get("lora_name"), str):
            model, clip = (inputs.get(name) for name in ("strength_model", "strength_clip"))
            weight = float(model) if isinstance(model, (int, float)) else 1.0
            text = float(clip) if isinstance(clip, (int, float)) and clip != weight else None
            loras.append(lora_tag(_stem(inputs["lora_name"]), weight, text))
        for label, name in _OTHERS.items():
            if isinstance(inputs.get(name), (str, int)):
                unused.setdefault(label, inputs[name])
    for ours, name in (("prompt", "positive"), ("negative", "negative")):
        fields[ours] = _words(nodes, sampler, name)
    fields["prompt"] = " ".join([fields["prompt"], *reversed(loras)]).strip()
    if fields.get("strength") in (1, 1.0):
        del fields["strength"]
    if "model" in fields:
        fields["model"] = _stem(str(fields["model"]))
    return fields, unused


def _sampler(nodes: Graph) -> dict[str, Any]:
    """Return the node that samples: the first upstream of one that saves or shows a picture, else the first of all."""
    outputs = [
        node for node in nodes.values()
        if any(word in str(node.get("class_type")) for word in ("Save", "Preview", "Output"))]
    for output in outputs:
        found = [node for node in _upstream(nodes, output) if _samples(node)]
        if found:
            return found[-1]  # the first that was run: a second one refines its picture
    for node in nodes.values():
        if _samples(node):
            return node
    raise ValueError("no node samples")


def _samples(node: dict[str, Any]) -> bool:
    inputs = node["inputs"]
    return "Sampler" in str(node.get("class_type")) and any(name in inputs
                                                            for name in ("steps", "guider", "sigmas", "positive"))


def _upstream(nodes: Graph, start: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield `start` and every node that it depends on, the nearest first."""
    waiting, seen = [start], {id(start)}
    for node in waiting:
        yield node
        for value in node["inputs"].values():
            source = _source(nodes, value)
            if source is not None and id(source) not in seen:
                seen.add(id(source))
                waiting.append(source)


def _source(nodes: Graph, value: Any) -> dict[str, Any] | None:
    """Return the node that an input comes from; None where it holds a value."""
    return nodes.get(str(value[0])) if isinstance(value, list) and len(value) == 2 else None


def _number(nodes: Graph, value: Any, seen: set[int] | None = None) -> Any:
    """Return an input's value, through nodes that only hand it on. No node is asked twice, as in `_text`."""
    seen = set() if seen is None else seen
    source = _source(nodes, value)
    if source is None:
        return value if isinstance(value, (int, float, str)) and not isinstance(value, bool) and value != "" else None
    if id(source) in seen or len(seen) >= _DEEPEST:
        return None
    seen.add(id(source))
    for name in _NUMBERS:
        number = _number(nodes, source["inputs"].get(name), seen)
        if number is not None:
            return number
    return None


def _words(nodes: Graph, sampler: dict[str, Any], name: str) -> str:
    """Return the text that goes into the input `name` of the sampler, or of its guider."""
    for node in _upstream(nodes, sampler):
        names = (name,) if name in node["inputs"] else (
            "conditioning",) if name == "positive" and "conditioning" in node["inputs"] else ()
        for key in names:
            if text := _text(nodes, node["inputs"][key], name):
                return text
        if names:
            break
    return ""


def _text(nodes: Graph, value: Any, side: str, seen: set[int] | None = None) -> str:
    """Return the text upstream of an input: of a text encoder, or through nodes that change conditionings.

    No node is asked twice: a graph may have circles, and many ways to one node.
    """
    seen = set() if seen is None else seen
    source = _source(nodes, value)
    if source is None:
        return value.strip() if isinstance(value, str) else ""
    if id(source) in seen or len(seen) >= _DEEPEST:
        return ""
    seen.add(id(source))
    inputs = source["inputs"]
    for name in (*_TEXTS, side, *_CONDITIONS):
        if name in inputs and (text := _text(nodes, inputs[name], side, seen)):
            return text
    return ""


def _stem(name: str) -> str:
    base = name.replace("\\", "/").rpartition("/")[2]
    stem, ending = os.path.splitext(base)
    return stem if ending.lower() in (".safetensors", ".ckpt", ".gguf", ".sft", ".pt", ".pth") else base
