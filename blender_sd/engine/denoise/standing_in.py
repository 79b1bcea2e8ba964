"""Call something else in the place of a network's or a layer's `forward`, and leave it as it was afterwards."""
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Instead:
    """Stand in the place of a module's `forward` until `remove` is called.

    Attributes:
        module: The network or the layer.
        forward: What it does by itself.
    """

    def __init__(self, module: torch.nn.Module, call: Callable[..., Any]) -> None:
        """Have `call` called for the module."""
        self.module, self.forward = module, module.forward
        self._own = module.__dict__.get("forward")
        module.forward = call

    def remove(self) -> None:
        """Leave the module as it was."""
        if self._own is None:
            del self.module.forward
        else:
            self.module.forward = self._own  # offloading has put it there
