"""ComfyUI's graphs as people build them, with nodes of extensions."""
from __future__ import annotations

import json

import pytest

from blender_sd.library import foreign_settings


def node(kind, **inputs):
    return {"class_type": kind, "inputs": inputs}


SAMPLING = {"seed": 1, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0,
            "model": ["1", 0], "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0]}
BASE = {
    "1": node("CheckpointLoaderSimple", ckpt_name="xl\\base.safetensors"),
    "3": node("KSampler", **SAMPLING), "5": node("EmptyLatentImage", width=512, height=768, batch_size=1),
    "6": node("CLIPTextEncode", text="a castle", clip=["1", 1]),
    "7": node("CLIPTextEncode", text="ugly", clip=["1", 1]), "11": node("VAEDecode", samples=["3", 0], vae=["1", 2]),
    "12": node("SaveImage", images=["11", 0])}


def sampling(**changes):
    return {"3": node("KSampler", **{**SAMPLING, **changes})}


GRAPHS = {
    "plain": ({}, {"seed": 1, "model": "base", "width": 512, "height": 768, "prompt": "a castle", "negative": "ugly"}),
    "sdxl's encoder says other sizes": (
        {"6": node("CLIPTextEncodeSDXL", text_g="big", text_l="small", width=4096, height=4096, target_width=4096,
                   target_height=4096, clip=["1", 1])}, {"prompt": "big", "width": 512, "height": 768}),
    "concatenated": (
        sampling(positive=["8", 0]) | {"8": node("ConditioningConcat", conditioning_to=["6", 0],
                                                 conditioning_from=["9", 0]), "9": node("CLIPTextEncode", text="a sky")},  # noqa: E501
        {"prompt": "a castle BREAK a sky"}),
    "zeroed negative": (
        sampling(negative=["8", 0]) | {"8": node("ConditioningZeroOut", conditioning=["6", 0])}, {"negative": ""}),
    "texts joined": (
        {"6": node("CLIPTextEncode", text=["8", 0], clip=["1", 1]),
         "8": node("Text Concatenate", delimiter=", ", text_a=["9", 0], text_b="a hill"),
         "9": node("Text Multiline", text="a castle")}, {"prompt": "a castle, a hill"}),
    "a switch": (
        sampling(positive=["8", 0]) | {"8": node("ImpactSwitch", select=2, input1=["7", 0], input2=["6", 0])},
        {"prompt": "a castle"}),
    "a reroute": (sampling(positive=["8", 0]) | {"8": node("Reroute", **{"": ["6", 0]})}, {"prompt": "a castle"}),
    "rgthree's loras": (
        sampling(model=["8", 0]) | {"8": node("Power Lora Loader (rgthree)", model=["1", 0], lora_1={
            "on": True, "lora": "sub\\ink.safetensors", "strength": 0.7}, lora_2={"on": False, "lora": "b.safetensors",
                                                                                  "strength": 1})},
        {"prompt": "a castle <lora:ink:0.7>"}),
    "a stack of loras": (
        sampling(model=["8", 0]) | {
            "8": node("CR Apply LoRA Stack", model=["1", 0], lora_stack=["9", 0]),
            "9": node("CR LoRA Stack", switch_1="On", lora_name_1="a.safetensors", model_weight_1=0.5, clip_weight_1=0.4,  # noqa: E501
                      switch_2="Off", lora_name_2="b.safetensors", model_weight_2=1, clip_weight_2=1,
                      switch_3="On", lora_name_3="None", model_weight_3=1, clip_weight_3=1)},
        {"prompt": "a castle <lora:a:0.4:0.5>"}),
    "an all-in-one loader": (
        {"1": node("Efficient Loader", ckpt_name="m.safetensors", vae_name="Baked VAE", lora_name="None", positive="pos",  # noqa: E501
                   negative="neg", empty_latent_width=640, empty_latent_height=384),
         "3": node("KSampler (Efficient)", **{**SAMPLING, "positive": ["1", 1], "negative": ["1", 2],
                                              "latent_image": ["1", 3]})},
        {"prompt": "pos", "negative": "neg", "width": 640, "height": 384, "model": "m", "vae": None}),
    "distilled guidance": (
        sampling(cfg=1.0, positive=["8", 0]) | {"8": node("FluxGuidance", guidance=3.5, conditioning=["6", 0])},
        {"guidance": 3.5}),
    "sampler and noise levels as nodes": (
        {"3": node("SamplerCustom", noise_seed=5, cfg=2, model=["1", 0], positive=["6", 0], negative=["7", 0],
                   sampler=["8", 0], sigmas=["9", 0], latent_image=["5", 0]),
         "8": node("SamplerDPMPP_2M_SDE", eta=1), "9": node("KarrasScheduler", steps=25, rho=7)},
        {"sampler": "DPMPP_2M_SDE", "schedule": "Karras", "steps": 25, "seed": 5}),
    "another vae": ({"11": node("VAEDecode", samples=["3", 0], vae=["8", 0]), "8": node("VAELoader", vae_name="my.pt")}
                    | sampling(optional_vae=["8", 0]), {"vae": "my"}),
    "a second pass": (
        {"20": node("LatentUpscale", samples=["3", 0], upscale_method="nearest", width=1024, height=1536),
         "21": node("KSampler", **{**SAMPLING, "seed": 2, "denoise": 0.5, "latent_image": ["20", 0]}),
         "11": node("VAEDecode", samples=["21", 0], vae=["1", 2])}, {"seed": 1, "width": 512, "strength": None}),
    "a picture to begin with": (
        sampling(denoise=0.6, latent_image=["8", 0]) | {"8": node("VAEEncode", pixels=["9", 0], vae=["1", 2]),
                                                        "9": node("LoadImage", image="in.png")},
        {"strength": 0.6, "width": None}),
}


@pytest.mark.parametrize("name", list(GRAPHS))
def test_what_a_graph_paints_with(name):
    nodes, fields = GRAPHS[name]
    found = foreign_settings.read({"prompt": json.dumps({**BASE, **nodes})})
    assert found.program == "ComfyUI"
    assert {key: found.fields.get(key) for key in fields} == fields


def test_a_graph_in_the_exif_of_a_jpeg_as_civitai_writes_it():
    graph = {**BASE, "resource-stack": node("CheckpointLoaderSimple", ckpt_name="urn:air:sdxl:checkpoint:civitai:1@2"),
             "extra": {"airs": []}, "extraMetadata": "{}"}
    assert foreign_settings.read({"UserComment": json.dumps(graph)}).fields["prompt"] == "a castle"
