"""Protocols, tables, planted predictions and pictures of Scores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from little_benchmarks import micro, small

from page4d.evaluate.harness import Study
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.protocol import OPTIONS, PUBLIC, STANDARD, differences, protocol_of, with_options
from page4d.evaluate.tables import latex, markdown, quoted_rows, quoted_table, scores_table, write_tables
from page4d.schema import UserError
from page4d.viz.scores import error_distribution, error_over_time, option_bars, trajectory_panels


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(small("videodepth"), STANDARD, out=tmp_path)


def test_every_protocol_difference_is_one_documented_option():
    named = {f for task in ("monodepth", "videodepth", "pose", "points", "relpose") for f in differences(task)}
    fields = set(PUBLIC.to_dict()) - {"name", "version"}
    assert named == fields == set(OPTIONS)
    assert {k: getattr(STANDARD, k) for k in fields} != {k: getattr(PUBLIC, k) for k in fields}
    switched = with_options(PUBLIC, **{k: getattr(STANDARD, k) for k in fields})
    assert replace(switched, name="standard") == STANDARD
    oddities = {e.strip() for option in OPTIONS.values() for e in option.oddities.split(",")}
    assert {"E1", "E2", "E3", "E4", "E5", "E6", "E7", "E8", "E9", "E15", "E16"} <= oddities


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("paper", {}, "'paper' does not exist; there are public, standard"),
        ("public", {"depth": "z"}, "option 'depth' does not exist"),
        ("public", {"depth_source": "z"}, "expected 'world_z' or 'own_camera'"),
        ("public", {"max_frames": 0}, "a positive number or all"),
    ],
)
def test_wrong_protocols_are_named(name, options, message):
    with pytest.raises(UserError, match=message):
        protocol_of(name, options)


def test_options_are_part_of_the_protocols_name():
    assert protocol_of("standard", {"depth_source": "world_z"}).name == "standard+depth_source=world_z"
    assert protocol_of("standard", {"depth_source": "own_camera"}).name == "standard"


def test_tables_come_as_markdown_csv_and_latex(study, tmp_path):
    table = scores_table([study.run(micro(), "a_b")])
    parts = ["AbsRel, still ↓", "AbsRel, moving ↓", "AUSE ↓"]
    assert list(table.columns)[-5:] == ["AbsRel ↓", "δ<1.25 ↑", *parts]
    assert markdown(table).splitlines()[1].count("---") == len(table.columns)
    assert r"a\_b" in latex(table)
    assert r"$\delta$$<$1.25 $\uparrow$" in latex(table)
    paths = write_tables(table, tmp_path / "tables" / "t")
    assert [p.suffix for p in paths] == [".md", ".csv", ".tex"]
    assert float(paths[1].read_text().splitlines()[1].split(",")[-1]) == table["AUSE ↓"][0]
    with pytest.raises(UserError, match="one task"):
        scores_table([study.score("a_b"), replace(study.score("a_b"), task="pose")])


def test_a_label_breaks_neither_the_tables_nor_their_names(tmp_path):
    table = pd.DataFrame({"model": [r"a|b #1 $x^2$ ~{c}" + "\\"], "AbsRel": [0.5]})
    head, rule, row = markdown(table).splitlines()
    assert head.count("|") == rule.count("|") == row.replace(r"\|", "").count("|")
    escaped = r"a|b \#1 \$x\textasciicircum{}2\$ \textasciitilde{}\{c\}\textbackslash{}"
    assert latex(table).splitlines()[4] == f"{escaped} & 0.500 \\\\"
    names = {path.name for label in ("net-0.1", "net-0.2") for path in write_tables(table, tmp_path / label)}
    assert names == {f"net-0.{n}.{kind}" for n in (1, 2) for kind in ("md", "csv", "tex")}


def test_labels_that_would_share_a_folder_are_refused(study: Study):
    plant(study, "a/b", Planted())
    with pytest.raises(UserError, match="belongs to label 'a/b', and 'a_b' has the same folder; choose another"):
        study.score("a_b")


def test_quoted_rows_are_marked_and_complete():
    assert {row.task for row in quoted_rows()} == {
        "videodepth",
        "monodepth",
        "pose",
        "points",
        "ablation",
        "vggt elsewhere",
        "parameters",
    }
    row = next(r for r in quoted_rows("videodepth", "sintel", "scale") if r.method == "PAGE-4D")
    assert row.values == {"abs_rel": 0.357, "delta_1": 0.699}
    assert "2510.17568" in row.source
    assert not row.checked
    table = quoted_table(quoted_rows("pose"))
    assert set(table["status"]) == {"quoted, unchecked"}
    assert len(table) == 4


def test_planted_predictions_are_as_wrong_as_asked(tmp_path):
    study = Study(small("videodepth"), STANDARD, out=tmp_path)
    plant(study, "perfect", Planted())
    assert study.score("perfect").mean["abs_rel"] == pytest.approx(0, abs=1e-6)
    plant(study, "noisy", Planted(depth_sigma=0.1))
    assert 0.03 < study.score("noisy").mean["abs_rel"] < 0.12
    pose = Study(small("pose"), STANDARD, out=tmp_path)
    plant(pose, "turned", Planted(rotation_deg=2.0))
    scores = pose.score("turned")
    # Each step has two turns of 2 degrees about three axes, the first only one.
    assert scores.mean["rpe_rot_deg"] == pytest.approx(2 * np.sqrt(3 * 5 / 3), rel=0.35)
    assert scores.mean["ate"] > 0


def test_pictures_of_scores_hold_what_they_are_given(study):
    plant(study, "a", Planted(depth_sigma=0.1))
    scores = study.score("a")
    rows = [s.items["abs_rel"] for s in scores.sequences]
    (line,) = error_over_time([scores]).axes[0].lines
    np.testing.assert_allclose(line.get_ydata(), np.mean(rows, axis=0))
    (step,) = error_distribution([scores]).axes[0].lines
    np.testing.assert_allclose(step.get_ydata(), np.sort(np.concatenate(rows)))
    bars = option_bars({"x": {"one": 1.0, "two": 2.0}, "y": {"one": 3.0, "two": 0.5}})
    assert [patch.get_width() for patch in bars.axes[0].patches] == [1.0, 2.0, 3.0, 0.5]
    with pytest.raises(UserError, match="same options"):
        option_bars({"x": {"one": 1.0}, "y": {"two": 1.0}})
    truth = np.stack((np.zeros(4), np.arange(4.0), np.array([0, 1.0, 0, 1])), 1)
    panel = trajectory_panels({"s": (truth, 2 * truth)}).axes[0]
    assert panel.get_xlabel() == "y (m)"
    np.testing.assert_allclose(panel.lines[1].get_ydata(), 2 * truth[:, 2])
    plt.close("all")
