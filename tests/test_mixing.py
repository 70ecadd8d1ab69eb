"""Mixed batches: the stated weights, one shape for all, and the same clips whoever makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from plane_clip import plane_clip

from page4d.data.augmentation import ColourAugmentation
from page4d.data.loader import BatchShare, ClipLoader
from page4d.data.mixing import Ingredient, Mix, TrainingLook, choose_tracks
from page4d.data.sampling import ShapeRule, WindowRule
from page4d.schema import Clip, UserError

SHAPES = ShapeRule(image_size=28, patch_size=14, frames=(2, 4), aspects=(0.5, 1.0), images_per_batch=6)


class Walls:
    """Sequences of the closed-form wall; the frame number is written into the depth's sign-free last digit."""

    def __init__(self, lengths: Sequence[int] = (12, 4), tracks: bool = True, size: tuple[int, int] = (30, 44)) -> None:
        self.lengths, self.tracks, self.size = lengths, tracks, size
        self.loads: list[tuple[str, tuple[int, ...]]] = []

    @property
    def sequences(self) -> list[str]:
        return [f"wall{i}" for i in range(len(self.lengths))]

    def frame_numbers(self, sequence: str) -> list[int]:
        return list(range(100, 100 + self.lengths[int(sequence[4:])]))

    def load(self, sequence: str, frames: Sequence[int]) -> Clip:
        self.loads.append((sequence, tuple(frames)))
        clip = plane_clip(int(sequence[4:]), len(frames), *self.size)
        clip = replace(clip, frame_numbers=torch.tensor(list(frames)), name=sequence)
        return clip if self.tracks else replace(clip, tracks=None, tracks_visible=None)


def mix(look: TrainingLook | None = None, seed: int = 1, **weights: float) -> Mix:
    weights = weights or {"a": 3.0, "b": 1.0}
    parts = {
        name: Ingredient(Walls(tracks=name != "b", size=(30 + 4 * i, 44)), weight, WindowRule((1, 2)))
        for i, (name, weight) in enumerate(weights.items())
    }
    return Mix(parts, SHAPES, look or TrainingLook(ColourAugmentation(), mirror=0.5, tracks=5), seed)


def same(first: list[Clip], second: list[Clip]) -> bool:
    return len(first) == len(second) and all(
        a.name == b.name
        and all(torch.equal(getattr(a, n), getattr(b, n)) for n in ("images", "depth", "K", "frame_numbers", "tracks"))
        for a, b in zip(first, second, strict=True)
    )


# --- the mix ----------------------------------------------------------------------------------------------------


def test_datasets_come_by_weight_and_sequences_by_length() -> None:
    draws = [mix().draw(k, 2) for k in range(4000)]
    counts = Counter(d.dataset for d in draws)
    assert counts["a"] / 4000 == pytest.approx(0.75, abs=5 * (0.75 * 0.25 / 4000) ** 0.5)
    long = sum(d.sequence == "wall0" for d in draws) / 4000
    assert long == pytest.approx(12 / 16, abs=5 * (0.75 * 0.25 / 4000) ** 0.5)
    assert mix(a=2.0, b=6.0).shares == {"a": 0.25, "b": 0.75}


def test_a_weight_of_zero_is_never_read() -> None:
    made = mix(a=1.0, b=0.0)
    assert made.shares == {"a": 1.0}
    assert {made.draw(k, 2).dataset for k in range(50)} == {"a"}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "no dataset with a weight above 0"),
        ({"x": Ingredient(Walls(), 0.0)}, "no dataset with a weight above 0"),
        ({"x": Ingredient(Walls(lengths=()))}, "without a sequence: x"),
    ],
)
def test_mixes_that_give_nothing_are_refused(parts: dict[str, Ingredient], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Mix(parts)


@pytest.mark.parametrize("weight", [-1.0, float("nan")])
def test_impossible_weights_are_refused(weight: float) -> None:
    with pytest.raises(UserError, match="mixing weight"):
        Ingredient(Walls(), weight)


def test_all_clips_of_a_batch_stack_whatever_their_dataset() -> None:
    made = mix()
    datasets = set()
    for i in range(12):
        clips = made.clips(i, i)
        shape = made.shape(i)
        assert len(clips) == shape.clips
        for clip in clips:
            assert clip.images.shape == (shape.frames, 3, shape.height, shape.width)
            assert clip.tracks is not None
            assert clip.tracks.shape == (shape.frames, 5, 2)
            datasets.add(clip.dataset)
    assert datasets == {"a", "b"}


def test_evaluation_look_changes_no_colour() -> None:
    plain = mix(TrainingLook())
    clip = plain.clip(0, plain.shape(0))
    assert clip.tracks is None
    assert torch.allclose(clip.images[:, 2], torch.tensor(0.5), atol=1e-6)  # the wall's third colour is constant
    coloured = mix().clip(0, plain.shape(0))
    assert not torch.allclose(coloured.images[:, 2], torch.tensor(0.5), atol=1e-3)
    assert torch.equal(coloured.frame_numbers, clip.frame_numbers)


def test_mirror_chance() -> None:
    always, never = mix(TrainingLook(mirror=1.0)), mix(TrainingLook(mirror=0.0))
    a, b = always.clip(3, always.shape(0)), never.clip(3, never.shape(0))
    assert torch.equal(a.images, b.images.flip(-1))
    assert torch.equal(a.depth, b.depth.flip(-1))


# --- numbers ----------------------------------------------------------------------------------------------------


def test_a_clip_depends_on_its_number_alone() -> None:
    first = [mix().clips(i, i) for i in range(4)]
    made = mix()
    assert all(same(made.clips(i, i), first[i]) for i in (3, 0, 2, 1))
    assert not same(mix(seed=2).clips(0, 0), first[0])
    assert not same(mix().clips(5, 0), first[0])


def test_processes_share_shapes_and_split_the_batches() -> None:
    made = mix()
    shares = [BatchShare(rank, 3, 2) for rank in range(3)]
    numbers = [n for i in range(5) for share in shares for n in share.numbers(i)]
    assert sorted(numbers) == list(range(30))
    for i in range(5):
        shapes = {tuple(c.images.shape) for share in shares for n in share.numbers(i) for c in made.clips(n, i)}
        assert len(shapes) == 1
    one = BatchShare(0, 1, 6)
    assert [sorted(n for s in shares for n in s.numbers(i)) for i in range(3)] == [one.numbers(i) for i in range(3)]
    for rank, world, accumulate in ((3, 3, 1), (-1, 2, 1), (0, 1, 0)):
        with pytest.raises(UserError, match="expected a rank below"):
            BatchShare(rank, world, accumulate)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_change_nothing(workers: int) -> None:
    expected = [mix().clips(n, i) for i in range(3) for n in BatchShare(1, 2).numbers(i)]
    loaded = list(ClipLoader(mix(), BatchShare(1, 2), workers, iterations=3))
    assert len(loaded) == 3
    assert all(same(a, b) for a, b in zip(loaded, expected, strict=True))


@pytest.mark.parametrize("stop", [1, 2, 3])
@pytest.mark.parametrize("workers", [0, 2])
def test_resuming_goes_on_where_it_stopped(stop: int, workers: int) -> None:
    unbroken = list(ClipLoader(mix(), BatchShare(0, 2, 2), iterations=3))
    first = ClipLoader(mix(), BatchShare(0, 2, 2), workers, iterations=3)
    begun = []
    for batch in first:
        begun.append(batch)
        if len(begun) == stop:
            break
    second = ClipLoader(mix(), BatchShare(0, 2, 2), workers, iterations=3)
    second.load_state_dict(first.state_dict())
    resumed = begun + list(second)
    assert len(resumed) == len(unbroken) == 6
    assert all(same(a, b) for a, b in zip(resumed, unbroken, strict=True))


def test_negative_workers_are_refused() -> None:
    with pytest.raises(UserError, match="workers is -1"):
        ClipLoader(mix(), workers=-1)


# --- tracks -----------------------------------------------------------------------------------------------------


def test_tracks_seen_first_come_first_and_gaps_are_invisible() -> None:
    clip = plane_clip(tracks=6)
    visible = torch.ones(3, 6, dtype=torch.bool)
    visible[0, [0, 2, 3, 5]] = False
    assert clip.tracks is not None
    tracks = clip.tracks.clone()
    tracks[1, 4] = torch.nan
    chosen = choose_tracks(replace(clip, tracks=tracks, tracks_visible=visible), 2, np.random.default_rng(0))
    assert chosen.tracks is not None
    assert chosen.tracks_visible is not None
    assert {tuple(t) for t in chosen.tracks[0].tolist()} == {tuple(t) for t in tracks[0, [1, 4]].tolist()}
    assert chosen.tracks.isfinite().all()
    assert chosen.tracks_visible[1].sum() == 1
    padded = choose_tracks(clip, 9, np.random.default_rng(0))
    assert padded.tracks is not None
    assert padded.tracks_visible is not None
    assert not padded.tracks_visible[:, 6:].any()
    assert not padded.tracks[:, 6:].any()
    assert torch.equal(padded.tracks_visible[:, :6].sum(1), clip.tracks_visible.sum(1))  # type: ignore[union-attr]


def test_a_clip_without_tracks_gets_invisible_ones() -> None:
    clip = replace(plane_clip(), tracks=None, tracks_visible=None)
    padded = choose_tracks(clip, 3, np.random.default_rng(0))
    assert padded.tracks_visible is not None
    assert padded.tracks_visible.shape == (3, 3)
    assert not padded.tracks_visible.any()
    assert choose_tracks(plane_clip(), 0, np.random.default_rng(0)).tracks is None
