"""What a prediction costs: seconds and the largest memory held at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import torch

Result = TypeVar("Result")
GIB = 2**30


def with_cost(run: Callable[[], Result], device: torch.device) -> tuple[Result, dict[str, float]]:
    """What `run` returns, and its `seconds` and `peak_gib`.

    Units:   peak_gib is memory that torch holds on a CUDA device, elsewhere that of the whole process, in GiB; it is
             left out where the system does not tell.
    Note:    the first run on a device pays for loading kernels, which later ones do not.
    """
    _forget_peak(device)
    before = time.perf_counter()
    result = run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    cost = {"seconds": time.perf_counter() - before}
    peak = _peak_gib(device)
    return result, cost if peak is None else cost | {"peak_gib": peak}


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        return
    # Linux forgets a process' peak when asked so; elsewhere the peak is that of the process up to now.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak_gib(device: torch.device) -> float | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / GIB
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    for line in status.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / GIB
    return None
