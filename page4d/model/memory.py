"""What a forward pass without gradients needs in memory, told before it starts.

The account follows the code: at its fullest moment the aggregator is inside the MLP of its last global block, and a
dense head inside its last map. benchmarks/memory.py counts every storage instead; a test holds the two together.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from page4d.model.config import PAGE4DConfig
from page4d.model.heads.head import INFERENCE_CHUNK
from page4d.model.layers import NUM_SPECIAL
from page4d.model.network import PAGE4D
from page4d.model.precision import matrices
from page4d.model.weights import Precision

BYTES = {"float32": 4, "bf16": 2}
# Besides what is counted: CUDA's own context and kernels' workspaces, and gaps between blocks of memory.
CONTEXT_BYTES = 1_000_000_000
GAPS = 1.05


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of a forward pass: weights, images, and what the fuller of its two stages holds besides."""

    weights: int
    images: int
    aggregator: int
    heads: int

    @property
    def tensors(self) -> int:
        """All tensors at the fullest moment."""
        return self.weights + self.images + max(self.aggregator, self.heads)

    @property
    def device(self) -> int:
        """What a CUDA device should have free, its own overhead included."""
        return int(self.tensors * GAPS) + CONTEXT_BYTES


def estimate_memory(
    config: PAGE4DConfig, frames: int, height: int, width: int, precision: Precision = "float32"
) -> MemoryEstimate:
    """Memory of one pass over `frames` frames of `height` x `width` px, in bytes.

    Note:    precision "bf16" is that of `from_pretrained(..., precision="bf16")`.
    Raises:  ValueError for sides that are not multiples of the patch size.
    """
    if frames < 1 or height % config.patch_size or width % config.patch_size:
        raise ValueError(
            f"{frames} frames of {height} x {width} px, expected at least one, of sides that are multiples of the "
            f"patch size {config.patch_size}"
        )
    size = BYTES[precision]
    return MemoryEstimate(
        weights=_weights(config, size),
        images=4 * 3 * frames * height * width,
        aggregator=_aggregator(config, frames, height, width, size),
        heads=_heads(config, frames, height, width, size),
    )


def frames_that_fit(
    config: PAGE4DConfig, available: int, height: int, width: int, precision: Precision = "float32"
) -> int:
    """The most frames whose pass fits into `available` bytes of a device, 0 if not even one does."""
    fits, too_many = 0, 1
    while estimate_memory(config, too_many, height, width, precision).device <= available:
        fits, too_many = too_many, 2 * too_many
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if estimate_memory(config, middle, height, width, precision).device <= available:
            fits = middle
        else:
            too_many = middle
    return fits


def _weights(config: PAGE4DConfig, size: int) -> int:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = PAGE4D(config)
    held = matrices(model.aggregator, "aggregator")
    return sum(t.numel() * (size if name in held else 4) for name, t in model.state_dict().items())


def _tokens(config: PAGE4DConfig, frames: int, height: int, width: int) -> int:
    patches = (height // config.patch_size) * (width // config.patch_size)
    return frames * (NUM_SPECIAL + patches)


def _aggregator(config: PAGE4DConfig, frames: int, height: int, width: int, size: int) -> int:
    """In the MLP of the last global block."""
    streams = 3 * 4  # float32: the frame block's output, the sum after attention, and its norm
    hidden = 2 * 4 * size  # before and after GELU, four times as wide
    kept = 2 * size * (len(config.pairs_read()) - 1)
    rope = 2 * size * (config.embed_dim // config.num_heads)
    per_token = config.embed_dim * (streams + hidden + kept) + rope
    return _tokens(config, frames, height, width) * per_token


def _heads(config: PAGE4DConfig, frames: int, height: int, width: int, size: int) -> int:
    """In the last chunk of the last dense head, or of none where only cameras are read."""
    kept = 2 * size * len(config.pairs_read()) * config.embed_dim * _tokens(config, frames, height, width)
    channels = 2 * config.enable_depth + 4 * config.enable_point
    # All that is done, and the last head's chunks once more while they are put together.
    maps = frames * (channels + 4 * config.enable_point)
    chunk = min(INFERENCE_CHUNK, frames)
    half = config.dpt_features // 2
    # The finest fused map has 8 of every `patch_size` pixels a side; then come the map itself, its sum with the
    # positions, and the positions, which all frames share.
    fused = half * (8 / config.patch_size) ** 2
    features = chunk * (fused + 2 * half) + half if channels else 0
    return kept + int(4 * height * width * (maps + features))
