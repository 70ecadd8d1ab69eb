"""What reads the tokens. The network, its weights and a Prediction follow this one table of heads.

A head named `x` stands in the network as `x_head`, is switched by `enable_x` of the configuration, and the names of its
weights begin with `x_head.`.
"""

from __future__ import annotations

from page4d.model.config import PAGE4DConfig
from page4d.model.heads.camera import CameraHead
from page4d.model.heads.dpt import DepthHead, PointHead
from page4d.model.heads.head import Head, HeadInputs
from page4d.model.heads.track import TrackHead

# The order is that in which a seeded network draws its weights.
HEADS: dict[str, type[Head]] = {"camera": CameraHead, "point": PointHead, "depth": DepthHead, "track": TrackHead}

__all__ = [
    "HEADS",
    "CameraHead",
    "DepthHead",
    "Head",
    "HeadInputs",
    "PointHead",
    "TrackHead",
    "heads_of",
    "pairs_read",
    "prefix",
    "switch",
]  # fmt: skip


def heads_of(config: PAGE4DConfig) -> dict[str, type[Head]]:
    """The heads that a configuration switches on, by name."""
    return {name: head for name, head in HEADS.items() if getattr(config, switch(name))}


def pairs_read(config: PAGE4DConfig) -> set[int]:
    """Block pairs whose tokens the heads read; nothing else needs to be kept.

    Note:    the last pair is always among them: it is what a caller of the aggregator alone takes.
    """
    read = {config.depth - 1}
    for head in heads_of(config).values():
        read.update(head.pairs_read(config))
    return read


def switch(name: str) -> str:
    """The field of the configuration that switches a head on or off (`enable_camera`, `enable_depth`, ...)."""
    return f"enable_{name}"


def prefix(name: str) -> str:
    """What the names of a head's weights begin with (`camera_head.`, `depth_head.`, ...)."""
    return f"{name}_head."
