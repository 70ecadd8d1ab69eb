"""The loss of tracks in closed form: what the corrected behaviour changes, and what does not count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_losses import plain_targets

from page4d.losses import Targets, TrackLossConfig
from page4d.losses.track import TrackPrediction, track_loss
from page4d.schema import UserError


def track_case(probability: float, visible: bool = True) -> tuple[TrackPrediction, Targets]:
    tracks = torch.zeros(1, 2, 4, 2)
    seen = torch.ones(1, 2, 4, dtype=torch.bool)
    seen[:, 1] = visible
    targets = replace(plain_targets(1), tracks=tracks, tracks_visible=seen)
    value = torch.full((1, 2, 4), probability)
    return TrackPrediction([tracks], value, value), targets


def test_t26_certain_and_right_costs_nothing() -> None:
    predicted, targets = track_case(1 - 1e-6)
    public = track_loss(predicted, targets, TrackLossConfig(), "public")
    ours = track_loss(predicted, targets, TrackLossConfig())
    assert public.visibility.item() == pytest.approx(0.3133, abs=1e-3), "ln(1 + e^-1): sigmoid of a sigmoid"
    assert ours.visibility.item() == pytest.approx(0.0, abs=1e-5)


def test_t26_half_costs_ln_2() -> None:
    predicted, targets = track_case(0.5)
    assert track_loss(predicted, targets, TrackLossConfig()).confidence.item() == pytest.approx(np.log(2), rel=1e-5)


def test_t27_occluded_points_can_count() -> None:
    predicted, targets = track_case(0.5, visible=False)
    off = torch.zeros(1, 2, 4, 2)
    off[:, 1] = 1.0  # wrong by (1, 1) px, only where the points are occluded
    predicted = predicted._replace(tracks=[off])
    assert track_loss(predicted, targets, TrackLossConfig()).coordinates.item() == 0.0
    weighted = TrackLossConfig(occluded_weight=0.25)
    assert track_loss(predicted, targets, weighted).coordinates.item() == pytest.approx(0.25 / 1.25)
    assert track_loss(predicted, targets, weighted, "public").coordinates.item() == 0.0


def test_a_track_with_a_broken_target_is_left_out_alone() -> None:
    predicted, targets = track_case(0.5)
    assert targets.tracks is not None
    true = targets.tracks + 4.0
    true[0, 1, 2] = torch.nan
    loss = track_loss(predicted, replace(targets, tracks=true), TrackLossConfig(confident_within_px=5.0))
    assert loss.coordinates.item() == pytest.approx(4.0)
    assert loss.total.isfinite()


@pytest.mark.parametrize(("tracks", "counted"), [(1, 0.0), (2, 4.0)])
def test_two_places_are_too_few_for_a_track_loss(tracks: int, counted: float) -> None:
    predicted, targets = track_case(0.5)
    assert targets.tracks is not None
    few = predicted._replace(tracks=[torch.full((1, 2, tracks, 2), 4.0)], visibility=None, confidence=None)
    loss = track_loss(few, targets, TrackLossConfig())
    assert (loss.coordinates.item(), loss.visibility.item()) == (counted, 0.0)


def test_a_batch_without_tracks_is_refused() -> None:
    with pytest.raises(UserError, match="no tracks"):
        track_loss(track_case(0.5)[0], plain_targets(), TrackLossConfig())
