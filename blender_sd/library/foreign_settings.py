"""The settings that other programs write into their pictures: A1111's web UI, Forge and Krita AI Diffusion (the same
text, `webui_reader`), ComfyUI (`comfy_graph`), InvokeAI, Fooocus, NovelAI and SwarmUI. What we have a counterpart for
is brought into our fields; the rest is listed.
"""
from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core import webui_text
from ..core.prompt_choices import lora_tag, without_loras
from . import comfy_graph, webui_reader
from .novelai_prompt import in_our_notation

_SIZE = re.compile(r"\D*(\d{1,6})\D+(\d{1,6})\D*")
_MAX_TEXT = 1 << 20
_SHOWN = 200  # characters of a value that is listed
# What each program calls our fields, in small letters; "schedule" and "size" are brought into them by `_settle`.
_WEBUI = {name.casefold(): ours for name, ours in webui_text.NAMES.items()} | {
    "schedule type": "schedule", "scheduler": "schedule", "size": "size", "model": "model", "vae": "vae",
    "hires upscaler": "upscaler"}
_INVOKE = {
    "positive_prompt": "prompt", "negative_prompt": "negative", "seed": "seed", "steps": "steps",
    "cfg_scale": "guidance", "guidance": "guidance", "scheduler": "sampler", "width": "width", "height": "height",
    "model": "model", "strength": "strength", "sampler": "sampler", "prompt": "prompt",
    "hrf_strength": "refine_strength", "vae": "vae"}
_FOOOCUS = {
    "prompt": "prompt", "negative_prompt": "negative", "steps": "steps", "guidance_scale": "guidance", "seed": "seed",
    "sampler": "sampler", "scheduler": "schedule", "resolution": "size", "base_model": "model", "width": "width",
    "height": "height", "vae": "vae"}
_PERFORMANCE = {"speed": 30, "quality": 60, "extreme speed": 8, "lightning": 4, "hyper-sd": 4}  # Fooocus' steps
_INVOKE_LINE = re.compile(r'\s*"(?P<prompt>.*)"\s+(?P<options>-.*)', re.S)
_INVOKE_OPTIONS = {"-s": "steps", "-S": "seed", "-W": "width", "-H": "height", "-C": "guidance", "-A": "sampler",
                   "-f": "strength"}
_NOVELAI = {
    "prompt": "prompt", "uc": "negative", "steps": "steps", "scale": "guidance", "seed": "seed", "sampler": "sampler",
    "noise_schedule": "schedule", "width": "width", "height": "height", "strength": "strength"}
_SWARM = {
    "prompt": "prompt", "negativeprompt": "negative", "steps": "steps", "cfgscale": "guidance", "seed": "seed",
    "sampler": "sampler", "comfyuisampler": "sampler", "autowebuisampler": "sampler", "scheduler": "schedule",
    "comfyuischeduler": "schedule", "width": "width", "height": "height", "model": "model",
    "initimagecreativity": "strength", "variationseed": "variation_seed", "variationseedstrength": "variation_strength",
    "seamlesstileable": "tiling", "vae": "vae", "refinerupscale": "refine_scale",
    "refinercontrolpercentage": "refine_strength"}
_NO_NEWS = frozenset(("metadata_version", "app_version", "swarm_version", "version", "generation_mode",
                      "metadata_scheme", "request_type", "signed_hash", "schema", "model_hash", "base_model_hash",
                      "lora_hashes", "model hash", "lora hashes", "ti hashes", "vae hash", "loras", "hashes"))
_NO_VAE = ("none", "automatic", "default (model)", "baked vae")
_ENDINGS = re.compile(r"\.(?:safetensors|ckpt|gguf|sft|pt|pth)$", re.I)
_K = re.compile(r"_k$")  # Invoke's ending of samplers with Karras' noise levels


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
    texts = {_KEYS.get(key.casefold(), key): text for key, text in texts.items() if len(text) <= _MAX_TEXT}
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


_WRITTEN = ("parameters", "UserComment", "Comment", "ImageDescription", "Model", "Description")
_KEYS = {key.casefold(): key for key in (*_WRITTEN, "prompt", "workflow", "invokeai_metadata", "sd-metadata", "Dream")}


def _written(texts: Mapping[str, str]) -> list[str]:
    """Return the texts where programs put one for all, the likeliest first."""
    return [texts[key] for key in _WRITTEN if texts.get(key)]


def _webui(texts: Mapping[str, str]) -> ForeignSettings | None:
    for text in _written(texts):
        parts = webui_reader.read(text)
        if parts is None:
            continue
        pairs = parts.settings
        version = pairs.get("Version", "")
        program = "Krita" if pairs.get("Model hash") == "unknown" else "Forge" if version.startswith("f") else "A1111"
        program = "Fooocus" if "Fooocus" in version else program
        if program == "Krita":
            pairs["Sampler"] = webui_reader.krita_sampler(pairs.get("Sampler", ""))
        made = _settle(program, pairs, _WEBUI)
        if "refine_scale" in made.fields and "strength" in made.fields:
            made.fields["refine_strength"] = made.fields.pop("strength")
        if distilled := pairs.get("Distilled CFG Scale"):
            made.fields["guidance"] = distilled
            made.unused.pop("Distilled CFG Scale", None)
        learnt = webui_reader.names_in(pairs.get("TI hashes", ""))
        prompts = {"prompt": parts.prompt, "negative": parts.negative}
        made.fields.update({key: webui_reader.with_embeddings(words, learnt) for key, words in prompts.items()})
        return made
    return None


def _comfy(texts: Mapping[str, str]) -> ForeignSettings | None:
    places = (texts.get(key, "").partition(":")[2] for key in ("Model", "Make", "ImageDescription"))
    for text in (texts.get("prompt"), *places, texts.get("UserComment")):  # the last is Civitai's
        graph = _json(text)
        if isinstance(graph, dict) and any(isinstance(node, dict) and "class_type" in node for node in graph.values()):
            fields, unused = comfy_graph.read(graph)
            return ForeignSettings("ComfyUI", fields, {key: _shown(value) for key, value in unused.items()})
    return None


def _invoke(texts: Mapping[str, str]) -> ForeignSettings | None:
    raw = _json(texts.get("invokeai_metadata")) or _json(texts.get("sd-metadata"))
    if not isinstance(raw, dict):
        return _invoke_line(texts.get("Dream", ""))
    if isinstance(raw.get("image"), dict):  # of its second version
        raw = {**raw["image"], "model": raw.get("model_weights")}
        if isinstance(raw.get("prompt"), list):
            raw["prompt"] = " ".join(str(part["prompt"]) for part in raw["prompt"])
    raw = {key: value for key, value in raw.items() if value is not None}
    loras = raw.pop("loras", None)
    for part in ("model", "vae"):
        if isinstance(named := raw.get(part), dict):
            raw[part] = named.get("name") or named.get("model_name") or ""
    sides = [side for side in "xy" if raw.pop(f"seamless_{side}", None) is True]
    made = _settle("InvokeAI", raw, _INVOKE)
    if sides:
        made.fields["tiling"] = "".join(sides)
    if _K.search(sampler := str(made.fields.get("sampler", ""))):
        made.fields.update(sampler=_K.sub("", sampler), schedule="karras")
    named = [(lora.get("model") or lora.get("lora") or {}, lora.get("weight", 1.0)) for lora in loras or ()]
    return _with_loras(made, [(one.get("name") or one.get("model_name") or "", weight) for one, weight in named])


def _invoke_line(text: str) -> ForeignSettings | None:
    """Return the settings in InvokeAI's first notation: "a castle" -s 50 -S 42 -W 512 -H 512 -C 7.5 -A k_lms."""
    match = _INVOKE_LINE.fullmatch(text)
    if match is None:
        return None
    words = match["options"].split()
    named = dict(zip(words, words[1:], strict=False))
    return ForeignSettings("InvokeAI", {"prompt": match["prompt"], **{
        ours: named[option] for option, ours in _INVOKE_OPTIONS.items() if option in named}})


def _fooocus(texts: Mapping[str, str]) -> ForeignSettings | None:
    for text in _written(texts):
        raw = _json(text)
        if isinstance(raw, dict):
            raw = {key.casefold().replace(" ", "_"): value for key, value in raw.items()}
            if "base_model" in raw and "prompt" in raw:
                loras = raw.pop("loras", None) or ()
                pairs = [(one[0], one[1]) for one in loras if isinstance(one, (list, tuple)) and len(one) >= 2]
                for key in [key for key in raw if re.fullmatch(r"lora_(?:combined_)?\d+", key)]:
                    name, _, weight = str(raw.pop(key)).rpartition(":")
                    pairs.append((name.strip(), weight))
                raw.setdefault("steps", _PERFORMANCE.get(str(raw.get("performance", "")).casefold()))
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
    for key in ("v4_prompt", "v4_negative_prompt"):
        if isinstance(raw.get(key), dict):  # beyond the prompt it has only what single characters look like
            raw[key] = raw[key].get("caption", {}).get("char_captions")
    made = _settle("NovelAI", raw, _NOVELAI)
    for key in {"prompt", "negative"} & made.fields.keys():
        made.fields[key] = in_our_notation(made.fields[key])
    if source := texts.get("Source"):
        made.unused["Source"] = _shown(source)
    return made


def _swarm(texts: Mapping[str, str]) -> ForeignSettings | None:
    for text in _written(texts):
        raw = _json(text)
        if isinstance(raw, dict) and isinstance(raw.get("sui_image_params"), dict):
            raw = dict(raw["sui_image_params"])
            loras, weights = (_listed(raw.pop(key, None)) for key in ("loras", "loraweights"))
            weights += ["1"] * len(loras)
            pairs = [(name.rpartition("/")[2], weight) for name, weight in zip(loras, weights, strict=False)]
            return _with_loras(_settle("SwarmUI", raw, _SWARM), pairs)
    return None


def _listed(value: Any) -> list[str]:
    return [part.strip()
            for part in value.split(",")] if isinstance(value, str) else [str(part) for part in value or ()]


def _with_loras(made: ForeignSettings, loras: list[tuple[Any, Any]]) -> ForeignSettings:
    tags = []
    known = {tag.name.rpartition("/")[2] for tag in without_loras(str(made.fields.get("prompt", "")))[1]}
    for name, weight in loras:
        if isinstance(name, str) and name and name.casefold() != "none":
            stem = _ENDINGS.sub("", name)
            if stem not in known:
                tags.append(lora_tag(stem, float(weight)))
    if tags:
        made.fields["prompt"] = " ".join([str(made.fields.get("prompt", "")), *tags]).strip()
    return made


def _settle(program: str, raw: Mapping[str, Any], names: Mapping[str, str]) -> ForeignSettings:
    """Return `raw` by our names, and what has none."""
    fields: dict[str, Any] = {}
    unused: dict[str, str] = {}
    for key, value in raw.items():
        ours = names.get(key.casefold())
        if ours == "size" and (size := _SIZE.fullmatch(str(value))):
            fields["width"], fields["height"] = size[1], size[2]
        elif ours == "tiling":
            if str(value).casefold() not in ("false", "none", ""):
                fields[ours] = "xy"
        elif ours in ("model", "vae") and isinstance(value, str):
            name = _ENDINGS.sub("", value.replace("\\", "/").rpartition("/")[2])
            if name and not (ours == "vae" and value.casefold() in _NO_VAE):
                fields.setdefault(ours, name)
        elif ours and isinstance(value, (str, int, float)) and not isinstance(value, bool):
            fields.setdefault(ours, value)
        elif key.casefold().replace(
                "_", " ") not in _NO_NEWS and key.casefold() not in _NO_NEWS and value not in (None, "", [], {}):
            unused[key] = _shown(value)
    return ForeignSettings(program, fields, unused)


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return " ".join(text.split())[:_SHOWN]
