"""What the network's layers look like from outside: feature maps of every pair, attention rows of the camera tokens.

Maps are read by hooks while the network runs, and only their channel means are kept: the tokens of all 24 pairs of a
long clip would not fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from page4d.model import PAGE4D
from page4d.model.layers import NUM_SPECIAL
from page4d.schema import UserError

__all__ = ["FeatureMaps", "camera_attention", "feature_maps", "paper_layers"]


@dataclass(frozen=True)
class FeatureMaps:
    """Channel means of the patch tokens of every pair and frame.

    Shapes:  frame, global_ (L, S, h, w): output of the frame attention and of the global attention of each pair.
    Units:   token values; the scale differs from layer to layer.
    """

    frame: NDArray[np.float32]
    global_: NDArray[np.float32]

    @property
    def depth(self) -> int:
        """Number of pairs."""
        return len(self.frame)

    def of(self, kind: str) -> NDArray[np.float32]:
        """The maps of one kind, "frame" or "global"."""
        return {"frame": self.frame, "global": self.global_}[kind]


def paper_layers(depth: int) -> list[int]:
    """The pairs (from zero) of the paper's Figure 2, layers 5, 12, 18 and 24 of 24, at a network's own depth."""
    return sorted({max(0, round(layer * depth / 24) - 1) for layer in (5, 12, 18, 24)})


@torch.inference_mode()
def feature_maps(model: PAGE4D, images: Tensor) -> FeatureMaps:
    """Run the aggregator once and keep the channel mean of every pair's patch tokens.

    Shapes:  images (S, 3, H, W) in [0, 1] -> maps (L, S, h, w), h = H / patch.
    Source:  the public visualisation script keeps the first frame only; here every frame is kept.
    """
    maps = channel_means(model, images)
    # One transfer a kind: each would make the host wait for all pairs before it.
    return FeatureMaps(maps["frame"].cpu().numpy(), maps["global"].cpu().numpy())


def channel_means(model: PAGE4D, images: Tensor) -> dict[str, Tensor]:
    """What `feature_maps` keeps, still on the device: (L, S, h, w) under "frame" and "global"."""
    images, rows, columns = _one_clip(model, images)
    frames = images.shape[1]
    found: dict[str, list[Tensor]] = {"frame": [], "global": []}

    def keep(means: list[Tensor]) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, tokens: Tensor) -> None:
            by_frame = tokens.reshape(frames, -1, tokens.shape[-1])[:, NUM_SPECIAL:]
            # All channels alike: the paper's figure shows that already this plain mean lights up where things move.
            means.append(by_frame.float().mean(-1).unflatten(1, (rows, columns)))

        return hook

    hooks = [block.register_forward_hook(keep(found["frame"])) for block in model.aggregator.frame_blocks]
    hooks += [block.register_forward_hook(keep(found["global"])) for block in model.aggregator.global_blocks]
    with _removed_after(hooks):
        model.aggregator.run(images, keep=())
    return {kind: torch.stack(means) for kind, means in found.items()}


@torch.inference_mode()
def camera_attention(model: PAGE4D, images: Tensor, pairs: Sequence[int] | None = None) -> NDArray[np.float32]:
    """How much each frame's camera token attends to every patch of all frames, in the global attention of `pairs`.

    Shapes:  images (S, 3, H, W), L' pairs -> (L', S, S, h, w): the row's frame first, then the attended frame. Mean
             over heads; a row sums to at most 1, the rest goes to the special tokens.
    Note:    honours the mask exactly as the network does at `aggregator.mask_step`; set the model's mask schedule to
             compare rows with and without it.
    """
    images, rows, columns = _one_clip(model, images)
    frames, config = images.shape[1], model.aggregator.config
    wanted = tuple(range(config.depth)) if pairs is None else tuple(pairs)
    if any(not 0 <= pair < config.depth for pair in wanted):
        raise UserError(
            f"pairs {list(wanted)} are not all among the {config.depth} pairs of this network (0 ... n - 1)"
        )
    found: dict[int, NDArray[np.float32]] = {}

    def keep(pair: int) -> Callable[..., None]:
        def hook(attention: Any, inputs: tuple[Any, ...]) -> None:
            x, rope, bias = inputs[:3]
            queries, keys, _ = attention.queries_keys_values(x, rope)
            # The fused kernel never shows its weights; for one row per frame they are cheap to make again.
            camera = queries.unflatten(2, (frames, -1))[:, :, :, 0]
            logits = (camera @ keys.mT).float() / camera.shape[-1] ** 0.5
            if bias is not None:
                logits = logits + bias[:, None, None].float()
            weights = logits.softmax(-1).mean(1)[0]
            by_frame = weights.unflatten(-1, (frames, -1))[:, :, NUM_SPECIAL:]
            found[pair] = by_frame.unflatten(-1, (rows, columns)).cpu().numpy()

        return hook

    stack = model.aggregator.global_blocks
    hooks = [_attention_of(stack[pair]).register_forward_pre_hook(keep(pair)) for pair in wanted]
    with _removed_after(hooks):
        model.aggregator.run(images, keep=())
    return np.stack([found[pair] for pair in wanted])


def _attention_of(block: nn.Module) -> nn.Module:
    return block.get_submodule("attn")


def _one_clip(model: PAGE4D, images: Tensor) -> tuple[Tensor, int, int]:
    parameter = next(model.parameters())
    images = model.aggregator.check_images(images.to(parameter.device))
    if images.shape[0] != 1:
        raise UserError(
            f"images have shape {tuple(images.shape)}: feature maps are made of one clip (S, 3, H, W) at a time"
        )
    patch = model.aggregator.config.patch_size
    return images, images.shape[-2] // patch, images.shape[-1] // patch


@contextmanager
def _removed_after(hooks: list[RemovableHandle]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
