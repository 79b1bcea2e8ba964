"""Keep libraries from talking to the artist: logs go to `logging`, progress bars nowhere, and the network is left
alone.
"""
from __future__ import annotations

import importlib
import importlib.metadata
import logging
import os
import warnings

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors", "numpy", "pillow")


def stay_offline() -> None:
    """Tell the Hugging Face libraries to make no connections.

    Call it before they are imported, and only in a process of ours.
    """
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK",
                 "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ[name] = "1"


def hush_libraries() -> None:
    """Send diffusers' and transformers' logs through `logging` instead of their own handlers, and stop their progress
    bars.
    """
    for library in ("diffusers", "transformers"):
        logs = importlib.import_module(f"{library}.utils.logging")
        logs.disable_default_handler()
        logs.enable_propagation()
        logs.disable_progress_bar()
        logs.set_verbosity(logging.ERROR)
    # DPM++ SDE asks torchsde for noise a rounding error beyond its interval, once per picture.
    warnings.filterwarnings("ignore", message="Should have t[ab]", category=UserWarning)
    warnings.filterwarnings("ignore", category=FutureWarning, module="diffusers")  # for its developers


def import_families() -> None:
    """Import the code of the families that most artists use; diffusers and transformers import it only on demand."""
    diffusers, transformers = importlib.import_module("diffusers"), importlib.import_module("transformers")
    for name in ("AutoPipelineForText2Image", "AutoPipelineForImage2Image", "StableDiffusionPipeline",
                 "StableDiffusionXLPipeline"):
        getattr(diffusers, name)
    for name in ("CLIPTextModel", "CLIPTextModelWithProjection", "CLIPTokenizer"):
        getattr(transformers, name)


def versions() -> dict[str, str]:
    """Return the versions of the installed packages that make the pictures, by name."""
    installed = {}
    for name in _PACKAGES:
        try:
            installed[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed
