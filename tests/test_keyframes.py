"""Keyframes: by how far the picture has moved, whatever the film's pace; the same ones however a film is read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from page4d.io.images import LoadedImages
from page4d.keyframes import Keyframes, keyframes_of, only_keyframes
from page4d.schema import UserError

HEIGHT, WIDTH = 60, 80  # a diagonal of 100 px


def film(places: list[int], noise: bool = False) -> LoadedImages:
    """A window of 80 x 60 px over a wide picture, at these columns."""
    rough = torch.rand(1, 3, HEIGHT, 400, generator=torch.Generator().manual_seed(0))
    wide = torch.nn.functional.avg_pool2d(rough, 5, 1, 2)[0]
    images = torch.stack([wide[:, :, x : x + WIDTH] for x in places])
    s = len(places)
    return LoadedImages(
        images=torch.zeros_like(images) if noise else images,
        original_hw=np.full((s, 2), (HEIGHT, WIDTH)),
        box_in_original=np.tile([0.0, 0.0, WIDTH, HEIGHT], (s, 1)),
        names=tuple(f"f{i}" for i in range(s)),
        timestamps_s=np.arange(float(s)),
    )


def taken(frames: LoadedImages) -> list[int]:
    return [int(name[1:]) for name in frames.names]


@pytest.mark.parametrize(("step", "every"), [(3, 4), (6, 2), (12, 1)])
def test_a_pan_gives_a_keyframe_every_twelve_pixels(step: int, every: int) -> None:
    kept = keyframes_of(film([step * i for i in range(13)]), Keyframes(moved=0.11))
    assert taken(kept) == list(range(0, 13, every))
    assert kept.timestamps_s.tolist() == taken(kept)


def test_a_pause_gives_none() -> None:
    places = [0, 6, 12, *[12] * 10, 18, 24]
    assert taken(keyframes_of(film(places), Keyframes(moved=0.11))) == [0, 2, 14]


@pytest.mark.parametrize(("lost", "kept"), [(0.5, [0, 2]), (0.95, [0])])
def test_a_view_that_is_mostly_covered_is_a_new_one(lost: float, kept: list[int]) -> None:
    """Three quarters of a picture that does not move are covered from frame 2 on: their points are gone."""
    frames = film([0] * 3)
    frames.images[2, :, :, : 3 * WIDTH // 4] = 0.5
    assert taken(keyframes_of(frames, Keyframes(moved=0.9, lost=lost))) == kept


def test_frames_in_which_nothing_can_be_followed_are_kept() -> None:
    assert taken(keyframes_of(film([0] * 4, noise=True), Keyframes())) == [0, 1, 2, 3]


@pytest.mark.parametrize("first", [0, 1, 3])
@pytest.mark.parametrize("batch", [1, 4, 20])
def test_a_film_has_the_same_keyframes_in_any_batches_from_any_frame_on(first: int, batch: int) -> None:
    frames = film([5 * i for i in range(17)])
    whole = taken(keyframes_of(frames, Keyframes(moved=0.14)))

    def frames_from(begin: int) -> Iterator[LoadedImages]:
        for i in range(begin, len(frames), batch):
            yield frames[i : i + batch]

    parts = list(only_keyframes(frames_from, Keyframes(moved=0.14))(first))
    assert [number for part in parts for number in taken(part)] == whole[first:]
    images: NDArray[np.float32] = torch.cat([part.images for part in parts]).numpy()
    np.testing.assert_array_equal(images, frames.images[whole[first:]].numpy())


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_shares_that_are_none(share: float) -> None:
    with pytest.raises(UserError, match="expected a share above 0 and below 1"):
        Keyframes(moved=share)
