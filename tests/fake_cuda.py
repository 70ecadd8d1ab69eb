"""A CUDA device without a GPU: tensors that have shape, type and device but no memory (FakeTensorMode).

What runs inside fails where a tensor was left on the CPU or where the host would have to wait for a value (`.item()`):

    with fake_cuda() as device:
        model = on_device(little_model())
        model(torch.rand(2, 3, 32, 64, device=device))
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

Module = TypeVar("Module", bound=nn.Module)
DEVICE = torch.device("cuda", 0)


@contextmanager
def fake_cuda() -> Iterator[torch.device]:
    """Every tensor made inside is fake; yields the device to put it on."""
    with FakeTensorMode(), pytest.MonkeyPatch.context() as patch:
        # Each of these asks the CUDA driver something, which fails where there is none.
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
        patch.setattr(F, "grid_sample", _sampled_shape)
        patch.setattr(Tensor, "backward", _backward)
        yield DEVICE


def on_device(module: Module, device: torch.device = DEVICE) -> Module:
    """The module itself with fake weights on the device; `Module.to` cannot move fake tensors."""
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            fake = torch.empty(weight.shape, dtype=weight.dtype, device=device)
            setattr(part, name, nn.Parameter(fake, weight.requires_grad))
        for name, buffer in part.named_buffers(recurse=False):
            part.register_buffer(name, torch.empty(buffer.shape, dtype=buffer.dtype, device=device))
    return module


def stray(values: Any, device: torch.device = DEVICE) -> list[torch.device]:
    """Devices other than `device` among the tensors of nested lists, tuples and dictionaries."""
    leaves = torch.utils._pytree.tree_leaves(values)
    return [leaf.device for leaf in leaves if isinstance(leaf, Tensor) and leaf.device != device]


def _sampled_shape(maps: Tensor, grid: Tensor, **_: Any) -> Tensor:
    """As grid_sample: (B, C, H, W) at (B, N, M, 2) -> (B, C, N, M), and maps and grid must share a device."""
    batch, channels = maps.shape[:2]
    # A product of both keeps the gradient's path to each of them.
    touched = maps.mean() * grid.mean()
    return touched.expand(batch, channels, grid.shape[1], grid.shape[2]).clone()


def _backward(loss: Tensor, *_: Any, **__: Any) -> None:
    """Call the graph's nodes one after the other, as autograd's engine does without a stream to put them on."""
    assert loss.grad_fn is not None
    arrived: dict[Any, list[Tensor | None]] = {loss.grad_fn: [torch.ones_like(loss)]}
    for node in _from_loss_to_leaves(loss.grad_fn):
        if node not in arrived:
            continue
        made = node(*arrived.pop(node))
        gradients = made if isinstance(made, tuple) else (made,)
        for (following, slot), gradient in zip(node.next_functions, gradients, strict=False):
            if following is None or gradient is None:
                continue
            expected = following._input_metadata
            slots = arrived.setdefault(following, [None] * len(expected))
            # Formulas of broadcasting operations leave summing and casting to the engine.
            gradient = gradient.sum_to_size(expected[slot].shape).to(expected[slot].dtype)
            slots[slot] = gradient if slots[slot] is None else slots[slot] + gradient


def _from_loss_to_leaves(first: Any) -> list[Any]:
    """Every node after all nodes that lead to it."""
    finished: dict[Any, None] = {}
    stack = [(first, False)]
    while stack:
        node, expanded = stack.pop()
        if expanded:
            finished[node] = None
        elif node not in finished:
            stack.append((node, True))
            stack += [(following, False) for following, _ in node.next_functions if following is not None]
    return list(reversed(finished))
