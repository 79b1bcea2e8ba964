"""Parse the names of the tensors in LoRA files: every trainer writes the layer first and the tensor's role last.

    kohya, ComfyUI, Forge     <layer>.lora_down.weight, .lora_up.weight, .lora_mid.weight, .alpha
    peft, ai-toolkit          <layer>.lora_A.weight, .lora_B.weight, also with the adapter's name before "weight"
    diffusers, XLabs          <layer>.lora.down.weight, <layer>_lora1.up.weight, .lora_linear_layer.down.weight
    LyCORIS                   <layer>.hada_w1_a …, .lokr_w1 …, .diff, .diff_b, .w_norm, .b_norm; .dora_scale beside any
    OneTrainer                like kohya; with textual inversions in the bundle: bundle_emb.<word>.clip_l …

Only names and shapes are needed, so that lists can be made without reading weights.
"""
from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

DOWN, UP, MID, ALPHA, UP_BIAS = "down", "up", "mid", "alpha", "up_bias"
# LyCORIS's, whose shape tells the axis; peft's, always one number per output
DORA, MAGNITUDE = "dora_scale", "magnitude"
DIFF, DIFF_BIAS, NORM, NORM_BIAS = "diff", "diff_b", "w_norm", "b_norm"
HADAMARD = ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2")
KRONECKER = ("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2")
NAMED_ENCODERS = ("clip_l", "clip_g")  # what textual inversions for two encoders call them
BUNDLED = re.compile(r"bundle_emb\.(?P<word>.+?)"
                     r"(?:\.(?P<part>string_to_param\.\*|em[bp]_params|clip_[lg]|t5(?:xxl)?|qwen\w*|gemma\w*|llama|llm)"
                     r"(?P<output>_out)?)?")

_ANY = r"(?:\.(?!weight$|bias$)\w+)?"  # peft may put the adapter's name there
_ENDINGS: tuple[tuple[str, str], ...] = (
    (rf"\.lora_(?:down|A){_ANY}(?:\.weight)?", DOWN), (rf"\.lora_(?:up|B){_ANY}(?:\.weight)?", UP),
    (rf"\.lora_(?:up|B){_ANY}\.bias", UP_BIAS), (r"\.lora_mid\.weight", MID),
    (r"\.(?:lora|lora_linear_layer)\.down\.weight", DOWN), (r"\.(?:lora|lora_linear_layer)\.up\.weight", UP),
    (r"(?<=_lora)\.down\.weight|(?<=_lora\d)\.down\.weight", DOWN),
    (r"(?<=_lora)\.up\.weight|(?<=_lora\d)\.up\.weight", UP),
    (r"\.alpha", ALPHA), (r"\.dora_scale", DORA), (rf"\.lora_magnitude_vector{_ANY}(?:\.weight)?", MAGNITUDE),
    *((rf"\.{name}(?:\.default)?", name) for name in (*HADAMARD, *KRONECKER, DIFF, DIFF_BIAS, NORM, NORM_BIAS)),
)
_SPLIT = tuple((re.compile(f"(?P<layer>.+?)(?:{ending})"), role) for ending, role in _ENDINGS)
_LONGEST = 500  # characters of a name that is matched
_HINTS = ("lora", ".hada_", ".lokr_", ".diff", ".w_norm", ".b_norm", ".dora_scale", ".oft_", ".boft_", ".on_input",
          ".ia3_", ".a1.weight", ".vera_")
_MAKE_ONE = {DOWN, UP, DORA, MAGNITUDE, NORM, *HADAMARD, *KRONECKER}
# Kinds of adapters that are not supported, with what their tensors' names contain.
FOREIGN = (("OFT", (".oft_blocks", ".oft_diag", ".oft_R.")), ("BOFT", (".boft_",)), ("IA3", (".on_input", ".ia3_l")),
           ("GLoRA", (".a1.weight", ".b1.weight")), ("VeRA", (".vera_lambda",)), ("control LoRA", ("lora_controlnet",)))
# Layer names that only one family has, with underscores for dots.
_MARKS: tuple[tuple[str, str], ...] = (
    ("Wan", r"blocks_\d+_(?:self|cross)_attn_[qkvo]\b|blocks_\d+_attn[12]_to_[qkv]_?.*_ffn_net"),
    ("HunyuanVideo", r"img_attn_qkv.*individual_token_refiner|txt_in_individual_token_refiner"),
    ("Flux.2", r"(?:to_qkv_mlp_proj|stream_modulation_(?:img|txt)|single_stream_modulation|ff_context_linear_in)"),
    (
        "Flux.1",
        r"(?:single_transformer_blocks_\d+_proj_mlp|img_mod_lin|single_blocks_\d+_modulation_lin"
        r"|double_blocks_\d+_processor)",
    ),
    ("Qwen-Image", r"transformer_blocks_\d+_(?:img|txt)_(?:mlp_net|mod)_"),
    ("Z-Image", r"(?:context|noise)_refiner_\d+_|layers_\d+_(?:attention|feed_forward|adaLN_modulation)_"),
    ("SD 3.5", r"joint_blocks_\d+_"),
    ("Flux.1 or Flux.2", r"(?:double|single)_blocks_\d+_|single_transformer_blocks_"),
)
# width of the text embeddings that a UNet's cross attention reads
_WIDTHS = {768: "SD 1.5", 1024: "SD 2", 2048: "SDXL"}
_CROSS = re.compile(r"attn2_to_[kv]$")


def split(name: str) -> tuple[str, str] | None:
    """Return the layer and the role of the tensor called `name`, or None if the name follows no known scheme."""
    for pattern, role in _SPLIT if len(name) <= _LONGEST else ():
        if match := pattern.fullmatch(name):
            return match["layer"], role
    return None


def is_lora(names: Iterable[str]) -> bool:
    """Return whether a file with tensors of these names holds a LoRA or a similar adapter."""
    names = list(names)
    if not any(mark in text for text in ("\n".join(names),) for mark in _HINTS):
        return False  # the usual answer for checkpoints, which have thousands of names
    return any((parts := split(name)) is not None and parts[1] in _MAKE_ONE or _foreign(name)
               for name in names) or _only_diffs(names)


def foreign_kind(names: Iterable[str]) -> str:
    """Return the kind of an unsupported adapter, or "" if the names show none."""
    return next((kind for name in names if (kind := _foreign(name))), "")


def family_hint(layers: Mapping[str, Sequence[int]]) -> str:
    """Return the name of the family whose models have these layers, or "" if they do not tell.

    Args:
        layers: Each layer's name with the shape of the tensor that reads its input (a LoRA's first matrix), () for
            none.
    """
    plain = {flat(name): shape for name, shape in layers.items()}
    for name, shape in plain.items():
        if _CROSS.search(name) and len(shape) >= 2 and shape[1] in _WIDTHS and ("blocks" in name):
            return _WIDTHS[shape[1]]
    for family, mark in _MARKS:
        pattern = re.compile(mark)
        if any(pattern.search(name) for name in plain):
            return family
    return ""


def flat(name: str) -> str:
    """Return `name` as trainers write it that allow no dots."""
    return name.replace(".", "_").replace("-", "_")


def _foreign(name: str) -> str:
    return next((kind for kind, marks in FOREIGN
                 if any(mark in name if mark.startswith(".") else mark == name for mark in marks)), "")


def _only_diffs(names: Iterable[str]) -> bool:
    """Return whether the file holds nothing but differences of whole tensors, as extracted from a fully trained model.
    """
    ends = tuple(f".{role}" for role in (DIFF, DIFF_BIAS, NORM, NORM_BIAS, ALPHA))
    listed = list(names)
    return bool(listed) and all(name.endswith(ends) for name in listed)
