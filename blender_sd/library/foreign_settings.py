"""The settings that other programs write into their pictures: A1111's web UI, Forge and Krita AI Diffusion (the same
text), ComfyUI, InvokeAI, Fooocus, NovelAI and SwarmUI. What we have a counterpart for is brought into our fields; the
rest is listed.
"""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core import webui_text
from ..core.prompt_choices import lora_tag
from . import comfy_graph

_PAIR = re.compile(r'\s*([A-Za-z][\w \-/.]{0,60}?):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_LAST = re.compile(r"^\s*Steps: *\d")
_SIZE = re.compile(r"\D*(\d{1,6})\D+(\d{1,6})\D*")
_MAX_TEXT = 1 << 20
_SHOWN = 200  # characters of a value that is listed
# What each program calls our fields; "schedule" and "size" are brought into them by `_settle`.
_WEBUI = {**webui_text.NAMES, "Schedule type": "schedule", "Size": "size"}
_INVOKE = {
    "positive_prompt": "prompt", "negative_prompt": "negative", "seed": "seed", "steps": "steps",
    "cfg_scale": "guidance", "guidance": "guidance", "scheduler": "sampler", "width": "width", "height": "height",
    "model": "model", "strength": "strength", "sampler": "sampler", "prompt": "prompt",
    "hrf_strength": "refine_strength"}
_FOOOCUS = {
    "prompt": "prompt", "negative_prompt": "negative", "steps": "steps", "guidance_scale": "guidance", "seed": "seed",
    "sampler": "sampler", "scheduler": "schedule", "resolution": "size", "base_model": "model", "width": "width",
    "height": "height"}
_NOVELAI = {
    "prompt": "prompt", "uc": "negative", "steps": "steps", "scale": "guidance", "seed": "seed", "sampler": "sampler",
    "noise_schedule": "schedule", "width": "width", "height": "height", "strength": "strength"}
_SWARM = {
    "prompt": "prompt", "negativeprompt": "negative", "steps": "steps", "cfgscale": "guidance", "seed": "seed",
    "sampler": "sampler", "comfyuisampler": "sampler", "autowebuisampler": "sampler", "scheduler": "schedule",
    "comfyuischeduler": "schedule", "width": "width", "height": "height", "model": "model",
    "initimagecreativity": "strength", "variationseed": "variation_seed", "variationseedstrength": "variation_strength",
    "seamlesstileable": "tiling"}
_NO_NEWS = frozenset(("metadata_version", "app_version", "swarm_version", "version", "generation_mode",
                      "metadata_scheme", "request_type", "signed_hash", "schema", "model_hash", "base_model_hash",
                      "lora_hashes", "model hash", "lora hashes", "ti hashes"))


@dataclass(frozen=True)
class ForeignSettings:
    """Settings of another `program`. `fields`: values by the names of our request's fields ("model": a name;
    "schedule": of noise levels), as they were written. `unused`: what we have no counterpart for."""

    program: str
    fields: dict[str, Any]
    unused: dict[str, str] = field(default_factory=dict)


def read(texts: Mapping[str, str]) -> ForeignSettings | None:
    """Return the settings in the texts of a picture (`embedded_texts`); None where there are none that are known.
    Raises nothing: the texts may be a stranger's."""
    texts = {key: text for key, text in texts.items() if len(text) <= _MAX_TEXT}
    for reader in (_swarm, _invoke, _novelai, _fooocus, _webui, _comfy):
        try:
            found = reader(texts)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            continue  # not this program's
        if found is not None and (found.fields.get("prompt") or "steps" in found.fields):
            return found
    return None


def read_hidden(text: str) -> ForeignSettings | None:
    """Return the settings in a text from an alpha channel: A1111's, or NovelAI's chunks as JSON."""
    raw = _json(text)
    if isinstance(raw, dict):
        texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in raw.items()}
        return read(texts) or read({"parameters": text})
    return read({"parameters": text})


# ---- inside ----------------------------------------------------------------------------------------------------------


def _json(text: str | None) -> Any:
    if not text or text.lstrip()[:1] not in "{[":
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _written(texts: Mapping[str, str]) -> list[str]:
    """Return the texts where programs put one for all, the likeliest first."""
    keys = ("parameters", "UserComment", "Comment", "ImageDescription", "Model", "Description")
    return [texts[key] for key in keys if texts.get(key)]


def _webui(texts: Mapping[str, str]) -> ForeignSettings | None:
    for text in _written(texts):
        lines = text.strip().split("\n")
        last = next((number for number in range(len(lines) - 1, -1, -1) if _LAST.match(lines[number])), None)
        if last is None:
            continue
        words: list[str] = []
        negative: list[str] | None = None
        for line in lines[:last]:
            if line.startswith("Negative prompt:") and negative is None:
                negative, line = [], line[len("Negative prompt:"):].strip()
            (words if negative is None else negative).append(line)
        pairs = {
            key.strip(): value.strip().strip('"')
            for key, value in _PAIR.findall("\n".join(lines[last:]).replace("\n", ", "))}
        program = "Krita" if pairs.get("Model hash") == "unknown" else "Forge" if pairs.get(
            "Version", "").startswith("f") else "A1111"
        program = "Fooocus" if "Fooocus" in pairs.get("Version", "") else program
        made = _settle(program, pairs, _WEBUI)
        if "refine_scale" in made.fields and "strength" in made.fields:
            made.fields["refine_strength"] = made.fields.pop("strength")
        if distilled := pairs.get("Distilled CFG Scale"):
            made.fields["guidance"] = distilled
            made.unused.pop("Distilled CFG Scale", None)
        made.fields.update(prompt="\n".join(words).strip(), negative="\n".join(negative or ()).strip())
        return made
    return None


def _comfy(texts: Mapping[str, str]) -> ForeignSettings | None:
    for text in (texts.get("prompt"), *(texts.get(key, "").partition(":")[2]
                                        for key in ("Model", "Make", "ImageDescription"))):
        graph = _json(text)
        if isinstance(graph, dict) and any(isinstance(node, dict) and "class_type" in node for node in graph.values()):
            fields, unused = comfy_graph.read(graph)
            return ForeignSettings("ComfyUI", fields, {key: _shown(value) for key, value in unused.items()})
    return None


def _invoke(texts: Mapping[str, str]) -> ForeignSettings | None:
    raw = _json(texts.get("invokeai_metadata")) or _json(texts.get("sd-metadata"))
    if not isinstance(raw, dict):
        return None
    if isinstance(raw.get("image"), dict):  # of its second version
        model, raw = raw.get("model_weights"), {**raw["image"], "model": raw.get("model_weights")}
        if isinstance(raw.get("prompt"), list):
            raw["prompt"] = " ".join(str(part["prompt"]) for part in raw["prompt"])
    raw = {key: value for key, value in raw.items() if value is not None}
    loras = raw.pop("loras", None)
    model = raw.get("model")
    if isinstance(model, dict):
        raw["model"] = model.get("name") or model.get("model_name") or ""
    made = _settle("InvokeAI", raw, _INVOKE)
    named = [(lora.get("model") or lora.get("lora") or {}, lora.get("weight", 1.0)) for lora in loras or ()]
    return _with_loras(made, [(one.get("name") or one.get("model_name") or "", weight) for one, weight in named])


def _fooocus(texts: Mapping[str, str]) -> ForeignSettings | None:
    for text in _written(texts):
        raw = _json(text)
        if isinstance(raw, dict):
            raw = {key.casefold().replace(" ", "_"): value for key, value in raw.items()}
            if "base_model" in raw and "prompt" in raw:
                loras = raw.pop("loras", None) or ()
                pairs = [(one[0], one[1]) for one in loras if isinstance(one, (list, tuple)) and len(one) >= 2]
                for key in [key for key in raw if key.startswith("lora_combined_")]:
                    name, _, weight = str(raw.pop(key)).rpartition(":")
                    pairs.append((name.strip(), weight))
                return _with_loras(_settle("Fooocus", raw, _FOOOCUS), pairs)
    return None


def _novelai(texts: Mapping[str, str]) -> ForeignSettings | None:
    raw = _json(texts.get("Comment"))
    if not isinstance(raw, dict) or not ("uc" in raw or "NovelAI" in texts.get("Software", "")
                                         or "noise_schedule" in raw):
        return None
    raw.setdefault("prompt", texts.get("Description", ""))
    if not raw["prompt"] and isinstance(raw.get("v4_prompt"), dict):
        raw["prompt"] = raw["v4_prompt"]["caption"]["base_caption"]
    made = _settle("NovelAI", raw, _NOVELAI)
    if source := texts.get("Source"):
        made.unused["Source"] = _shown(source)
    return made


def _swarm(texts: Mapping[str, str]) -> ForeignSettings | None:
    for text in _written(texts):
        raw = _json(text)
        if isinstance(raw, dict) and isinstance(raw.get("sui_image_params"), dict):
            raw = dict(raw["sui_image_params"])
            loras, weights = (_listed(raw.pop(key, None)) for key in ("loras", "loraweights"))
            if isinstance(raw.get("model"), str):
                raw["model"] = raw["model"].rpartition("/")[2]
            weights += ["1"] * len(loras)
            pairs = [(name.rpartition("/")[2], weight) for name, weight in zip(loras, weights, strict=False)]
            return _with_loras(_settle("SwarmUI", raw, _SWARM), pairs)
    return None


def _listed(value: Any) -> list[str]:
    return [part.strip()
            for part in value.split(",")] if isinstance(value, str) else [str(part) for part in value or ()]


def _with_loras(made: ForeignSettings, loras: list[tuple[Any, Any]]) -> ForeignSettings:
    tags = []
    for name, weight in loras:
        if isinstance(name, str) and name and name.casefold() != "none":
            tags.append(lora_tag(re.sub(r"\.safetensors$", "", name, flags=re.I), float(weight)))
    if tags:
        made.fields["prompt"] = " ".join([str(made.fields.get("prompt", "")), *tags]).strip()
    return made


def _settle(program: str, raw: Mapping[str, Any], names: Mapping[str, str]) -> ForeignSettings:
    """Return `raw` by our names, and what has none."""
    fields: dict[str, Any] = {}
    unused: dict[str, str] = {}
    for key, value in raw.items():
        ours = names.get(key)
        if ours == "size" and (size := _SIZE.fullmatch(str(value))):
            fields["width"], fields["height"] = size[1], size[2]
        elif ours == "tiling":
            if str(value).casefold() not in ("false", "none", ""):
                fields[ours] = "xy"
        elif ours and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            fields.setdefault(ours, value)
        elif key.casefold().replace(
                "_", " ") not in _NO_NEWS and key.casefold() not in _NO_NEWS and value not in (None, "", [], {}):
            unused[key] = _shown(value)
    return ForeignSettings(program, fields, unused)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return " ".join(text.split())[:_SHOWN]
