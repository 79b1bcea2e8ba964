"""What of a prompt the model cannot read."""
from __future__ import annotations

import inspect
from typing import Any

_SHOWN = 160  # characters of the lost part that are worth reading
_UNLIMITED = 100_000  # tokenizers without a limit of their own give a number beyond this
_LONG_READER = 512  # tokens that T5 and LLM encoders are given where the pipeline names no number


def cut_off(pipe: Any, prompt: str) -> str:
    """The end of `prompt` that no text encoder of `pipe` reads; "" where all of it is read.

    Models with several encoders (SD 3, Flux) lose only what the most patient one loses.
    """
    losses = [_lost(tokenizer, _limit(pipe, tokenizer), prompt) for tokenizer in _readers(pipe)]
    return min(losses, key=len, default="")


def note(pipe: Any, prompt: str, label: str = "prompt") -> str:
    """The sentence that tells the artist so, or ""."""
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
        start -= 1  # a word that is cut in the middle is lost as a whole
    return prompt[start:].strip()
