"""What cards say of a stored exam: medians, how many clips, intervals of aims, scores over frames, provenance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from page4d.evaluate import effect, exam_table, lengths_table, outcomes
from page4d.evaluate.cards import exam_section
from page4d.evaluate.exam_results import averaged_again, clips_with, comparisons, part_of
from page4d.version import short_revision

TURNS = [1.0, 1.0, 1.0, 9.0]


def rows(**columns: list[float]) -> list[dict[str, Any]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def part() -> dict[str, Any]:
    missing = [float("nan")] * 2
    ours = rows(relative_rotation=[2.0, 2.0, 2.0, 2.0], direction=[10.0, 20.0, *missing], abs_rel=[0.1, 0.1, 0.1, 0.1])
    theirs = rows(relative_rotation=TURNS, direction=[5.0, 6.0, *missing])
    return part_of({"network": ours, "classical": theirs, "classical_twice": theirs[:2]})


def document() -> dict[str, Any]:
    about = {"split": "dynamic-test", "label": "net", "frames": 4, "height": 112, "width": 112}
    made = {"hardware": "a core", "date": "2026-11-27", "code_revision": "0123456789abcdef" * 2 + "01234567-changed"}
    return {"about": about, "provenance": made, **part()}


def test_rotation_is_compared_in_the_mean_and_in_the_median() -> None:
    found = {(c.score, c.yardstick): c.effect for c in comparisons(part())}
    assert found["relative_rotation", "classical"].change == pytest.approx(1 / 3), "one bad clip makes the mean"
    assert found["relative_rotation_median", "classical"].change == pytest.approx(-1), "and nothing of the median"
    told = str(outcomes(document())[-1])
    assert "median rotation against classical two-view (undecided: 100 % worse" in told
    assert "mean rotation against classical two-view (undecided: 33 % better" in told


def test_a_median_averages_the_column_of_its_score() -> None:
    found = part()
    assert "relative_rotation_median" not in found["sequences"]
    assert found["yardsticks"]["classical"]["mean"]["relative_rotation_median"] == 1
    assert effect(
        {"relative_rotation": np.array(TURNS)}, {"relative_rotation": np.array([2.0] * 4)}, "relative_rotation_median"
    ).change == pytest.approx(0.5)


def test_a_table_says_on_how_many_clips_a_score_stands() -> None:
    table = exam_table(part())
    assert clips_with(part(), "direction") == 2
    assert clips_with(part(), "relative_rotation_median") == 4
    assert "median error of the direction of motion, degrees (n = 2)" in set(table[""])
    assert "rotation error over all pairs, degrees" in set(table[""])
    assert "classical at twice the size (n = 2)" in table.columns


def test_aims_say_whether_their_interval_includes_the_limit() -> None:
    found = document()
    found["mean"]["geometric_auc"], found["interval"]["geometric_auc"] = 0.901, (0.879, 0.919)
    found["mean"]["mask_auc"], found["interval"]["mask_auc"] = 0.8, (0.78, 0.82)
    told = {outcome.title: str(outcome) for outcome in outcomes(found)}
    geometric = told["AUC of the geometric mask against true motion"]
    assert geometric.endswith("0.901 (interval 0.879 to 0.919, which includes 0.9), reached")
    assert "includes" not in told["AUC of the network's mask against true motion"]


def test_averages_made_again_are_those_that_were_stored() -> None:
    found = part()
    assert averaged_again(found) == found
    found["yardsticks"]["classical"]["sequences"]["relative_rotation"] = [1.0, 1.0, 1.0, 1.0]
    assert averaged_again(found)["yardsticks"]["classical"]["mean"]["relative_rotation"] == 1


def test_scores_over_frames_are_in_the_card() -> None:
    found = document()
    assert lengths_table(found).empty
    guess = {"mean": {"abs_rel": 0.4, "relative_rotation": 3.0, "direction": 90.0}}
    one = {**part(), "yardsticks": dict.fromkeys(("constant", "rows", "still", "line", "random"), guess)}
    longer = {"mean": one["mean"] | {"ate": 0.5}, "interval": one["interval"] | {"ate": (0.4, 0.6)}, "n": 4}
    guess_of_path = {"mean": guess["mean"] | {"ate": 0.7}}
    longer |= {"yardsticks": dict.fromkeys(one["yardsticks"], guess_of_path)}
    found["frames"] = {"2": one, "8": longer}
    table = lengths_table(found)
    assert table["frames"].tolist() == ["2", "8"]
    assert table["ATE"].tolist() == ["-", "0.500 (0.400 to 0.600)"]
    assert table["ATE, straight line"].tolist() == ["-", "0.700"]
    assert "on the first 4 clips of `dynamic-test`, each from its first frame on" in exam_section(found)


def test_a_card_tells_the_last_doubling_and_keeps_the_mark_of_changed_files() -> None:
    found = document() | {"last_doubling": {"abs_rel_still": -0.123}}
    found["about"]["later"] = {"Masks": {**found["provenance"], "code_revision": "f" * 40}}
    text = exam_section(found)
    assert "AbsRel on still pixels -12 %." in text
    assert "code 0123456789ab-changed. Masks: a core, 2026-11-27, code ffffffffffff.\n" in text
    assert short_revision("page4d 0.1.0") == "page4d 0.1.0"
