"""Data-parallel training on a few CPU cores: one single-threaded process each, gradients averaged through gloo.

On a machine that does other things too this is several times faster than one process with many threads, whose
threads wait for each other at every operator. With a GPU, or one worker, nothing is exchanged.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable

import torch
import torch.distributed as dist
from torch import multiprocessing, nn


class Team:
    """One worker's view of the team: its ``rank`` among ``size`` workers."""

    def __init__(self, rank: int = 0, size: int = 1):
        self.rank, self.size = rank, size
        self.progress = 0.0

    @property
    def leads(self) -> bool:
        """Whether this worker logs and saves."""
        return self.rank == 0

    def share(self, parameters: Iterable[nn.Parameter], progress: float) -> None:
        """Average the gradients over the team; ``self.progress`` becomes the first worker's ``progress``, so that all
        stop after the same step."""
        self.progress = progress
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        mine = torch.tensor([progress if self.leads else 0.0])
        self.add([mine, *gradients])
        self.progress = float(mine)
        for gradient in gradients:
            gradient.div_(self.size)

    def add(self, parts: list[torch.Tensor]) -> None:
        """Add up the workers' tensors of the same shapes, in place."""
        if self.size == 1:
            return
        flat = torch.cat([part.reshape(-1) for part in parts])
        dist.all_reduce(flat)
        for part, whole in zip(parts, flat.split([part.numel() for part in parts]), strict=True):
            part.copy_(whole.view_as(part))


def _enter(rank: int, size: int, store: str, function: Callable, arguments: tuple) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    function(Team(rank, size), *arguments)
    dist.destroy_process_group()


def run(function: Callable, *arguments: object, size: int = 2) -> None:
    """Call ``function(team, *arguments)`` in ``size`` processes and wait; in this process with a GPU or one worker."""
    if torch.cuda.is_available() or size == 1:
        function(Team(), *arguments)
        return
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        store = os.path.join(folder, "store")
        multiprocessing.spawn(_enter, (size, store, function, arguments), nprocs=size, join=True)
