"""A progress bar over the blocks of one forward pass, the only part of a prediction that takes long."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from tqdm import tqdm

from page4d.model import PAGE4D


@contextmanager
def block_progress(model: PAGE4D, description: str, passes: int = 1) -> Iterator[None]:
    """Show a bar that advances with each attention block and each head of the model, over `passes` forward passes."""
    parts: list[nn.Module] = [*model.aggregator.frame_blocks, *model.aggregator.global_blocks]
    parts += [head for head in model.heads.values() if not head.on_request]
    with tqdm(total=passes * len(parts), desc=description, unit="step", leave=False) as bar:

        def advance(*_: Any) -> None:
            bar.update()

        hooks = [part.register_forward_hook(advance) for part in parts]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
