"""Read ComfyUI's graphs: what a picture was painted with, by walking upstream from the node that samples.

A graph maps each node's id to {"class_type", "inputs"}; an input is a value, or [id, output] of the node that it comes
from. Nodes of extensions are read by what their inputs are called.
"""
from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from ..core.prompt_choices import lora_tag

_MOST_NODES = 2000
_DEEPEST = 200  # nodes on the way to one value
_MOST_PARTS = 32  # LoRAs, or texts that are joined, in one node
# What inputs that hold a value are called -> our fields.
_VALUES = {
    "seed": "seed", "noise_seed": "seed", "steps": "steps", "cfg": "guidance", "sampler_name": "sampler",
    "scheduler": "schedule", "denoise": "strength", "ckpt_name": "model", "unet_name": "model", "vae_name": "vae"}
_SIZES = {"width": "width", "height": "height", "empty_latent_width": "width", "empty_latent_height": "height"}
_NO_SIZE = ("clip", "target_width", "image", "samples", "upscale_method")  # inputs of nodes whose size is another
_TEXTS = ("populated_text", "text", "text_g", "prompt", "t5xxl", "clip_l", "text_l", "string", "value",
          "wildcard_text")
_NUMBERS = ("value", "seed", "int", "float", "number", "noise_seed")
_CONDITIONS = ("conditioning", "positive", "cond", "conditioning_1", "conditioning_to")
_MORE_CONDITIONS = ("conditioning_2", "conditioning_from")
_JOINED = re.compile(r"(?:text|string|input|prompt)_?(?P<which>[a-z]|\d{1,2})")
_OTHERS = {"CLIP layer": "stop_at_clip_layer", "ControlNet": "control_net_name", "upscaler": "model_name"}
_OF_CLASS = {"sampler": re.compile(r"Sampler([A-Z0-9]\w+)"), "schedule": re.compile(r"(\w+)Scheduler")}
_NAMELESS = ("select", "basic", "custom", "none", "baked vae")

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
            if value is not None and str(value).casefold() not in _NAMELESS:
                fields.setdefault(ours, value)
        for ours, pattern in _OF_CLASS.items():
            named = pattern.fullmatch(str(node.get("class_type")))
            if named and not _samples(node) and named[1].casefold() not in _NAMELESS:
                fields.setdefault(ours, named[1])
        loras += _loras(inputs)
        for label, name in _OTHERS.items():
            if isinstance(inputs.get(name), (str, int)):
                unused.setdefault(label, inputs[name])
    fields |= _size(nodes, sampler) | _distilled(nodes, sampler)
    for ours, name in (("prompt", "positive"), ("negative", "negative")):
        fields[ours] = _words(nodes, sampler, name)
    fields["prompt"] = " ".join([fields["prompt"], *reversed(loras)]).strip()
    if fields.get("strength") in (1, 1.0):
        del fields["strength"]
    for ours in {"model", "vae"} & fields.keys():
        fields[ours] = _stem(str(fields[ours]))
    return fields, unused


def _size(nodes: Graph, sampler: dict[str, Any]) -> dict[str, Any]:
    """Return width and height of the empty picture that `sampler` begins with, the nearest node that says both."""
    for node in _upstream(nodes, sampler):
        inputs = node["inputs"]
        sizes = {ours: _number(nodes, inputs[name]) for name, ours in _SIZES.items() if name in inputs}
        if None in sizes.values():
            continue
        if len(sizes) == 2 and (not inputs.keys() & {*_NO_SIZE} or "empty_latent_width" in inputs):
            return sizes
    return {}


def _distilled(nodes: Graph, sampler: dict[str, Any]) -> dict[str, Any]:
    """Return the guidance that a model was trained to follow (Flux), which counts and not the sampler's."""
    for node in _upstream(nodes, sampler):
        value = _number(nodes, node["inputs"].get("guidance"))
        if value is not None:
            return {"guidance": value}
    return {}


def _loras(inputs: dict[str, Any]) -> list[str]:
    """Return the tags of the LoRAs that a node loads: one, a stack ("lora_name_2"), or switched rows of rgthree's."""
    rows: list[tuple[Any, Any, Any, Any]] = []
    for number in ("", *(f"_{count}" for count in range(1, _MOST_PARTS))):
        if isinstance(row := inputs.get(f"lora{number}"), dict):
            rows.append((row.get("lora"), row.get("strength"), row.get("strengthTwo"), row.get("on", True)))
            continue
        name = next((inputs[key] for key in (f"lora_name{number}", f"lora{number}_name") if key in inputs), None)
        short = number.removeprefix("_")
        weight, clip_weight = [next((inputs[key] for key in keys if key in inputs), None) for keys in (
            ("strength_model", "lora_model_strength", f"model_weight{number}", f"lora_wt{number}",
             f"model_str{number}"),
            ("strength_clip", "lora_clip_strength", f"clip_weight{number}", f"clip_str{number}"))]
        switched = inputs.get(f"switch{number}", inputs.get(f"switch_{short}", "On"))
        rows.append((name, weight, clip_weight, switched not in ("Off", False)))
    tags = []
    for name, model, clip, on in rows:
        if isinstance(name, str) and name and name.casefold() != "none" and on:
            weight = float(model) if isinstance(model, (int, float)) else 1.0
            text = float(clip) if isinstance(clip, (int, float)) and clip != weight else None
            tags.append(lora_tag(_stem(name), weight, text))
    return tags[::-1]


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
    named = "sampler" in str(node.get("class_type")).casefold()
    return named and any(name in node["inputs"] for name in ("steps", "guider", "sigmas", "positive", "pipe"))


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
    """Return the text upstream of an input: of a text encoder, or through nodes that change conditionings or texts.

    What is concatenated is joined by BREAK, which is the same here. No node is asked twice: a graph may have circles,
    and many ways to one node.
    """
    seen = set() if seen is None else seen
    source = _source(nodes, value)
    if source is None:
        return value.strip() if isinstance(value, str) else ""
    if id(source) in seen or len(seen) >= _DEEPEST:
        return ""
    seen.add(id(source))
    inputs = source["inputs"]
    if "ZeroOut" in str(source.get("class_type")):
        return ""
    parts = sorted(name for name in inputs if _JOINED.fullmatch(name))[:_MOST_PARTS]
    if "select" in inputs and f"input{inputs['select']}" in parts:
        parts = [f"input{inputs['select']}"]
    if parts and not set(_TEXTS) & inputs.keys() - {"value"}:
        texts = (_text(nodes, inputs[name], side, seen) for name in parts)
        joiner = inputs.get("delimiter", inputs.get("separator", " "))
        return (joiner if isinstance(joiner, str) else " ").join(filter(None, texts))
    for name in (*_TEXTS, side, *_CONDITIONS):
        if name in inputs and (text := _text(nodes, inputs[name], side, seen)):
            more = (_text(nodes, inputs.get(other), side, seen) for other in _MORE_CONDITIONS)
            return " BREAK ".join((text, *filter(None, more)))
    links = [value for value in inputs.values() if _source(nodes, value) is not None] if len(inputs) <= 3 else []
    return next((text for value in links if (text := _text(nodes, value, side, seen))), "")


def _stem(name: str) -> str:
    base = name.replace("\\", "/").rpartition("/")[2]
    stem, ending = os.path.splitext(base)
    return stem if ending.lower() in (".safetensors", ".ckpt", ".gguf", ".sft", ".pt", ".pth") else base
