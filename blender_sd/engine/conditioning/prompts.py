"""Find the part of a prompt that a model cannot read."""
from __future__ import annotations

import inspect
from typing import Any

from ...core.request import Request

_SHOWN = 160  # characters of the ignored part to show
_UNLIMITED = 100_000  # tokens; tokenizers without a limit report more than this
_LONG_READER = 512  # tokens that T5 and LLM encoders get if the pipeline has no limit of its own


def labelled(request: Request) -> list[tuple[str, str]]:
    """Return what messages call each of a picture's prompts, and its text: the prompt, the negative prompt, and those
    of its regions that have one."""
    return [("prompt", request.prompt), ("negative prompt", request.negative),
            *((f"prompt of {region.label}", region.prompt) for region in request.regions if region.prompt)]


def cut_off(pipe: Any, prompt: str) -> str:
    """Return the end of `prompt` that no text encoder of `pipe` reads; "" if all of it is read.

    Models with several encoders (SD 3, Flux) lose only what the encoder with the longest window loses.
    """
    losses = [_lost(tokenizer, _limit(pipe, tokenizer), prompt) for tokenizer in _readers(pipe)]
    return min(losses, key=len, default="")


def note(pipe: Any, prompt: str, label: str = "prompt") -> str:
    """Return the note for the artist about the part that is ignored, or ""."""
    lost = cut_off(pipe, prompt)
    if not lost:
        return ""
    shown = lost if len(lost) <= _SHOWN else lost[:_SHOWN].rstrip() + "…"
    return f"The {label} is longer than this model reads; ignored from here on: “{shown}”"


def _readers(pipe: Any) -> list[Any]:
    names = [name for name in pipe.components if name.startswith("tokenizer")]
    encoders = {name: name.replace("tokenizer", "text_encoder") for name in names}
    return [pipe.components[name] for name in names
            if pipe.components[name] is not None and pipe.components.get(encoders[name]) is not None]


def _limit(pipe: Any, tokenizer: Any) -> int:
    own = getattr(tokenizer, "model_max_length", _UNLIMITED)
    if "CLIP" in type(tokenizer).__name__ and own < _UNLIMITED:
        return own
    parameter = inspect.signature(pipe.__call__).parameters.get("max_sequence_length")
    given = parameter.default if parameter is not None and isinstance(parameter.default, int) else None
    return given or (own if own < _UNLIMITED else _LONG_READER)


def _lost(tokenizer: Any, limit: int, prompt: str) -> str:
    if not callable(tokenizer) or not prompt.strip():
        return ""
    words = tokenizer(prompt, add_special_tokens=False, truncation=False, verbose=False,
                      return_offsets_mapping=bool(getattr(tokenizer, "is_fast", False)))
    room = limit - tokenizer.num_special_tokens_to_add()
    ids = words["input_ids"]
    if len(ids) <= room:
        return ""
    if "offset_mapping" not in words:
        return tokenizer.decode(ids[room:]).strip()
    start = words["offset_mapping"][room][0]
    while start > 0 and not prompt[start - 1].isspace() and start < len(prompt) and not prompt[start].isspace():
        start -= 1  # a word that is cut in two counts as ignored
    return prompt[start:].strip()
