"""The exam: one call that scores a network and every yardstick on the same clips that no training has seen."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from page4d.evaluate.exact_scores import ExactTruth, answer_of, score
from page4d.evaluate.exam_results import NETWORK, Row, Rows, write_result
from page4d.evaluate.yardsticks import MARKINGS, Marking, classical_pairs, guesses
from page4d.inference import predict, resolve_device
from page4d.model import PAGE4D
from page4d.model.mask import true_mask as mask_of
from page4d.result.motion import geometric_score, moving_auc, patches_moving
from page4d.schema import UserError
from page4d.world import WORLD_VERSION, Batch, render_batch, split_config, split_seeds


@dataclass(frozen=True)
class Exam:
    """What every network is examined on: the first `sequences` clips of a split, then of those in `also`.

    Units:   height and width in pixels, 0 = the network's own side; they must be what it was trained with, or the exam
             measures that, too.
    Note:    slower looks take the first clips only: `classical` and `classical_twice` for the two-view yardstick at
             the network's pixels and at twice the size, `geometric` for the geometric mask. `frame_counts` are lengths
             of the same `frame_clips` clips, each from their first frame on. `world` is the version of the synthetic
             world: a stored result of another one was examined on other scenes.
    """

    split: str = "dynamic-test"
    also: tuple[str, ...] = ("dynamic-hard",)
    sequences: int = 512
    also_sequences: int = 256
    frames: int = 4
    height: int = 0
    width: int = 0
    batch_size: int = 16
    classical: int = 64
    classical_twice: int = 32
    geometric: int = 64
    frame_counts: tuple[int, ...] = (2, 4, 8, 16, 32)
    frame_clips: int = 16
    world: int = WORLD_VERSION

    def __post_init__(self) -> None:
        if self.sequences < self.batch_size or self.sequences % self.batch_size:
            raise UserError(f"exam.sequences is {self.sequences}, expected a multiple of batch_size {self.batch_size}")
        if self.frames < 2 or (self.frame_counts and min(self.frame_counts) < 2):
            raise UserError(f"exam.frames is {self.frames} and frame_counts {self.frame_counts}, expected 2 or more")
        for split in (self.split, *self.also):
            split_config(split, version=self.world)

    def at_side(self, side: int) -> Exam:
        """The same exam with the network's own side in place of 0."""
        return replace(self, height=self.height or side, width=self.width or side)

    def clips_of(self, split: str) -> int:
        """How many clips of a split are looked at."""
        return self.sequences if split == self.split else min(self.sequences, self.also_sequences)

    def batches(self, split: str, clips: int, device: torch.device | str = "cpu", factor: int = 1) -> Iterator[Batch]:
        """The first clips of a split, rendered in batches at `factor` times the size."""
        size = {"height": factor * self.height, "width": factor * self.width}
        config = split_config(split, frames=self.frames, version=self.world, **size)
        for start in range(0, clips, self.batch_size):
            count = min(self.batch_size, clips - start)
            yield render_batch(split_seeds(split, count, start), config, device)

    def long_batches(self, device: torch.device | str = "cpu") -> Iterator[Batch]:
        """The clips of `frame_counts`, as long as the longest, few at a time."""
        longest = max(self.frame_counts)
        few = max(1, self.batch_size * self.frames // longest)
        long = replace(self, frames=longest, batch_size=few, sequences=few)
        return long.batches(self.split, self.frame_clips, device)


@dataclass(frozen=True)
class ExamRequest(Exam):
    """What `page4d evaluate exact` is asked for: whose exam, how the network is called, and where results go.

    Note:    label None takes the name of the weights; the result is `<out>/<label>.json`; `card` is a model card whose
             part about quality is written anew.
    """

    weights: str = "tiny"
    label: str | None = None
    out: str = "evaluation/exact"
    card: str | None = None
    true_mask: bool = False

    @property
    def name(self) -> str:
        """How the network is called."""
        return self.label or Path(self.weights).name

    def run(self) -> dict[str, Any]:
        """Examine the weights and store the result; returns it."""
        return examine(self.weights, self, Path(self.out) / f"{self.name}.json", self.true_mask, label=self.name)


def examine(weights: str | Path, exam: Exam, path: Path, true_mask: bool = False, **about: Any) -> dict[str, Any]:
    """Examine stored weights and store the result; returns it. With `true_mask` true motion is the network's mask.

    Raises:  UserError for weights that do not load or cannot take images of the exam's size.
    """
    model = PAGE4D.from_pretrained(weights, device=resolve_device())
    exam = exam.at_side(model.config.img_size)
    splits = {split: split_rows(model, exam, split, true_mask) for split in (exam.split, *exam.also)}
    lengths = length_rows(model, exam, true_mask)
    told = ("world", "split", "frames", "height", "width")
    values = {name: getattr(exam, name) for name in told}
    return write_result(path, model.cpu(), splits, lengths, **values, **about)


def split_rows(model: PAGE4D, exam: Exam, split: str, true_mask: bool = False) -> dict[str, Rows]:
    """Scores of the network and of every yardstick on the clips of a split, one row per clip.

    Note:    the network's rows stand under "network"; rows of slower looks are fewer, and of the first clips.
    """
    rows: Rows = []
    patch = model.config.patch_size
    for batch in exam.batches(split, exam.clips_of(split), device_of(model)):
        done = len(rows)
        new = network_rows(model, batch, true_mask)
        if exam.geometric:
            for number, row in enumerate(new):
                looked_at = done + number < exam.geometric
                row["geometric_auc"] = geometric_auc(model, batch, number) if looked_at else math.nan
        rows += _named(new, split, done)
    return {NETWORK: rows} | {name: list(others) for name, others in yardstick_rows(exam, split, patch).items()}


@functools.cache
def yardstick_rows(exam: Exam, split: str, patch: int) -> dict[str, Rows]:
    """Scores of every answer that needs no network on the clips of a split; the same for all networks, so kept."""
    found: dict[str, Rows] = {}
    clips = exam.clips_of(split)
    for batch in exam.batches(split, clips):
        truth = truth_of(batch)
        for name, answer in guesses(truth, exam.world).items():
            _extend(found, name, score(answer, truth).rows())
        for name, marking in MARKINGS.items():
            _extend(found, name, marking_rows(marking, batch, patch, exam.world))
    for name in MARKINGS:
        for row in found[name][exam.geometric :]:
            row["geometric_auc"] = math.nan  # beside the network, whose slow look takes the first clips only
    for name, few, factor in (("classical", exam.classical, 1), ("classical_twice", exam.classical_twice, 2)):
        for batch in exam.batches(split, min(few, clips), factor=factor):
            answer = classical_pairs(batch.images, batch.K)
            _extend(found, name, score(answer, truth_of(batch)).rows())
    return found


def length_rows(model: PAGE4D, exam: Exam, true_mask: bool = False) -> dict[int, dict[str, Rows]]:
    """Scores of the network and of the guesses on clips of each length in `frame_counts`."""
    found: dict[int, dict[str, Rows]] = {count: {} for count in exam.frame_counts}
    if not found:
        return found
    for batch in exam.long_batches(device_of(model)):
        for count, parts in found.items():
            shorter = _first_frames(batch, count)
            _extend(parts, NETWORK, network_rows(model, shorter, true_mask))
            truth = truth_of(shorter)
            for name, answer in guesses(truth, exam.world).items():
                _extend(parts, name, score(answer, truth).rows())
    return found


@torch.no_grad()
def network_rows(model: PAGE4D, batch: Batch, true_mask: bool = False) -> Rows:
    """Scores of the network on a batch of clips; with `mask_auc` where the network keeps its mask."""
    given = mask_of(batch.moving, model.config.patch_size) if true_mask else None
    output = model.eval()(batch.images, None, given)
    truth = truth_of(batch)
    rows: Rows = [dict(row) for row in score(answer_of(output, truth.image_hw), truth).rows()]
    for row, moving in zip(rows, batch.moving, strict=True):
        row["moving_share"] = float(moving.double().mean())
    if "mask" in output:
        for row, mask, moving in zip(rows, output["mask"], batch.moving, strict=True):
            row["mask_auc"] = mask_auc(mask, moving)
    return rows


def mask_auc(mask: Tensor, moving: Tensor) -> float:
    """AUC of the network's mask (S, h, w) against the patches that truly move, of pixels (S, H, W).

    Note:    the mask is negative where pose tokens are told to look away.
    """
    says = -mask.double().cpu().numpy()
    return moving_auc(says, patches_moving(moving.cpu().numpy() > 0, *says.shape[1:]))


def marking_rows(marking: Marking, batch: Batch, patch: int, world: int) -> Rows:
    """Scores of a mask without a network, clip by clip: at patches as `mask_auc`, at pixels as `geometric_auc`."""
    rows: Rows = []
    for images, moving in zip(batch.images.cpu(), batch.moving.cpu(), strict=True):
        says = marking.marks(images, world)
        of_patches = torch.nn.functional.avg_pool2d(says[:, None], patch)[:, 0]
        at_pixels = moving_auc(says.numpy(), moving.numpy() > 0)
        rows.append({"mask_auc": mask_auc(-of_patches, moving), "geometric_auc": at_pixels})
    return rows


def geometric_auc(model: PAGE4D, batch: Batch, number: int) -> float:
    """AUC of the moving mask that the predicted geometry gives, pixel by pixel, on one clip of a batch."""
    prediction = predict(model, batch.images[number])
    return moving_auc(geometric_score(prediction), batch.moving[number].cpu().numpy() > 0)


def device_of(model: PAGE4D) -> torch.device:
    """Where the network is."""
    return next(model.parameters()).device


def truth_of(batch: Batch) -> ExactTruth:
    """What answers about rendered clips are compared with."""
    return ExactTruth.of(batch.depth, batch.K, batch.cam_from_world, batch.moving)


def _first_frames(batch: Batch, count: int) -> Batch:
    names = ("images", "depth", "cam_from_world", "K", "moving", "instances")
    shorter = {name: getattr(batch, name)[:, :count] for name in names}
    return replace(batch, **shorter, flow=batch.flow[:, : count - 1], tracks=None, tracks_visible=None)


def _named(rows: Rows, split: str, first: int) -> Rows:
    return [{"sequence": f"{split}-{first + i:06d}", **row} for i, row in enumerate(rows)]


def _extend(found: dict[str, Rows], name: str, rows: Sequence[Row]) -> None:
    found.setdefault(name, []).extend(rows)
