"""Tiny tokenizers, made in code: of the kinds that transformer families read, with a token for every byte or letter."""
from __future__ import annotations

import string
from typing import Any

from transformers import GemmaTokenizer, Qwen2Tokenizer, T5Tokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
                "<|video_pad|>")
_CHAT = ("{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% "
         "endfor %}"
         "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")


def qwen() -> Qwen2Tokenizer:
    """Of 263 tokens: one for every byte, and the marks of a conversation."""
    signs = [*bytes_to_unicode().values(), *QWEN_SPECIAL]
    words = Qwen2Tokenizer(vocab={sign: number for number, sign in enumerate(signs)}, merges=[], chat_template=_CHAT,
                           image_token="<|image_pad|>", video_token="<|video_pad|>")
    words.add_special_tokens({"additional_special_tokens": list(QWEN_SPECIAL[1:])})
    return words


def t5() -> T5Tokenizer:
    """Of 66 tokens: one for every letter of English."""
    pieces: list[tuple[str, float]] = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    return T5Tokenizer(vocab=[*pieces, *((letter, -3.0) for letter in string.ascii_letters + string.digits)],
                       extra_ids=0, model_max_length=512)


def gemma() -> GemmaTokenizer:
    """Of 262 tokens: one for every byte."""
    signs = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *(f"<0x{byte:02X}>" for byte in range(256))]
    return GemmaTokenizer(vocab={sign: number for number, sign in enumerate(signs)}, merges=[])


def size(words: Any) -> int:
    """How many tokens there are."""
    return len(words)
