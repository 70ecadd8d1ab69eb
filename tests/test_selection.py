"""Which frames are taken: by time in closed form, every n-th, spread evenly, and what contradicts itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from page4d.io.selection import Due, FrameSelection
from page4d.schema import UserError


def kept(fps: float, times: list[float], tick_s: float = 1e-6) -> list[float]:
    due = Due(fps, tick_s)
    return [time for time in times if due.reached(time)]


def test_a_pause_does_not_let_frames_through_that_are_too_close() -> None:
    times = [i * 0.033 for i in range(15)] + [5 + i * 0.033 for i in range(75)]
    assert kept(2, times) == pytest.approx([0, 5, 5.528, 6.023, 6.518, 7.013])


def test_an_uneven_rate_is_kept_on_average() -> None:
    assert kept(4, [i / 10 for i in range(20)]) == pytest.approx([0, 0.3, 0.5, 0.8, 1.0, 1.3, 1.5, 1.8])


def test_times_rounded_by_the_clock_of_the_film_are_not_late() -> None:
    """Matroska counts milliseconds: at the film's own rate every frame is due."""
    times = [round(i / 30, 3) for i in range(90)]
    assert kept(30, times, tick_s=0.001) == times


@given(
    fps=st.floats(0.2, 40),
    steps=st.lists(st.floats(0.001, 3), min_size=1, max_size=60),
)
def test_frames_are_never_closer_than_half_an_interval(fps: float, steps: list[float]) -> None:
    times = np.cumsum(steps).tolist()
    gaps = np.diff(kept(fps, times))
    assert (gaps >= 0.5 / fps - 2e-6).all()


def test_indices() -> None:
    assert FrameSelection().indices(3) == [0, 1, 2]
    assert FrameSelection(every=3).indices(8) == [0, 3, 6]
    assert FrameSelection(every=2, max_frames=2).indices(8) == [0, 2]
    assert FrameSelection(spread=3).indices(9) == [0, 4, 8]
    assert FrameSelection(spread=1).indices(9) == [0]
    assert FrameSelection(spread=20).indices(4) == [0, 1, 2, 3]
    times = [10.0, 10.5, 11.0, 11.5, 12.0]
    assert FrameSelection(start_s=10.4, end_s=11.5).indices(5, times) == [1, 2, 3]
    assert FrameSelection(fps=1).indices(5, times) == [0, 2, 4]
    assert FrameSelection(start_s=10.4, spread=2).indices(5, times) == [1, 4]


@given(count=st.integers(1, 500), spread=st.integers(1, 500))
def test_spread_takes_both_ends_and_no_frame_twice(count: int, spread: int) -> None:
    chosen = FrameSelection(spread=spread).indices(count)
    assert len(set(chosen)) == min(spread, count)
    assert chosen[0] == 0
    assert chosen[-1] == (0 if spread == 1 else count - 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0}, "fps is 0"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"every": 0}, "every is 0"),
        ({"spread": 0}, "spread is 0"),
        ({"spread": 2, "max_frames": 2}, "both count frames"),
        ({"start_s": 3, "end_s": 2}, "enclose nothing"),
        ({"start_s": float("nan")}, "enclose nothing"),
    ],
)
def test_what_means_nothing(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        FrameSelection(**options)


def test_nothing_left() -> None:
    with pytest.raises(UserError, match="none of 2 frames is left with start 5"):
        FrameSelection(start_s=5).indices(2, [0.0, 1.0])
