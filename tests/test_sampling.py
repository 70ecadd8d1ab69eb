"""Windows and batch shapes: legal, uniform, and functions of a seed and a number alone."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from page4d.data.sampling import BatchShape, ShapeRule, WindowRule, generator, window
from page4d.schema import UserError

numbers_of = st.lists(st.integers(0, 80), min_size=1, max_size=40, unique=True).map(sorted)


# --- windows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "stride", "length", "frames", "complete"),
    [
        (2, 1, 3, (2, 3, 4), True),
        (2, 3, 3, (2, 5, 8), True),
        (7, 1, 4, (6, 7, 8, 9), True),  # moved to the left at the end
        (8, 3, 3, (2, 5, 8), True),
        (1, 4, 4, (1, 5, 9, 9), False),  # too short: the last repeats
        (5, 1, 1, (5,), True),
        (9, 9, 3, (0, 9, 9), False),
    ],
)
def test_windows_in_ten_frames(first: int, stride: int, length: int, frames: tuple[int, ...], complete: bool) -> None:
    assert window(range(10), first, stride, length) == (frames, complete)


def test_a_gap_keeps_the_lane() -> None:
    assert window([1, 3, 4, 5, 9, 11], 1, 2, 4) == ((1, 3, 5, 9), True)


def test_windows_refuse_what_is_not_there() -> None:
    with pytest.raises(UserError, match=r"frame 4 is not in the sequence \(1 to 3, 2 frames\)"):
        window([1, 3], 4, 1, 2)
    for stride, length in ((0, 2), (1, 0)):
        with pytest.raises(UserError, match="at least 1"):
            window([1, 3], 1, stride, length)


@given(
    numbers=numbers_of,
    length=st.integers(1, 12),
    strides=st.lists(st.integers(1, 9), min_size=1),
    seed=st.integers(0, 99),
)
def test_drawn_windows_are_legal(numbers: list[int], length: int, strides: list[int], seed: int) -> None:
    drawn = WindowRule(tuple(strides)).draw(numbers, length, np.random.default_rng(seed))
    assert len(drawn.frames) == length
    assert set(drawn.frames) <= set(numbers)
    assert list(drawn.frames) == sorted(drawn.frames)
    steps = np.diff(drawn.frames)
    assert drawn.complete == (len(set(drawn.frames)) == length)
    assert any((steps % s == 0).all() for s in strides)


def test_every_whole_window_has_the_same_chance() -> None:
    rule, rng = WindowRule((2,)), np.random.default_rng(0)
    counts = Counter(rule.draw(range(20), 4, rng).frames[0] for _ in range(7000))
    assert sorted(counts) == list(range(14))  # 0 ... 19 - 2 * 3
    assert max(abs(n - 500) for n in counts.values()) < 5 * 500**0.5


def test_strides_that_fit_have_the_same_chance_and_the_others_none() -> None:
    rule, rng = WindowRule((1, 2, 4, 8)), np.random.default_rng(0)
    counts = Counter(int(np.diff(rule.draw(range(17), 4, rng).frames)[0]) for _ in range(3000))
    assert sorted(counts) == [1, 2, 4]
    assert max(abs(n - 1000) for n in counts.values()) < 5 * 1000**0.5
    assert WindowRule((8, 3)).draw([5, 6], 4, rng) == ((5, 5, 5, 5), False)


def test_first_frames_keep_their_step() -> None:
    rng = np.random.default_rng(1)
    assert {WindowRule((1,), step=3).draw(range(12), 2, rng).frames[0] for _ in range(200)} == {0, 3, 6, 9}


def test_unordered_draws_take_each_frame_once_while_there_are_enough() -> None:
    rule, rng = WindowRule(ordered=False), np.random.default_rng(0)
    drawn = rule.draw(range(0, 30, 3), 6, rng)
    assert drawn.complete
    assert len(set(drawn.frames)) == 6
    assert not rule.draw([1, 2], 3, rng).complete
    assert any(list(w.frames) != sorted(w.frames) for w in (rule.draw(range(9), 5, rng) for _ in range(20)))


def test_rules_refuse_nonsense() -> None:
    for bad in ({"strides": ()}, {"strides": (0,)}, {"step": 0}):
        with pytest.raises(UserError, match="at least 1"):
            WindowRule(**bad)  # type: ignore[arg-type]


# --- batch shapes -----------------------------------------------------------------------------------------------


def test_budget_and_heights_of_the_public_configuration() -> None:
    rule = ShapeRule()
    assert rule.height(0.33) == 168
    assert rule.height(1.0) == 518
    assert len({rule.height(a / 100) for a in range(33, 101)}) == 26
    clips = {s: max(1, 32 // s) for s in range(2, 17)}
    assert list(clips.values()) == [16, 10, 8, 6, 5, 4, 4, 3, 3, 2, 2, 2, 2, 2, 2]
    shapes = [rule.draw(42, i) for i in range(2000)]
    assert {s.frames for s in shapes} == set(range(2, 17))
    for s in shapes:
        assert s.clips == clips[s.frames]
        assert s.clips * s.frames <= 32
        assert s.width == 518
        assert s.height % 14 == 0
        assert 168 <= s.height <= 518


def test_frame_counts_are_uniform() -> None:
    counts = Counter(ShapeRule(frames=(2, 5)).draw(3, i).frames for i in range(4000))
    assert sorted(counts) == [2, 3, 4, 5]
    assert max(abs(n - 1000) for n in counts.values()) < 5 * 1000**0.5


def test_shapes_depend_on_seed_and_iteration_alone() -> None:
    rule = ShapeRule()
    np.random.seed(0)
    first = [rule.draw(1, i) for i in range(20)]
    np.random.seed(1)
    assert [rule.draw(1, i) for i in reversed(range(20))][::-1] == first
    assert [rule.draw(2, i) for i in range(20)] != first


def test_one_long_clip_may_exceed_the_budget() -> None:
    assert ShapeRule(image_size=56, frames=(8, 8), images_per_batch=4, aspects=(0.1, 0.1)).draw(0, 0) == BatchShape(
        1, 8, 14, 56
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"frames": (0, 3)}, "1 <= low <= high"),
        ({"frames": (4, 3)}, "1 <= low <= high"),
        ({"aspects": (0.0, 1.0)}, "0 < low <= high"),
        ({"image_size": 500}, "not a multiple of the patch size"),
        ({"image_size": 7, "patch_size": 14}, "not a multiple"),
        ({"image_size": 70_000, "patch_size": 14}, "at most 16384"),
        ({"image_size": 14, "patch_size": 0}, "not a multiple"),
        ({"images_per_batch": 0}, "expected 1 to 65536"),
        ({"images_per_batch": 10**12}, "expected 1 to 65536"),
        ({"frames": (2, 10**9)}, "1 <= low <= high <= 65536"),
        ({"aspects": (0.5, 1e9)}, "0 < low <= high <= 10"),
    ],
)
def test_impossible_shapes_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ShapeRule(**values)  # type: ignore[arg-type]


def test_streams_of_numbers_are_independent() -> None:
    draws = {
        generator(*key).random()
        for key in ((1, "a", 2), (1, "a", 3), (1, "b", 2), (2, "a", 2), (1, "a", 2, 0), (1, "ab", 2))
    }
    assert len(draws) == 6
    assert generator(1, "a", 2).random() == generator(1, "a", 2).random()
