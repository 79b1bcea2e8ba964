"""Leave a model exactly as it was if adding something to it fails, whatever a library did meanwhile."""
from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

# Changed in place, so their entries are copied
_HELD = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")
_SETTINGS = "_internal_dict"  # diffusers' config; some of its loaders write into it


@contextmanager
def on_failure(nets: Sequence[torch.nn.Module]) -> Iterator[None]:
    """Return a context that restores the weights, buffers, layers, hooks and attributes of every layer of `nets` on an
    error.

    Weights must not be written into meanwhile: they are not copied, so this costs no memory.
    """
    kept = [(layer, dict(vars(layer)), {name: dict(vars(layer)[name]) for name in _HELD}) for net in nets
            for layer in net.modules()]
    settings = [dict(attributes[_SETTINGS]) if _SETTINGS in attributes else None for _, attributes, _ in kept]
    try:
        yield
    except BaseException:
        for (layer, attributes, entries), config in zip(kept, settings, strict=True):
            vars(layer).clear()
            vars(layer).update(attributes)
            for name, there in entries.items():
                vars(layer)[name].clear()
                vars(layer)[name].update(there)
            if config is not None:
                vars(layer)[_SETTINGS] = type(attributes[_SETTINGS])(config)
        raise
