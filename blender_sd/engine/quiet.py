"""Keeps libraries from talking to the artist: logs go to `logging`, progress bars nowhere, the network is left alone."""
from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import warnings

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "pillow")
# For c2pa: no manifest from an address that a picture names, no revocation lists, no other connection either.
CREDENTIALS_OFFLINE = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False}, "core": {"allowed_network_hosts": []}}


def stay_offline() -> None:
    """Tells the Hugging Face libraries to ask nobody for anything. To be called before they are imported; only in a
    process that is ours."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ[name] = "1"


def hush_libraries() -> None:
    """Sends diffusers' and transformers' logs through `logging` instead of their own handlers, and stops their bars."""
    for library in ("diffusers", "transformers"):
        logs = importlib.import_module(f"{library}.utils.logging")
        logs.disable_default_handler()
        logs.enable_propagation()
        logs.disable_progress_bar()
        logs.set_verbosity(logging.ERROR)
    # DPM++ SDE asks torchsde for noise a rounding error beyond its interval, once a picture.
    warnings.filterwarnings("ignore", message="Should have t[ab]", category=UserWarning)
    warnings.filterwarnings("ignore", category=FutureWarning, module="diffusers")  # of use to its developers


def import_families() -> None:
    """Imports the code of the families that most artists use; diffusers and transformers do so only on demand."""
    diffusers, transformers = importlib.import_module("diffusers"), importlib.import_module("transformers")
    for name in ("AutoPipelineForText2Image", "AutoPipelineForImage2Image", "StableDiffusionPipeline", "StableDiffusionXLPipeline"):
        getattr(diffusers, name)
    for name in ("CLIPTextModel", "CLIPTextModelWithProjection", "CLIPTokenizer"):
        getattr(transformers, name)


def versions() -> dict[str, str]:
    """Package name -> version of what makes the pictures; those that are not installed are left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
