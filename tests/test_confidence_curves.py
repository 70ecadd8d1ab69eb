"""Sparsification against confidences whose curve is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from page4d.evaluate.confidence_curves import sparsification


def test_a_confidence_that_orders_the_errors_is_the_oracle() -> None:
    error = np.random.default_rng(0).exponential(size=5000)
    curve = sparsification(error, -error)
    assert curve.ause == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(curve.by_confidence, curve.by_error)


def test_uniform_errors_have_a_straight_oracle() -> None:
    # Errors spread evenly over [0, 1]: without the worst share r the mean is (1 - r) / 2, over 1/2 that is 1 - r.
    error = (np.arange(10_000) + 0.5) / 10_000
    curve = sparsification(error, -error)
    np.testing.assert_allclose(curve.by_error, 1 - curve.removed, atol=1e-9)


def test_one_confidence_for_all_is_chance() -> None:
    error = np.random.default_rng(1).exponential(size=2000)
    curve = sparsification(error, np.ones_like(error))
    np.testing.assert_allclose(curve.by_confidence, 1)
    assert curve.ause == pytest.approx(curve.ause_of_chance)


def test_a_confidence_upside_down_is_worse_than_chance() -> None:
    error = np.random.default_rng(2).exponential(size=2000)
    curve = sparsification(error, error)
    assert curve.ause > curve.ause_of_chance


@given(st.permutations(list(range(12))))
def test_the_order_of_pixels_says_nothing(order: list[int]) -> None:
    error = np.arange(12.0)
    confidence = np.repeat([2.0, 1.0, 0.0], 4)
    there = sparsification(error, confidence, steps=6)
    here = sparsification(error[order], confidence[order], steps=6)
    np.testing.assert_allclose(there.by_confidence, here.by_confidence)


def test_what_cannot_be_ordered_is_refused() -> None:
    with pytest.raises(ValueError, match="expected two equal"):
        sparsification(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="finite"):
        sparsification(np.array([1.0, np.nan]), np.ones(2))
    with pytest.raises(ValueError, match="nothing that a confidence could order"):
        sparsification(np.zeros(3), np.ones(3))
