"""Intervals, paired differences and verdicts of Scores, the table of everything, and what predictions cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from little_benchmarks import micro, small

from page4d.cli import main
from page4d.evaluate.comparison import compare, comparison_table, whole_table
from page4d.evaluate.cost import with_cost
from page4d.evaluate.harness import Study
from page4d.evaluate.statistics import interval_of, sequence_table, weight_of
from page4d.evaluate.tables import cost_of, latex, markdown, quoted_rows, scores_table, write_tables
from page4d.schema import Scores, SequenceScore, UserError

BETTER = {"abs_rel": "lower", "delta_1": "higher"}


def scores(label: str, values: list[float], benchmark: str = "videodepth-sintel", weights=None, failed=()) -> Scores:
    """An evaluation of sequences s0, s1, ... with one error each; delta_1 is one less the error."""
    rows = []
    for k, value in enumerate(values):
        both = {"abs_rel": value, "delta_1": 1 - value}
        weight = 1.0 if weights is None else weights[k]
        error = "too large" if k in failed else None
        notes = {"frames_in": 4.0, "seconds": 0.5 * (k + 1), "peak_gib": 2.0 + k}
        rows.append(SequenceScore(f"s{k}", {} if error else both, weight, notes=notes, error=error))
    done = [row for row in rows if row.error is None]
    total = sum(row.weight for row in done)
    mean = {name: sum(row.weight * row.values[name] for row in done) / total for name in BETTER}
    origin = {"label": label, "source": "page4d", "date": "2026-01-01", "hardware": "cpu"}
    protocol = {"name": "standard", "align": "scale"}
    return Scores(benchmark, 1, "videodepth", protocol, mean, tuple(rows), BETTER, {}, origin)


def test_an_interval_holds_the_mean_and_weighs_sequences_as_the_mean_does():
    errors = np.random.default_rng(0).uniform(0.1, 0.3, 40)
    weights = np.where(np.arange(40) < 20, 9.0, 1.0)
    made = scores("a", errors.tolist(), weights=weights.tolist())
    low, high = interval_of(made, "abs_rel")
    assert low < made.mean["abs_rel"] < high
    # The standard error of a weighted mean, to the first order.
    shares = weights / weights.sum()
    spread = np.sqrt((shares**2 * (errors - made.mean["abs_rel"]) ** 2).sum())
    assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.15)
    assert np.isnan(interval_of(scores("a", [0.1]), "abs_rel")).all()


def test_a_table_of_one_task_has_the_interval_of_every_score(tmp_path):
    several, one = scores("a", [0.1, 0.2, 0.4]), scores("b", [0.25])
    table = scores_table([several, one], intervals=True)
    low, high = interval_of(several, "abs_rel")
    assert table.loc[0, ["AbsRel ↓ low", "AbsRel ↓ high"]].tolist() == [low, high]
    assert table.loc[1, ["AbsRel ↓ low", "AbsRel ↓ high"]].isna().all()
    head, _, first, second = markdown(table).splitlines()
    assert head.endswith("| AbsRel ↓ | δ<1.25 ↑ |")
    assert f"| 0.233 ({low:.3f} to {high:.3f}) | 0.767 (" in first
    assert second.endswith("| 0.250 | 0.750 |")
    assert f"0.233 ({low:.3f} to {high:.3f})" in latex(table)
    written = pd.read_csv(write_tables(table, tmp_path / "t")[1])
    assert written["AbsRel ↓ high"][0] == high
    for made in (several, one):
        (tmp_path / "scores" / made.origin["label"]).mkdir(parents=True)
        made.save(tmp_path / "scores" / made.origin["label"] / "videodepth-sintel-standard.json")
    assert main(["evaluate", "table", f"out={tmp_path}"]) == 0
    assert f"0.233 ({low:.3f} to {high:.3f})" in (tmp_path / "tables" / "videodepth.md").read_text(encoding="utf-8")


def test_a_difference_is_paired_by_name_over_what_both_have():
    base = np.random.default_rng(1).uniform(0.1, 0.5, 30)
    other = scores("other", base.tolist(), failed=(3,))
    ours = scores("ours", (0.8 * base).tolist(), failed=(7,))
    depth, share = compare(ours, other)
    kept = np.delete(base, [3, 7])
    assert depth["n"] == 28
    assert depth["difference"] == pytest.approx(-0.2 * kept.mean())
    assert depth["low"] <= depth["difference"] <= depth["high"] < 0
    assert depth["verdict"] == "better by 20 %, interval 20 to 20 %"
    assert share["difference"] > 0
    assert share["verdict"].startswith("better by")
    assert compare(other, ours)[0]["verdict"].startswith("worse by 25 %")
    with pytest.raises(UserError, match="cannot compare"):
        compare(ours, scores("other", base.tolist(), "videodepth-bonn"))


def test_a_metric_with_weights_of_its_own_keeps_them_and_what_failed_is_no_row():
    made = scores("a", [0.1, 0.2, 0.4], failed=(1,))
    first, *others = made.sequences
    weighted = replace(made, sequences=(replace(first, weights={"abs_rel": 5.0}), *others))
    table = sequence_table(weighted)
    assert table["weight"].tolist() == [1, 1]
    assert table[weight_of("abs_rel")].tolist() == [5, 0]
    assert weight_of("delta_1") not in table


def test_two_sequences_are_compared_by_the_metrics_that_both_have():
    ours, other = scores("ours", [0.1, 0.3]), scores("other", [0.2, 0.4])
    depth, share = compare(ours, other)
    assert (depth["n"], depth["metric"], share["metric"]) == (2, "AbsRel", "δ<1.25")
    assert (depth["value"], depth["value against"]) == pytest.approx((0.2, 0.3))
    (alone,) = compare(ours, replace(other, mean={"delta_1": other.mean["delta_1"]}))
    assert alone["metric"] == share["metric"]


def test_nothing_is_said_of_a_share_of_nothing_or_of_a_single_sequence():
    perfect = scores("perfect", [0.0, 0.0, 0.0])
    assert compare(scores("ours", [0.1, 0.2, 0.3]), perfect)[0]["verdict"] == "no share of 0"
    assert compare(scores("ours", [0.1]), scores("other", [0.2])) == []


def test_every_model_is_compared_with_the_one_that_is_asked_for():
    three = [scores(name, [0.1 * k, 0.2 * k, 0.3 * k]) for k, name in enumerate(("a", "b", "c"), 1)]
    table = comparison_table(three, "b")
    assert table["model"].tolist() == ["a", "a", "c", "c"]
    assert set(table["against"]) == {"b"}
    assert set(comparison_table(three)["against"]) == {"a"}
    assert comparison_table(three, "d").empty
    assert comparison_table(three[:1]).empty


def test_the_table_of_everything_marks_what_is_quoted():
    table = whole_table([scores("ours", [0.1, 0.2, 0.4])])
    measured, quoted = table[table["protocol"] == "standard"], table[table["protocol"] == "as published"]
    assert measured["value"].tolist() == pytest.approx([0.7 / 3, 1 - 0.7 / 3])
    assert set(measured["benchmark"]) == {"videodepth-sintel v1"}
    assert set(measured["settings"]) == {"scale"}
    assert set(quoted["benchmark"]) == {"videodepth-sintel"}
    assert set(quoted["model"]) == {row.method for row in quoted_rows("videodepth", "sintel")}
    assert (measured["low"] < measured["value"]).all()
    assert measured["seconds"].tolist() == [1.0, 1.0]
    assert measured["GiB"].tolist() == [4.0, 4.0]
    assert len(quoted) == 2 * len(quoted_rows("videodepth", "sintel"))
    assert quoted["status"].str.startswith("quoted, unchecked: arXiv 2510.17568").all()
    assert quoted["low"].isna().all()
    assert "transcribed by a third party" in latex(table)


def test_every_quoted_row_says_where_it_stands_and_who_wrote_it_down():
    for row in quoted_rows():
        assert row.version
        assert row.table
        assert row.transcriber


def test_a_run_costs_seconds_and_memory(tmp_path):
    def allocate() -> int:
        return int(np.ones(40_000_000).sum())

    size, cost = with_cost(allocate, torch.device("cpu"))
    assert size == 40_000_000
    assert cost["seconds"] > 0
    if Path("/proc/self/status").exists():
        assert cost["peak_gib"] > 40_000_000 * 8 / 2**30
        assert with_cost(lambda: None, torch.device("cpu"))[1]["peak_gib"] < cost["peak_gib"]
    made = Study(small("videodepth", sequences=2), out=tmp_path).run(micro(), "micro")
    for sequence in made.sequences:
        assert sequence.notes["frames_in"] == 4
        assert sequence.notes["seconds"] > 0
    assert cost_of(made)["seconds"] == pytest.approx(np.mean([q.notes["seconds"] for q in made.sequences]))
    assert list(scores_table([made]).columns)[-8:-3] == ["frames", "seconds", "GiB", "AbsRel ↓", "δ<1.25 ↑"]
    assert sequence_table(made)["weight"].tolist() == [q.weight for q in made.sequences]


def test_a_cuda_device_is_asked_for_its_own_peak(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: asked.append("wait"))
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: asked.append("forget"))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 * 2**30)
    _, cost = with_cost(lambda: asked.append("run"), torch.device("cuda"))
    assert asked == ["wait", "forget", "run", "wait"]
    assert cost["peak_gib"] == 3


def test_the_command_writes_the_table_of_everything(tmp_path, capsys):
    for label, factor in (("first", 1.0), ("second", 0.5)):
        path = tmp_path / "scores" / label / "videodepth-sintel-standard-scale.json"
        path.parent.mkdir(parents=True)
        scores(label, [0.2 * factor, 0.3 * factor, 0.4 * factor]).save(path)
    assert main(["evaluate", "table", f"out={tmp_path}", "against=third"]) == 2
    assert "no Scores are of a model of that label; there are first, second" in capsys.readouterr().err
    assert main(["evaluate", "table", f"out={tmp_path}", "against=first"]) == 0
    assert "better by 50 %, interval 50 to 50 %" in capsys.readouterr().out
    for name in ("all", "differences", "videodepth"):
        for suffix in (".md", ".csv", ".tex"):
            assert (tmp_path / "tables" / f"{name}{suffix}").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"origin": {}}, "it lacks label, source, date, hardware"),
        ({"protocol": {}}, "it lacks the protocol's name"),
        ({"protocol": None}, "is not a whole Scores file"),
        ({"better": {"sharpness": "higher"}}, "has scores that this page4d does not know: sharpness"),
    ],
)
def test_scores_that_no_table_can_show_are_refused(change, told, tmp_path, capsys):
    path = tmp_path / "scores/a/videodepth-sintel-standard-scale.json"
    path.parent.mkdir(parents=True)
    replace(scores("a", [0.2, 0.3]), **change).save(path)
    assert main(["evaluate", "table", f"out={tmp_path}"]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert str(path) in error
