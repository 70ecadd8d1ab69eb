"""Small benchmarks and a small random network for the tests of the evaluation."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.opening import open_benchmark
from page4d.model import PAGE4D

CONF = Path(__file__).parent.parent / "conf" / "benchmark"
WORLD = {
    "height": 32,
    "width": 40,
    "frames": 4,
    "camera_speed": [0.3, 1.0],
    "tripod_chance": 0.0,
    "environment": "room",
}


def small(task: str, sequences: int = 3) -> Benchmark:
    stored = open_benchmark(f"{task}-synthetic")
    settings = {"split": "dynamic-test", "sequences": sequences, "world": WORLD}
    return replace(stored, settings=settings, left_out_by_public=())


def micro(seed: int = 0) -> PAGE4D:
    torch.manual_seed(seed)
    return PAGE4D(
        img_size=32, patch_size=8, embed_dim=32, depth=4, num_heads=2, patch_embed="conv", mask_source=1,
        masked_pairs=(2,), dpt_features=16, dpt_channels=(8, 8, 8, 8), dpt_pairs=(0, 1, 2, 3), camera_heads=4,
        camera_trunk_depth=2, enable_track=False,
    )  # fmt: skip
