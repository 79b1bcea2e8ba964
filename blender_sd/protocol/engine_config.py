"""Declare how an engine runs. The session sends it in its first message.

The preferences, `configure` and its checks are derived from these declarations.
"""
from __future__ import annotations

from dataclasses import dataclass

from ..core.memory_modes import MEMORY_MODES
from ..core.settings import FILE, FOLDER, SHARE, checked, setting_field

PRECISIONS = {
    "auto": ("Automatic", "What is fastest on the device without loss that can be seen"),
    "fp32": ("32 bit", "Exact, twice the memory"), "bf16": ("16 bit (bf16)", "Half the memory; for recent devices"),
    "fp16": ("16 bit (fp16)", "Half the memory; for graphics cards")}
MEMORY_USES = {"auto": ("Automatic", "As fast as free memory allows"),
               **{mode.id: (mode.label, mode.text) for mode in MEMORY_MODES.values()}}
ATTENTION = {
    "auto": ("Automatic", "torch's own, which chooses a kernel for the device"),
    "flash": ("FlashAttention", "The package flash-attn. For models with a diffusion transformer, on NVIDIA cards"),
    "sage": ("SageAttention", "The package sageattention: 8-bit, slightly other pixels. For the same models and cards"),
    "xformers": ("xFormers", "The package xformers. For all models, on NVIDIA cards")}


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Configure an engine. What a studio's policy (see `library.policy`) requires takes precedence.

    Attributes:
        preview_px: The longest side of previews in pixels; 0 for none.
        credentials: The folder of the key that signs content credentials; "" for unsigned files.
        engine, engines: Which of several engines on this machine it is, from 0, and how many there are: they share
            the cards, or the processor's cores and memory.
        digests: The file in which the digests of models are kept (`library.content_digests`); "" for none.

    Raises:
        InvalidRequest: A value is of the wrong type, out of range, or no choice.
    """

    device: str = setting_field(
        "auto", "Device",
        "What denoises: auto, cpu, cuda (NVIDIA, and AMD through ROCm), mps (Apple), xpu (Intel); cuda:1 is the second "
        "one")
    precision: str = setting_field("auto", "Precision", "The number format that models are run in",
                                   choices=tuple(PRECISIONS), words=PRECISIONS)
    threads: int = setting_field(
        0, "CPU Threads",
        "Processor threads that the engine uses; 0 is all cores, but Blender goes first",
        low=0, high=1024, soft_high=64)
    memory_mb: int = setting_field(
        0, "Memory for Models (MB)",
        "How many megabytes of models stay loaded between jobs; 0 is half of what the machine has", low=0, high=2**24,
        soft_high=65536, step=256)
    memory_use: str = setting_field(
        "auto", "Memory Use",
        "How a model and its pictures are made to fit. Automatic goes down this list only as far as it must",
        choices=tuple(MEMORY_USES), words=MEMORY_USES)
    preview_px: int = 256
    attention: str = setting_field(
        "auto", "Attention",
        "What computes attention, the part of the work that grows fastest with the picture. What is not installed "
        "beside the engine or does not fit the device is left out, and the panel says so", choices=tuple(ATTENTION),
        words=ATTENTION)
    compile: bool = setting_field(
        False, "Compile Models",
        "Let torch compile the blocks of a model when they are first used: the first picture of each size waits, later "
        "ones are faster. Needs a C++ compiler on a processor, Triton on a graphics card; without, the panel says so")
    marking: bool = setting_field(
        True, "Mark Pictures as AI-Generated",
        "Let each picture's file say, in ways that other programs read, that a model made it: IPTC's field for it in "
        "XMP, and signed content credentials (C2PA). No pixel is changed. It holds for pictures that are made from now "
        "on")
    credentials: str = ""
    digests: str = ""
    certificate: str = setting_field(
        "", "Certificate",
        "Your own certificate to sign content credentials with: a PEM file with the signing certificate first, then "
        "those between it and its authority. Left empty: a certificate that is made on this machine, for which nobody "
        "vouches", unit=FILE)
    private_key: str = setting_field(
        "", "Private Key",
        "The private key of your certificate: a PEM file without a password, which only you can read. It never leaves "
        "this machine", unit=FILE)
    safety_filter: str = setting_field(
        "", "Safety Filter",
        "The folder of a model that looks at every finished picture and keeps back those that it calls unsafe: an "
        "image classifier of transformers, or Stable Diffusion's safety checker, in safetensors. While it is on, no "
        "previews are shown. Left empty: none", unit=FOLDER)
    safety_labels: str = setting_field(
        "", "Unsafe Labels",
        "Which of the classifier's labels are unsafe, separated by commas. Left empty: those known by their names, "
        "such as nsfw or porn")
    safety_threshold: float = setting_field(
        0.5, "Threshold",
        "How sure the classifier must be to keep a picture back; less keeps back more. The safety checker has its own",
        low=0.0, high=1.0, unit=SHARE)
    engine: int = 0
    engines: int = 1
    blocked_words: str = setting_field(
        "", "Blocked Words", "A text file of words and phrases, one a line, that no prompt may hold. Left empty: none",
        unit=FILE)

    def __post_init__(self) -> None:
        checked(self, any_text=True)
