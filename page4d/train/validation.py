"""Validation: losses and scores of named data sets, summed over all processes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from page4d.evaluate.exact_scores import score_sequences
from page4d.evaluate.exam_results import summary
from page4d.losses import LossConfig, total_loss
from page4d.model import PAGE4D
from page4d.train.batch import targets_of
from page4d.train.sources import Source


@dataclass(frozen=True)
class Validation:
    """The first `batches` batches of a source, the same ones every time."""

    source: Source
    batches: int


@torch.no_grad()
def validate(accelerator: Accelerator, module: nn.Module, validation: Validation, loss: LossConfig) -> dict[str, float]:
    """Mean losses and scores over a data set, equal on all processes whatever their number.

    Note:    losses are means over batches, scores means over the sequences where they are defined; rotation_ratio and
             the like are ratios of means, 1 = no better than the identity.
    """
    module.eval()
    rows: list[tuple[int, dict[str, float], list[dict[str, float]]]] = []
    n, world = validation.batches, accelerator.num_processes
    # Every process makes the same number of forward passes, as sharded networks need; surplus ones do not count.
    for turn in range(math.ceil(n / world)):
        number = turn * world + accelerator.process_index
        batch = validation.source.batch(min(number, n - 1), 0).to(accelerator.device)
        targets = targets_of(batch, loss.behaviour)
        predictions = module(batch.images)
        losses = total_loss(predictions, targets, loss)
        terms = {"objective": losses.objective.item()} | {k: v.item() for k, v in losses.terms.items()}
        if number < n:
            rows.append((number, terms, score_sequences(predictions, targets).rows()))
    module.train()
    gathered = sorted(gather_object(rows), key=lambda row: row[0])
    mean = {name: math.fsum(row[1][name] for row in gathered) / len(gathered) for name in gathered[0][1]}
    return mean | summary([sequence for row in gathered for sequence in row[2]])


@torch.no_grad()
def score_rows(model: PAGE4D, source: Source, batches: int, device: torch.device | str = "cpu") -> list[dict[str, Any]]:
    """Scores of every sequence of a source's first batches, with its name and share of moving pixels."""
    rows: list[dict[str, Any]] = []
    model = model.to(device).eval()
    for number in range(batches):
        batch = source.batch(number, 0).to(device)
        scores = score_sequences(model(batch.images), targets_of(batch, "corrected")).rows()
        moving = torch.full((len(batch),), torch.nan) if batch.moving is None else batch.moving.float().mean((1, 2, 3))
        for name, share, row in zip(batch.names, moving.tolist(), scores, strict=True):
            rows.append({"sequence": name, "moving_share": share} | row)
    return rows
