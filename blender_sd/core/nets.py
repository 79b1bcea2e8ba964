"""Name the kinds of nets that take part beside a model, as a request's look-ups and the model folders call them."""
from __future__ import annotations

LORA, IP_ADAPTER, EMBEDDING, UPSCALER, VAE = "lora", "ip-adapter", "textual inversion", "upscaler", "a VAE"
VAE_PART, WORDS_PART = "VAE", "text encoder"  # parts that a checkpoint may lack, and another model lend
STARTER = "starter"  # the name of the built-in model and ControlNet in requests
