"""The synthetic world: moving scenes with exact truth, drawn from seeds."""

from page4d.world.clips import (
    SPLITS,
    Batch,
    SyntheticDataset,
    query_tracks,
    render_batch,
    render_clip,
    render_scenes,
    render_tables,
    scene_tables,
    split_clip,
    split_config,
    split_seeds,
)
from page4d.world.config import WORLD_VERSION, WorldConfig
from page4d.world.scenes import Scene, sample_scene
from page4d.world.tables import Tables

__all__ = [
    "SPLITS", "WORLD_VERSION", "Batch", "Scene", "SyntheticDataset", "Tables", "WorldConfig", "query_tracks",
    "render_batch", "render_clip", "render_scenes", "render_tables", "sample_scene", "scene_tables", "split_clip",
    "split_config", "split_seeds",
]  # fmt: skip
