"""Errors of camera pairs: closed forms, then an implementation of its own written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pair_reference import by_definition
from scipy.spatial.transform import Rotation
from torch import Tensor

from page4d.evaluate.pose_auc import PairErrors, pair_errors, pair_numbers, relative_poses


def path(frames: int, seed: int, turn: float = 0.3) -> Tensor:
    """Random cameras from world, (S, 3, 4)."""
    rng = np.random.default_rng(seed)
    turns = Rotation.from_rotvec(rng.normal(0, turn, (frames, 3))).as_matrix()
    return torch.from_numpy(np.concatenate((turns, rng.normal(0, 1, (frames, 3, 1))), 2))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("limit", [3.0, 30.0, 120.0])
def test_equal_to_the_definition(seed: int, limit: float) -> None:
    true = path(5, seed)
    noise = path(5, seed + 100, 0.05 * (seed + 1))
    predicted = torch.cat((noise[:, :, :3] @ true[:, :, :3], true[:, :, 3:] + 0.1 * noise[:, :, 3:]), 2)
    errors = pair_errors(relative_poses(predicted), relative_poses(true), 1e-6)
    rra, rta, auc = by_definition(predicted, true, limit)
    assert errors.rotation_accuracy(limit).item() == pytest.approx(rra)
    assert errors.direction_accuracy(limit).item() == pytest.approx(rta)
    assert errors.auc(limit).item() == pytest.approx(auc, abs=1e-5)


def test_pairs_with_the_first_frame_come_first() -> None:
    assert pair_numbers(4).T.tolist() == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    assert relative_poses(path(4, 0).expand(2, 5, 4, 3, 4)).shape == (2, 5, 6, 3, 4)


def test_a_change_of_world_and_unit_changes_nothing() -> None:
    true = path(4, 1)
    moved = (
        torch.cat((true[:, :, :3], 7 * true[:, :, 3:]), 2) @ torch.cat((path(1, 2)[0], torch.eye(4)[3:]), 0).double()
    )
    errors = pair_errors(relative_poses(moved), relative_poses(true), 1e-6)
    assert errors.rotation_deg.max() < 1e-5
    assert errors.direction_deg.max() < 1e-5


def test_auc_by_hand() -> None:
    errors = PairErrors(torch.tensor([1.0, 0.0, 40.0]), torch.tensor([0.5, 2.0, 0.0]))
    assert errors.auc(4).item() == pytest.approx((3 / 4 + 2 / 4 + 0) / 3)
    assert errors.auc(1).item() == 0, "an error equal to the limit gains nothing"
    counts, _ = np.histogram([1, 2, 40], bins=np.arange(3))
    assert errors.auc_by_degrees(2).item() == pytest.approx(np.cumsum(counts / 3).mean()), "as the released script"
    assert errors.rotation_accuracy(1).item() == pytest.approx(2 / 3)
    assert errors.direction_accuracy(1).item() == pytest.approx(2 / 3)


def test_the_released_sum_rounds_errors_down_and_takes_the_limit_in() -> None:
    errors = PairErrors(torch.tensor([1.9, 0.2, 5.0]), torch.tensor([0.0, 3.0, torch.nan]))
    counts, _ = np.histogram([1.9, 3.0], bins=np.arange(4))
    assert errors.auc_by_degrees(3).item() == pytest.approx(np.cumsum(counts / 2).mean())
    assert errors.median_direction().item() == pytest.approx(1.5), "of the two pairs that have one"


def test_a_pair_at_one_place_has_no_direction_and_is_left_out() -> None:
    true = path(3, 3)
    true[1] = torch.cat((path(1, 9)[0][:, :3], -path(1, 9)[0][:, :3] @ centre(true[0])), 1)  # turned on the spot
    errors = pair_errors(relative_poses(true), relative_poses(true), 1e-6)
    assert errors.has_direction.tolist() == [False, True, True]
    assert errors.auc(5).item() == pytest.approx(1, abs=1e-6), "the others are perfect"
    alone = PairErrors(torch.zeros(2), torch.full((2,), torch.nan))
    assert alone.auc(5).isnan()
    assert alone.direction_accuracy(5).isnan()
    assert alone.rotation_accuracy(5) == 1


def centre(pose: Tensor) -> Tensor:
    return -pose[:, :3].T @ pose[:, 3:]


def test_saying_nothing_is_never_right() -> None:
    true = relative_poses(path(4, 5))
    nothing = true.clone()
    nothing[..., 3] = 0
    assert pair_errors(nothing, true, 1e-6).direction_deg.tolist() == [90] * 6
    broken = pair_errors(torch.full_like(true, torch.nan), true, 1e-6)
    assert broken.direction_deg.tolist() == [180] * 6
    assert broken.rotation_deg.tolist() == [180] * 6
    free = pair_errors(torch.full_like(true, torch.nan), true, 1e-6, either_way=True)
    assert free.direction_deg.tolist() == [180] * 6, "a free sign must not make nothing a perfect answer"


def test_either_way_takes_the_opposite_for_right() -> None:
    true = relative_poses(path(4, 6))
    opposite = torch.cat((true[..., :3], -true[..., 3:]), -1)
    assert pair_errors(opposite, true, 1e-6).direction_deg.tolist() == pytest.approx([180] * 6)
    assert pair_errors(opposite, true, 1e-6, either_way=True).direction_deg.tolist() == pytest.approx([0] * 6, abs=1e-5)


def guesses(n: int) -> NDArray[np.float64]:
    return np.random.default_rng(0).normal(size=(n, 3))


def test_guessing_scores_what_the_docstring_says() -> None:
    n = 100_000
    true, said = (torch.eye(3, 4).double().repeat(n, 1, 1) for _ in range(2))
    said[:, :, 3] = torch.from_numpy(guesses(n))
    true[:, 2, 3] = 1
    assert pair_errors(said, true, 1e-6).direction_deg.mean().item() == pytest.approx(90, abs=0.5)
    assert pair_errors(said, true, 1e-6, either_way=True).direction_deg.mean().item() == pytest.approx(57.3, abs=0.3)
