"""The synthetic world: moving scenes with exact truth, drawn from seeds."""

from page4d.world.clips import (
    SPLITS,
    Batch,
    SyntheticDataset,
    query_tracks,
    render_batch,
    render_clip,
    render_scenes,
    split_clip,
    split_config,
    split_seeds,
)
from page4d.world.config import WorldConfig
from page4d.world.scenes import Scene, sample_scene

__all__ = [
    "SPLITS", "Batch", "Scene", "SyntheticDataset", "WorldConfig", "query_tracks", "render_batch", "render_clip",
    "render_scenes", "sample_scene", "split_clip", "split_config", "split_seeds",
]  # fmt: skip
