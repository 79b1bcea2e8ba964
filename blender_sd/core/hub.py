"""List models on the Hugging Face hub that artists use, and parse how people write repositories.

Sizes are rough: what is downloaded of the repository, in half precision where it has that. The licence that counts is
the one on the model's page.
"""
from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import InvalidRequest
from .names import closest, suggestion

HOST = "https://huggingface.co/"
# folder beside the models for unfinished downloads; folders that begin with a dot are never searched
UNFINISHED = ".fetching"
CACHED = "models--"  # the hub's own cache: models--owner--name/snapshots/<commit>/model_index.json
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"
_ID = re.compile(rf"({_NAME}/{_NAME})(?:/(?:(?:blob|resolve|tree)/[^/]+/)?([^?#]+))?(?:[?#].*)?")


@dataclass(frozen=True)
class HubModel:
    """Describe a model on the hub.

    Attributes:
        id: owner/name, or owner/name/file.safetensors.
        name: The name that people see.
        family: The name of its family.
        gigabytes: The rough size of the download in 10⁹ bytes.
        licence: The name of its licence.
        text: What it is good for, in a few words.
        gated: Whether its owner asks for the licence to be accepted on the model's page, and for a token.
    """

    id: str
    name: str
    family: str
    gigabytes: float
    licence: str
    text: str
    gated: bool = False

    @property
    def link(self) -> str:
        """The address of the model's page, with its licence."""
        return page(self.id)


MODELS = (
    HubModel("stable-diffusion-v1-5/stable-diffusion-v1-5", "Stable Diffusion 1.5", "SD 1.5", 2.7,
             "CreativeML OpenRAIL-M",
             "Small and quick; most LoRAs and ControlNets are made for it"),
    HubModel("stabilityai/stable-diffusion-xl-base-1.0", "SDXL 1.0", "SDXL", 7, "CreativeML OpenRAIL++-M",
             "1024 pixels; many LoRAs and ControlNets"),
    HubModel("stabilityai/sdxl-turbo", "SDXL Turbo", "SDXL", 7, "Stability AI: read it before commercial use",
             "One to four steps at 512 pixels, guidance 1 (off)"),
    HubModel("stabilityai/stable-diffusion-3.5-medium", "Stable Diffusion 3.5 Medium", "SD 3.5", 16,
             "Stability AI Community: free below US$ 1 M yearly revenue", "Follows long prompts well", gated=True),
    HubModel("black-forest-labs/FLUX.1-schnell", "Flux.1 schnell", "Flux.1", 34, "Apache-2.0", "Large; four steps",
             gated=True),
    HubModel("black-forest-labs/FLUX.1-dev", "Flux.1 dev", "Flux.1", 34, "FLUX.1 [dev] Non-Commercial",
             "Large; finest detail", gated=True),
    HubModel("black-forest-labs/FLUX.2-klein-4B", "Flux.2 Klein 4B", "Flux.2", 16, "Apache-2.0", "Four steps"),
    HubModel("Tongyi-MAI/Z-Image-Turbo", "Z-Image Turbo", "Z-Image", 33, "Apache-2.0",
             "Eight steps; photographs, and text in pictures"),
    HubModel("Qwen/Qwen-Image", "Qwen-Image", "Qwen-Image", 58, "Apache-2.0", "Very large; text in pictures"),
    HubModel("Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers", "SANA-Sprint 1.6B", "SANA", 10,
             "NVIDIA NSCL v2-custom; its text encoder: Gemma Terms of Use", "Two steps at 1024 pixels"),
    HubModel("lllyasviel/control_v11f1p_sd15_depth", "ControlNet Depth", "SD 1.5", 0.8, "CreativeML OpenRAIL-M",
             "Keeps to the scene's depth"),
    HubModel("diffusers/controlnet-depth-sdxl-1.0", "ControlNet Depth", "SDXL", 2.5, "CreativeML OpenRAIL++-M",
             "Keeps to the scene's depth"),
    HubModel("diffusers/controlnet-canny-sdxl-1.0", "ControlNet Canny", "SDXL", 2.5, "CreativeML OpenRAIL++-M",
             "Keeps to the edges in an image"),
    HubModel("h94/IP-Adapter/models/ip-adapter_sd15.safetensors", "IP-Adapter", "SD 1.5", 2.6, "Apache-2.0",
             "Takes over the look of a reference image; with its image encoder"),
    HubModel("h94/IP-Adapter/sdxl_models/ip-adapter_sdxl.safetensors", "IP-Adapter", "SDXL", 4.4, "Apache-2.0",
             "Takes over the look of a reference image; with its image encoder"),
    HubModel("ByteDance/SDXL-Lightning/sdxl_lightning_4step_lora.safetensors", "SDXL Lightning LoRA, 4 steps", "SDXL",
             0.4,
             "CreativeML OpenRAIL++-M", "A LoRA for four steps at guidance 1 (off)"),
    HubModel("Falconsai/nsfw_image_detection", "NSFW Image Detection", "Safety Filter", 0.4, "Apache-2.0",
             "A safety filter for pictures of any model, with the labels normal and nsfw"),
)


def parse(text: str) -> tuple[str, str]:
    """Parse a repository as people write it: owner/name, owner/name/file.safetensors, or the address of its page.

    Returns:
        owner/name, and the file in it ("" for the whole repository).

    Raises:
        InvalidRequest: `text` is none of these.
    """
    wanted = text.strip().removeprefix(HOST).strip("/")
    match = _ID.fullmatch(wanted)
    if match is None or "://" in wanted:
        raise InvalidRequest(f"'{text.strip():.200}' is no repository of the Hugging Face hub.",
                             suggestion(wanted, closest(wanted, (model.id for model in MODELS)),
                                        "Write owner/name, or owner/name/file.safetensors for one file of it."))
    repo, file = match.group(1), match.group(2) or ""
    return (repo, "") if re.match(r"(blob|resolve|tree)(/|$)", file) else (repo, file)


def is_classifier(config: dict) -> bool:
    """Return whether a safety filter can have this `config`.

    That is an image classifier's, or that of Stable Diffusion's safety checker.
    """
    names = config.get("architectures")
    return isinstance(names, list) and any(str(name).endswith(("ForImageClassification", "SafetyChecker"))
                                           for name in names)


def folder_name(repo: str) -> str:
    """Return the name of the folder that holds downloads of the repository owner/name."""
    return repo.replace("/", "--")


def name_of(folder: str) -> str:
    """Return what people call the model in `folder`."""
    parts = folder.replace("\\", "/").split("/")
    if len(parts) >= 3 and parts[-2] == "snapshots" and parts[-3].startswith(CACHED):
        return parts[-3][len(CACHED):].replace("--", "/")
    return parts[-1].replace("--", "/", 1) or folder  # as `folder_name` has it


def page(id: str) -> str:
    """Return the address of the page of the repository in `id` (see `HubModel.id`)."""
    return HOST + "/".join(id.split("/")[:2])


def known(text: str) -> HubModel | None:
    """Return the model of the list above that `text` stands for, or None."""
    try:
        repo, file = parse(text)
    except InvalidRequest:
        return None
    return next((model for model in MODELS if model.id == f"{repo}/{file}".rstrip("/")), None)
