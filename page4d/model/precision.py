"""The type that the aggregator computes in, and weights that are held in it.

Autocast casts every matrix from float32 at every use. Held in bfloat16 the matrices take half the memory and give the
same numbers, since it is the cast ones that autocast multiplies with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


def matrices(aggregator: nn.Module, prefix: str = "") -> set[str]:
    """Names of the weights that autocast would cast at every use: those of the linear layers."""
    linear = [name for name, part in aggregator.named_modules(prefix=prefix) if isinstance(part, nn.Linear)]
    return {f"{name}.{kind}" for name in linear for kind in ("weight", "bias")}


def hold_matrices(aggregator: nn.Module, dtype: torch.dtype) -> None:
    """Turn the linear layers' weights into another type, in place; what they lose in digits stays lost."""
    for part in aggregator.modules():
        if isinstance(part, nn.Linear):
            for name, weight in part.named_parameters(recurse=False):
                setattr(part, name, nn.Parameter(weight.detach().to(dtype), weight.requires_grad))


def held_dtype(aggregator: nn.Module) -> torch.dtype:
    """The type in which the linear layers' weights are held."""
    first = next(part for part in aggregator.modules() if isinstance(part, nn.Linear))
    return first.weight.dtype


def working_dtype(aggregator: nn.Module, device_type: str) -> torch.dtype:
    """The type of the aggregator's products: its weights', else the one that the caller's autocast names."""
    held = held_dtype(aggregator)
    if held == torch.float32 and torch.is_autocast_enabled(device_type):
        return torch.get_autocast_dtype(device_type)
    return held


@contextmanager
def products_in(dtype: torch.dtype, device_type: str) -> Iterator[None]:
    """Autocast to `dtype`, off for float32.

    Note:    without gradients every weight is used once per pass, so autocast's cache would only hold a second copy of
             all of them (1.8 GB of the full network).
    """
    lean = not torch.is_grad_enabled()
    with torch.autocast(device_type, dtype, enabled=dtype != torch.float32, cache_enabled=not lean):
        yield
