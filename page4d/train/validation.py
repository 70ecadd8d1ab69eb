"""Validation: losses and scores of named data sets, summed over all processes; and the study's long evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from page4d.losses import LossConfig, total_loss
from page4d.model import PAGE4D
from page4d.model.fingerprint import config_sha256, weights_sha256
from page4d.schema import UserError, atomic_write
from page4d.train.batch import targets_of
from page4d.train.record import provenance
from page4d.train.scores import SCORE_NAMES, score_sequences
from page4d.train.sources import Source

RESULT_FORMAT = 1
RESAMPLES = 2000
PAIRS = (("rotation", "rotation_identity"), ("ate", "ate_identity"), ("translation", "translation_identity"))


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


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the scores over sequences, and the ratios to the identity's; scores defined nowhere are left out."""
    mean = {}
    for name in SCORE_NAMES:
        values = [row[name] for row in rows if math.isfinite(row[name])]
        if values:
            mean[name] = math.fsum(values) / len(values)
    for ours, identity in PAIRS:
        if mean.get(identity, 0.0) > 0:
            mean[f"{ours}_ratio"] = mean[ours] / mean[identity]
    return mean


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


def intervals(rows: Sequence[Mapping[str, Any]], resamples: int = RESAMPLES, seed: int = 0) -> dict[str, list[float]]:
    """95 % bootstrap intervals over sequences of everything that `summary` gives: name -> [low, high]."""
    generator = np.random.default_rng(seed)
    table = np.array([[row[name] for name in SCORE_NAMES] for row in rows], dtype=np.float64)
    picks = generator.integers(0, len(table), (resamples, len(table)))
    known = np.isfinite(table)
    filled = np.where(known, table, 0.0)
    means = np.stack([filled[p].sum(0) / np.maximum(known[p].sum(0), 1) for p in picks])
    columns = {name: means[:, i] for i, name in enumerate(SCORE_NAMES) if known[:, i].any()}
    for ours, identity in PAIRS:
        if identity in columns and (columns[identity] > 0).all():
            columns[f"{ours}_ratio"] = columns[ours] / columns[identity]
    return {name: [float(v) for v in np.quantile(values, (0.025, 0.975))] for name, values in columns.items()}


def write_result(path: Path, model: PAGE4D, rows: Sequence[Mapping[str, Any]], **about: Any) -> dict[str, Any]:
    """Store an evaluation with everything needed to trust it; returns what was stored.

    Content:  format, about (label, split, command, ...), provenance, hashes of configuration and weights, n, mean,
              interval (95 %, bootstrap over sequences), sequences.
    """
    document = {
        "format": RESULT_FORMAT,
        "about": about,
        "provenance": provenance(),
        "config_sha256": config_sha256(model.config),
        "weights_sha256": weights_sha256(model),
        "n": len(rows),
        "mean": summary(rows),
        "interval": intervals(rows),
        "sequences": [{k: _short(v) for k, v in row.items()} for row in rows],
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as stream:
        json.dump(document, stream, indent=1)
    return document


def _short(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def read_result(path: Path) -> dict[str, Any]:
    """A stored evaluation.

    Errors:  UserError if the file is missing, damaged or of another format.
    """
    try:
        document = json.loads(Path(path).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read the result {path}: {error}") from error
    if document.get("format") != RESULT_FORMAT:
        raise UserError(f"{path} has result format {document.get('format')}, this page4d reads {RESULT_FORMAT}")
    return dict(document)
