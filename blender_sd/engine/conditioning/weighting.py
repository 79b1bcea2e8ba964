"""Weighted and long prompts for families whose text encoders are all CLIP (SD 1.5, SD 2, SDXL), encoded by compel.

A weight above 1 moves a word's embeddings away from those of an empty prompt, one below 1 towards those of the prompt
without the word. Prompts longer than an encoder's window are read in several windows; BREAK begins a new one.
"""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ...core import prompt_steps
from . import prompts

# It needs pooled features of its only encoder, which compel does not give.
_POOLED_TOO = "StableDiffusionLatentUpscalePipeline"


def fits(pipe: Any) -> bool:
    """Return whether this model can read prompt weights."""
    if type(pipe).__name__ == _POOLED_TOO:
        return False
    clips = [(pipe.components.get(f"tokenizer{end}"), pipe.components.get(f"text_encoder{end}"))
             for end in ("", "_2", "_3")]
    return any(encoder is not None for _, encoder in clips) and "transformer" not in pipe.components and all(
        encoder is None or "CLIP" in type(encoder).__name__ and "CLIP" in type(tokenizer).__name__
        for tokenizer, encoder in clips)


def wanted(pipe: Any, *texts: str) -> bool:
    """Return whether any of the prompts has weights or needs more than one window."""
    return any(len(pieces) > 1 or any(weight != 1 for _, weight in pieces) or len(prompt_steps.chunks(text)) > 1
               or prompts.cut_off(pipe, prompt_steps.plain(text))
               for text in texts for pieces in [prompt_steps.weighted(text)])


def note(pipe: Any, *texts: str) -> str:
    """Return the note for the artist if prompts have weights and the model cannot read them, else ""."""
    if fits(pipe) or all(weight == 1 for text in texts for _, weight in prompt_steps.weighted(text)):
        return ""
    return "This model does not read prompt weights: all words count alike."


@torch.no_grad()
def arguments(pipe: Any, prompt: str, negative: str, skipped: int = 0,
              others: Sequence[str] = ()) -> dict[str, torch.Tensor]:
    """Return the embeddings of both prompts as the pipeline's call takes them, each (1, tokens, features).

    With `others`, the first is (1 + others, tokens, features): those of further prompts follow, of as many tokens.
    `skipped`: how many layers earlier than usual the text encoders are read (Clip Skip less 1). diffusers' own
    `clip_skip` leaves SDXL's negative prompt as it is, and fails with SD 1.5 where transformers is of version 5.
    """
    parts = pipe.components
    second = parts.get("text_encoder_2")
    readers = [_reader(pipe, parts[f"tokenizer{end}"], parts[f"text_encoder{end}"], second is not None)
               for end in ("", "_2") if parts.get(f"text_encoder{end}") is not None]
    with ExitStack() as stack:
        for end in ("", "_2"):
            stack.enter_context(_without_last(parts.get(f"text_encoder{end}"), skipped))
        words = torch.cat([reader([prompt, *others, negative]) for reader in readers], -1)
    embeddings = {"prompt_embeds": words[:-1], "negative_prompt_embeds": words[-1:]}
    if second is not None:
        provider = readers[-1].conditioning_provider
        pooled = provider.get_pooled_embeddings([prompt_steps.plain(text) for text in (prompt, *others, negative)],
                                                device=second.device)
        embeddings |= {"pooled_prompt_embeds": pooled[:-1], "negative_pooled_prompt_embeds": pooled[-1:]}
        if not negative and pipe.config.get("force_zeros_for_empty_prompt"):
            # The pipeline puts zeros there
            embeddings = {name: value for name, value in embeddings.items() if "negative" not in name}
    return embeddings


@contextmanager
def _without_last(encoder: torch.nn.Module | None, layers: int) -> Iterator[None]:
    """Return a context in which a CLIP text encoder lacks its last layers, so that compel's last hidden state is an
    earlier one."""
    stack = None if encoder is None or not layers else next(
        module for module in encoder.modules() if isinstance(getattr(module, "layers", None), torch.nn.ModuleList))
    if stack is None:
        yield
        return
    whole = stack.layers
    stack.layers = whole[:max(1, len(whole) - layers)]
    try:
        yield
    finally:
        stack.layers = whole


class _Words:
    """Give compel the tokens of textual inversions with several vectors."""

    def __init__(self, pipe: Any, tokenizer: Any) -> None:
        self._pipe, self._tokenizer = pipe, tokenizer

    def expand_textual_inversion_token_ids_if_necessary(self, token_ids: list[int]) -> list[int]:
        added = self._tokenizer.added_tokens_decoder
        if not any(token in added and not added[token].special for token in token_ids):
            return token_ids
        words = self._pipe.maybe_convert_prompt(self._tokenizer.decode(token_ids), self._tokenizer)
        return self._tokenizer.encode(words, add_special_tokens=False)


def _reader(pipe: Any, tokenizer: Any, encoder: Any, sdxl: bool) -> Any:
    from compel import Compel, ReturnedEmbeddingsType
    from compel.prompt_parser import Conjunction, FlattenedPrompt

    class Reader(Compel):
        """Compel, reading our notation in place of its own."""

        @classmethod
        def parse_prompt_string(cls, text: str) -> Conjunction:
            parts = [FlattenedPrompt(pieces or [("", 1.0)]) for pieces in prompt_steps.chunks(text)]
            return Conjunction(parts, weights=[1.0] * len(parts))

    kind = ReturnedEmbeddingsType
    features = kind.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED if sdxl else kind.LAST_HIDDEN_STATES_NORMALIZED
    return Reader(tokenizer, encoder, textual_inversion_manager=_Words(pipe, tokenizer), truncate_long_prompts=False,
                  returned_embeddings_type=features)
