"""What a forward pass without gradients needs in memory, told before it starts.

The account follows the code: at its fullest moment the aggregator is inside the MLP of its last global block, and a
dense head inside its last map. benchmarks/memory.py counts every storage instead; a test holds the two together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Self

import torch

from page4d.counted import counted
from page4d.model.config import PAGE4DConfig
from page4d.model.heads import heads_of, pairs_read
from page4d.model.heads.head import INFERENCE_CHUNK
from page4d.model.layers import NUM_SPECIAL
from page4d.model.network import PAGE4D
from page4d.model.precision import held_dtype, matrices
from page4d.schema import UserError

FLOAT32 = torch.float32.itemsize
# Besides what is counted: CUDA's own context and kernels' workspaces, and gaps between blocks of memory.
CONTEXT_BYTES = 1_000_000_000
GAPS = 1.05
LEAST_WINDOW = 2
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # what a container may take, where the machine has more


@dataclass(frozen=True)
class ForwardPass:
    """One forward pass: the network, the clip, and the types that its matrices are held and multiplied in.

    Raises:  ValueError for no frames, or sides that are not multiples of the patch size.
    """

    config: PAGE4DConfig
    frames: int
    height: int
    width: int
    held: torch.dtype = torch.float32
    products: torch.dtype = torch.float32

    def __post_init__(self) -> None:
        patch = self.config.patch_size
        if self.frames < 1 or self.height % patch or self.width % patch:
            raise ValueError(
                f"{self.frames} frames of {self.height} x {self.width} px, expected at least one, of sides that are "
                f"multiples of the patch size {patch}"
            )

    @classmethod
    def of(cls, network: PAGE4D, frames: int, size_hw: tuple[int, int], products: torch.dtype) -> Self:
        """The pass of a network as it stands."""
        return cls(network.config, frames, *size_hw, held_dtype(network.aggregator), products)

    @property
    def tokens(self) -> int:
        """Tokens of all frames together."""
        rows, columns = self.height // self.config.patch_size, self.width // self.config.patch_size
        return self.frames * (NUM_SPECIAL + rows * columns)

    def __str__(self) -> str:
        frames = counted(self.frames, "frame")
        return f"{frames} of {self.height} x {self.width} px"


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

    def on(self, device: torch.device) -> int:
        """What a device should have free, gaps and the overhead of CUDA included."""
        overhead = CONTEXT_BYTES if device.type == "cuda" else 0
        return int(self.tensors * GAPS) + overhead


def estimate_memory(one: ForwardPass) -> MemoryEstimate:
    """Memory of one pass, in bytes."""
    images = FLOAT32 * 3 * one.frames * one.height * one.width
    return MemoryEstimate(_weights(one.config, one.held), images, _aggregator(one), _heads(one))


def frames_that_fit(one: ForwardPass, device: torch.device, available: int) -> int:
    """The most frames of the pass's size that fit into `available` bytes of a device, 0 if not even one does."""
    fits, too_many = 0, 1
    while _needs(one, too_many, device) <= available:
        fits, too_many = too_many, 2 * too_many
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if _needs(one, middle, device) <= available:
            fits = middle
        else:
            too_many = middle
    return fits


def _needs(one: ForwardPass, frames: int, device: torch.device) -> int:
    return estimate_memory(replace(one, frames=frames)).on(device)


def memory_limit(device: torch.device) -> int | None:
    """Bytes that this process could hold on a device at the most; None where nothing says it.

    Note:    on CUDA what is free and what the process holds already; on a CPU all that is installed or that the
             container may have, for the system gives up caches and other programs' pages.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device)
    if device.type == "cpu" and "SC_PHYS_PAGES" in getattr(os, "sysconf_names", {}):
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        limit = CGROUP_LIMIT.read_text(encoding="utf-8").strip() if CGROUP_LIMIT.is_file() else "max"
        return min(installed, int(limit)) if limit.isdigit() else installed
    return None


def memory_needed(one: ForwardPass, device: torch.device) -> str:
    """What a pass will take of a device, in words.

    Raises:  UserError if the device has less; it names the window that would fit.
    """
    needed, available = estimate_memory(one).on(device), memory_limit(device)
    if available is None:
        return f"memory for {one}: about {gigabytes(needed)} on {device}"
    if needed > available:
        advice = what_fits(one, device)
        raise UserError(f"memory for {one}: about {gigabytes(needed)}, {device} has {gigabytes(available)}; {advice}")
    return f"memory for {one}: about {gigabytes(needed)} of the {gigabytes(available)} of {device}"


def what_fits(one: ForwardPass, device: torch.device, share: float = 1.0) -> str:
    """What to lower so that a pass fits into a share of a device's memory, in words."""
    available = memory_limit(device)
    fits = 0 if available is None else frames_that_fit(one, device, int(share * available))
    if LEAST_WINDOW <= fits < one.frames:
        return f"take windows of {fits} frames (--window {fits}) or fewer frames (--max-frames {fits})"
    if one.held == torch.float32:
        return 'take fewer or smaller frames, or half of the weights\' memory with --precision bf16 (precision="bf16")'
    return "take fewer or smaller frames, or a device with more memory"


def gigabytes(count: int) -> str:
    """A number of bytes for a reader."""
    return f"{count / 1e9:.1f} GB"


@lru_cache(maxsize=8)  # a search for the frames that fit asks a dozen times, and building names takes a second
def _weights(config: PAGE4DConfig, dtype: torch.dtype) -> int:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = PAGE4D(config)
    held = matrices(model.aggregator, "aggregator")
    bytes_of = {name: dtype.itemsize if name in held else FLOAT32 for name in model.state_dict()}
    return sum(tensor.numel() * bytes_of[name] for name, tensor in model.state_dict().items())


def _aggregator(one: ForwardPass) -> int:
    """In the MLP of the last global block."""
    config, size = one.config, one.products.itemsize
    streams = 3 * FLOAT32  # the frame block's output, the sum after attention, and its norm
    hidden = 2 * 4 * size  # before and after GELU, four times as wide
    kept = 2 * size * (len(pairs_read(config)) - 1)
    rope = 2 * size * (config.embed_dim // config.num_heads)
    per_token = config.embed_dim * (streams + hidden + kept) + rope
    return one.tokens * per_token


def _heads(one: ForwardPass) -> int:
    """In the last chunk of the last dense head, or of none where only cameras are read."""
    config = one.config
    kept = 2 * one.products.itemsize * len(pairs_read(config)) * config.embed_dim * one.tokens
    widths = [head.channels for head in heads_of(config).values()]
    channels = sum(widths)
    # All that is done, and the largest head's chunks once more while they are put together.
    maps = one.frames * (channels + max(widths, default=0))
    chunk = min(INFERENCE_CHUNK, one.frames)
    half = config.dpt_features // 2
    # The finest fused map has 8 of every `patch_size` pixels a side; then come the map itself, its sum with the
    # positions, and the positions, which all frames share.
    fused = half * (8 / config.patch_size) ** 2
    features = chunk * (fused + 2 * half) + half if channels else 0
    return kept + int(FLOAT32 * one.height * one.width * (maps + features))
