"""Scores of the networks that `family.py` trains, on clips that are rendered once and stay on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from page4d.data.loader import Share, made_ahead
from page4d.evaluate.exam_results import summary
from page4d.model import PAGE4D
from page4d.model.mask import true_mask as mask_of
from page4d.train.batch import TrainBatch, given_mask
from page4d.train.settings import AidConfig
from page4d.train.sources import SyntheticSource
from page4d.train.validation import score_rows
from page4d.world import SPLITS, split_config

SHOWN = ("abs_rel", "abs_rel_still", "abs_rel_moving", "rotation_ratio", "direction", "ate_ratio", "mask_auc")
CLIPS_PER_BATCH = 64


@dataclass(frozen=True)
class Rendered:
    """The clips of one split, on the device."""

    name: str
    batches: tuple[TrainBatch, ...]

    def batch(self, index: int, iteration: int) -> TrainBatch:
        """Batch `index`."""
        del iteration
        return self.batches[index]


@dataclass(frozen=True)
class Exams:
    """Every split that networks are examined on."""

    splits: tuple[Rendered, ...]
    device: torch.device

    @classmethod
    def of(cls, config: Mapping[str, Any], clips: int, workers: int, device: torch.device) -> Exams:
        """The first clips of each test split, of the size that the networks learned at."""
        height, width = config["data"]["world"]["height"], config["data"]["world"]["width"]
        names = [name for name in SPLITS if name.endswith("-test") or name == "dynamic-hard"]
        splits = []
        for name in names:
            world = split_config(name, frames=4, height=height, width=width)
            source = SyntheticSource(name, world, min(CLIPS_PER_BATCH, clips), device="auto")
            drawn = made_ahead(source.batch, Share(), 0, max(1, clips // CLIPS_PER_BATCH), workers)
            splits.append(Rendered(name, tuple(batch.to(device) for batch in drawn)))
        return cls(tuple(splits), device)


def examine_network(path: Path, exams: Exams, true_mask: bool) -> dict[str, Any]:
    """Means and rows of every split for stored weights; with `true_mask` motion itself is the mask."""
    model = PAGE4D.from_pretrained(path).to(exams.device)
    return {split.name: examine_split(model, split, exams.device, true_mask) for split in exams.splits}


@torch.no_grad()
def examine_split(model: PAGE4D, split: Rendered, device: torch.device, true_mask: bool) -> dict[str, Any]:
    """Scores of one network on one split: means, and a row for each clip."""
    patch = model.config.patch_size
    mask = partial(given_mask, config=AidConfig(true_mask=true_mask), patch=patch)
    rows = score_rows(model, split, len(split.batches), device, mask)
    extra: list[dict[str, float]] = []
    said, moves = [], []
    for batch in split.batches:
        out = model(batch.images, None, mask(batch))
        extra += depth_rows(out["depth"][..., 0], batch)
        if "mask" in out and batch.moving is not None:
            said.append(-out["mask"].flatten())
            moves.append(mask_of(batch.moving, patch).flatten() < 0)
    rows = [row | more for row, more in zip(rows, extra, strict=True)]
    mean = summary(rows) | {name: nan_mean([row[name] for row in rows]) for name in extra[0]}
    if said:
        mean["mask_auc"] = auc(torch.cat(said), torch.cat(moves))
    short = [{k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in row.items()} for row in rows]
    return {"mean": {name: round(mean[name], 4) for name in SHOWN if name in mean}, "all": mean, "rows": short}


def depth_rows(depth: Tensor, batch: TrainBatch) -> list[dict[str, float]]:
    """AbsRel of still and of moving pixels, after one median scale for each clip; NaN where there is no such pixel."""
    assert batch.moving is not None
    valid = batch.valid
    true, ours = (torch.where(valid, x, torch.full_like(x, torch.nan)).flatten(1) for x in (batch.depth, depth))
    scale = true.nanmedian(1).values / ours.nanmedian(1).values
    error = (scale[:, None] * ours - true).abs() / true
    moving = batch.moving.flatten(1)
    columns = {
        "abs_rel_still": torch.where(moving, torch.nan, error).nanmean(1).tolist(),
        "abs_rel_moving": torch.where(moving, error, torch.nan).nanmean(1).tolist(),
    }
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def nan_mean(values: list[float]) -> float:
    """Mean of the numbers among the values."""
    return float(torch.tensor(values).nanmean())


def auc(score: Tensor, truth: Tensor) -> float:
    """Area under the ROC curve: how often a patch that moves scores above one that does not; ties count half."""
    order = score.double().argsort()
    ranks = torch.empty_like(score, dtype=torch.float64)
    _, group, size = score[order].unique_consecutive(return_inverse=True, return_counts=True)
    last = size.cumsum(0).double()
    ranks[order] = (last - (size.double() - 1) / 2)[group]
    positive, n = truth.sum().double(), len(truth)
    above = ranks[truth].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (n - positive)))
