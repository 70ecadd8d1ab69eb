"""Scores of the networks that `family.py` trains, on clips that are rendered once and stay on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from page4d.data.loader import BatchShare, make_ahead
from page4d.evaluate.exam import network_rows
from page4d.evaluate.exam_results import summarize
from page4d.model import PAGE4D
from page4d.train.sources import DrawnBatch, SyntheticSource
from page4d.world import SPLITS, Batch, render_tables, split_config

SHOWN = ("abs_rel", "abs_rel_still", "abs_rel_moving", "relative_rotation_ratio", "direction", "mask_auc")
CLIPS_PER_BATCH = 64


@dataclass(frozen=True)
class Exams:
    """Every split that networks are examined on, rendered on the device."""

    splits: Mapping[str, tuple[Batch, ...]]
    device: torch.device

    @classmethod
    def of(cls, config: Mapping[str, Any], clips: int, workers: int, device: torch.device) -> Exams:
        """The first clips of each test split, of the size that the networks learned at."""
        height, width = config["data"]["world"]["height"], config["data"]["world"]["width"]
        splits = {}
        for name in (name for name in SPLITS if name.endswith("-test") or name == "dynamic-hard"):
            world = split_config(name, frames=4, height=height, width=width)
            # Workers draw and the device renders: one process alone would draw longer than the networks look.
            source = SyntheticSource(name, world, min(CLIPS_PER_BATCH, clips), device="auto")
            drawn = make_ahead(source.batch, BatchShare(), 0, max(1, clips // CLIPS_PER_BATCH), workers)
            splits[name] = tuple(rendered(batch, device) for batch in drawn)
        return cls(splits, device)


def rendered(drawn: object, device: torch.device) -> Batch:
    """The clips of drawn scenes."""
    assert isinstance(drawn, DrawnBatch)
    return render_tables(drawn.tables.to(device))


def examine_network(path: Path, exams: Exams, true_mask: bool) -> dict[str, Any]:
    """Averages and rows of every split for stored weights; with `true_mask` motion itself is the mask."""
    model = PAGE4D.from_pretrained(path).to(exams.device)
    return {name: examine_split(model, batches, true_mask) for name, batches in exams.splits.items()}


def examine_split(model: PAGE4D, batches: tuple[Batch, ...], true_mask: bool) -> dict[str, Any]:
    """Scores of one network on one split: averages, and a row for each clip."""
    rows = [row for batch in batches for row in network_rows(model, batch, true_mask)]
    mean = summarize(rows)
    short = [{name: float(f"{value:.4g}") for name, value in row.items()} for row in rows]
    return {"mean": {name: round(mean[name], 4) for name in SHOWN if name in mean}, "all": mean, "rows": short}
