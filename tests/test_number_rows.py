"""Numbers as text in rows: what Python's own formatting of each number says."""

from __future__ import annotations

import numpy as np
import pytest

from page4d.io.number_rows import number_rows


@pytest.mark.parametrize(("low", "high"), [(-20, 20), (0, 1), (-4000, 4000), (-1e6, 1e6)])
@pytest.mark.parametrize("decimals", [0, 1, 6])
def test_every_number_is_written_as_python_writes_it(low: float, high: float, decimals: int) -> None:
    rng = np.random.default_rng(0)
    values, whole = rng.uniform(low, high, 500), rng.integers(0, 10**7, 500)
    values = np.round(values, decimals) + 0.0  # nothing is -0, which Python writes with its sign
    text, ends = number_rows([(values, decimals), (whole, 0)])
    rows = [f" {value:.{decimals}f} {number}" for value, number in zip(values, whole, strict=True)]
    assert text.decode() == "".join(rows)
    assert ends.tolist() == np.cumsum([len(row) for row in rows]).tolist()


def test_zeros_are_written_where_they_count() -> None:
    text, ends = number_rows([(np.array([0, 0.05, 10, -0.5, 100.25]), 2), (np.array([0, 1, 10, 100, 0], np.int32), 0)])
    assert text == b" 0.00 0 0.05 1 10.00 10 -0.50 100 100.25 0"
    assert ends.tolist() == [7, 14, 23, 33, 42]


def test_no_rows_are_no_text() -> None:
    text, ends = number_rows([(np.zeros(0), 6), (np.zeros(0, np.int64), 0)])
    assert (text, ends.tolist()) == (b"", [])
