"""Intervals, paired differences and verdicts against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from page4d.evaluate.statistics import Effect, average_of, difference, effect, interval, interval_of_means, table_of
from page4d.schema import UserError


def test_interval_of_means_is_two_standard_errors_each_way() -> None:
    values = np.random.default_rng(1).normal((5, -1), (1, 0.1), (400, 2))
    low, high = interval_of_means(values)
    np.testing.assert_allclose(high - low, 2 * 1.96 * values.std(0) / 20, rtol=0.1)
    assert np.all(low < values.mean(0))
    assert np.all(values.mean(0) < high)


def test_effect_is_relative_paired_and_positive_for_better() -> None:
    base = np.random.default_rng(2).uniform(1, 3, 300)
    found = effect({"abs_rel": 0.88 * base}, {"abs_rel": base}, "abs_rel")
    assert (found.change, found.low, found.high) == pytest.approx((0.12, 0.12, 0.12))
    assert str(found) == "better by 12 %, interval 12 to 12 %"
    worse = effect({"auc_30": 0.5 * base}, {"auc_30": base}, "auc_30")
    assert str(worse) == "worse by 50 %, interval 50 to 50 %"
    with pytest.raises(UserError, match="300 sequences with 299"):
        effect({"abs_rel": base}, {"abs_rel": base[1:]}, "abs_rel")


@pytest.mark.filterwarnings("error")
def test_resamples_whose_base_is_nothing_are_left_out() -> None:
    found = effect({"auc_5": np.array([0.0, 0.2])}, {"auc_5": np.array([0.0, 0.1])}, "auc_5")
    assert (found.change, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("change", "low", "high", "verdict"),
    [
        (0.12, 0.08, 0.16, "better"),
        (-0.12, -0.16, -0.08, "worse"),
        (0.019, 0.018, 0.020, "none"),
        (-0.019, -0.3, 0.3, "none"),
        (0.12, -0.01, 0.25, "undecided"),
        (-0.12, -0.25, 0.01, "undecided"),
    ],
)
def test_verdicts(change: float, low: float, high: float, verdict: str) -> None:
    assert Effect(change, low, high).verdict == verdict


def test_verdicts_in_words() -> None:
    assert str(Effect(-0.12, -0.16, -0.08)) == "worse by 12 %, interval 8 to 16 %"
    assert str(Effect(-0.05, -0.09, -0.003)) == "worse by 5 %, interval 0.3 to 9 %", (
        "an end that is not 0 is not told as 0"
    )
    assert str(Effect(0.0, -0.004, 0.02)) == "no difference seen (below 2 %), interval 0 % to 2 % better"
    assert str(Effect(0.01, -0.01, 0.03)) == "no difference seen (below 2 %), interval 1 % worse to 3 % better"
    assert str(Effect(-0.2, -0.5, 0.1)) == "undecided: 20 % worse, interval 50 % worse to 10 % better"


def test_the_direction_is_averaged_by_its_median_and_a_ratio_by_its_parts() -> None:
    table = {
        "direction": np.array([1.0, 2.0, 90.0, np.nan]),
        "rotation": np.array([1.0, 3.0, np.nan, np.inf]),
        "rotation_identity": np.array([4.0, 4.0, 4.0, 4.0]),
    }
    assert average_of(table, "direction") == 2
    assert average_of(table, "rotation_ratio") == pytest.approx(0.5)
    assert np.isnan(average_of({"direction": np.full(3, np.nan)}, "direction"))
    low, high = interval(table, "direction")
    assert 1 <= low <= 2 <= high <= 90


def test_a_table_has_the_numbers_that_every_row_has() -> None:
    rows = [{"name": "a", "x": 1.0, "moving": 2.0}, {"name": "b", "x": 3.0}, {"name": "c", "x": 5.0, "late": 1.0}]
    table = table_of(rows)
    assert list(table) == ["x"]
    assert table["x"].tolist() == [1, 3, 5]


@pytest.mark.filterwarnings("error")
def test_a_sequence_that_only_one_of_two_has_is_no_change() -> None:
    ours, other = {"abs_rel": np.array([np.nan, 0.1, 0.1])}, {"abs_rel": np.array([0.9, 0.1, 0.1])}
    assert effect(ours, other, "abs_rel").change == 0
    assert difference(other, ours, "abs_rel") == (0, 0, 0)
    apart = effect({"abs_rel": np.array([np.nan, 0.1])}, {"abs_rel": np.array([0.2, np.nan])}, "abs_rel")
    assert apart.verdict == "undecided"
    assert str(apart).startswith("undecided: no sequence has both scores")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_sequences_have_no_interval_and_decide_nothing(count: int) -> None:
    ours, other = {"abs_rel": np.full(count, 0.1)}, {"abs_rel": np.full(count, 0.2)}
    assert np.isnan(interval(ours, "abs_rel")).all()
    assert np.isnan(interval({"abs_rel": np.array([0.1, np.nan])}, "abs_rel")).all()
    assert np.isnan(difference(ours, other, "abs_rel")[1:]).all()
    assert np.isnan(interval_of_means(np.ones((count, 3)))).all()
    found = effect(ours, other, "abs_rel")
    assert found.verdict == "undecided"
    if count:
        assert str(found) == "undecided: 50 % better, no interval, for fewer than two sequences have both scores"


def test_a_score_that_is_not_there_is_named() -> None:
    table = {"abs_rel": np.ones(3)}
    with pytest.raises(UserError, match="'sharpness' is no score"):
        effect(table, table, "sharpness")
    with pytest.raises(UserError, match="'rotation' is not in the table, which has abs_rel"):
        interval(table, "rotation")
