"""One frame is not 1 frames."""

from __future__ import annotations

from page4d.counted import counted


def test_one_and_more() -> None:
    assert [counted(number, "frame") for number in (0, 1, 2)] == ["0 frames", "1 frame", "2 frames"]
