"""What reads the tokens. The network, its weights and a Prediction follow this one table of heads.

A head named `x` stands in the network as `x_head`, is switched by `enable_x` of the configuration, and the names of its
weights begin with `x_head.`.
"""

from __future__ import annotations

from page4d.model.heads.camera import CameraHead
from page4d.model.heads.dpt import DepthHead, PointHead
from page4d.model.heads.head import Head, Seen
from page4d.model.heads.track import TrackHead

# The order is that in which a seeded network draws its weights.
HEADS: dict[str, type[Head]] = {"camera": CameraHead, "point": PointHead, "depth": DepthHead, "track": TrackHead}

__all__ = ["HEADS", "CameraHead", "DepthHead", "Head", "PointHead", "Seen", "TrackHead", "prefix", "switch"]


def switch(name: str) -> str:
    """The field of the configuration that switches a head on or off."""
    return f"enable_{name}"


def prefix(name: str) -> str:
    """What the names of a head's weights begin with."""
    return f"{name}_head."
