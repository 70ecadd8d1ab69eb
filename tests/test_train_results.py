"""Scores against closed forms, stored results, intervals, and the figures made of them."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training import MICRO, clips, make_trainer, settings

from page4d.evaluate.exact_scores import ExactAnswer, ExactTruth, score, score_sequences
from page4d.evaluate.exam import Exam, examine
from page4d.evaluate.exam_results import read_result, stored_table, summarize, write_result
from page4d.evaluate.statistics import average_of, difference, interval, table_of
from page4d.geometry import camera_centres, extri_intri_to_pose_encoding
from page4d.model import PAGE4D
from page4d.schema import UserError
from page4d.settings import build
from page4d.train.batch import stack, targets_of
from page4d.train.results import last_doubling, pictures_seen, store_run
from page4d.train.study import StudyConfig
from page4d.version import code_revision
from page4d.viz.training import (
    binned_figure,
    curve,
    curves_figure,
    estimates_figure,
    progress_figure,
    schedule_figure,
    smooth,
)


def test_a_perfect_prediction_scores_zero_and_the_identity_one() -> None:
    targets = targets_of(stack(clips(4, 8)), "corrected")
    encoded = extri_intri_to_pose_encoding(targets.extrinsics, targets.intrinsics, targets.image_hw)
    perfect = score_sequences({"pose_enc": encoded, "depth": 7 * targets.depth[..., None]}, targets)
    for name in ("abs_rel", "rotation", "translation", "ate"):
        assert getattr(perfect, name).max() < 2e-3, name
    still = encoded[:, :1].expand_as(encoded)
    nothing = score_sequences({"pose_enc": still, "depth": torch.ones_like(targets.depth)[..., None]}, targets)
    for name in ("rotation", "relative_rotation", "translation"):
        torch.testing.assert_close(getattr(nothing, name), getattr(nothing, f"{name}_identity"), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(nothing.abs_rel, nothing.abs_rel_constant, rtol=1e-5, atol=1e-6)
    centres = camera_centres(targets.extrinsics.double())
    spread = (centres - centres.mean(1, keepdim=True)).square().sum(-1).mean(-1).sqrt()
    torch.testing.assert_close(nothing.ate, spread, rtol=1e-3, atol=1e-3)
    assert (nothing.ate_line < nothing.ate).all(), "a straight line explains a path better than a single point"


def test_abs_rel_by_hand() -> None:
    true = torch.tensor([[[[1.0, 2.0, 4.0]]]])
    still = torch.eye(3, 4)[None, None]
    moving = torch.tensor([[[[False, False, True]]]])
    answer = ExactAnswer(depth=torch.tensor([[[[3.0, 3.0, 12.0]]]]))
    scores = score(answer, ExactTruth(still, true, true > 0, moving))
    # Medians 3 and 2: the prediction becomes 2, 2, 8; a flat map is 2, 2, 2.
    assert scores.abs_rel.item() == pytest.approx((1 + 0 + 1) / 3)
    assert scores.abs_rel_constant.item() == pytest.approx((1 + 0 + 0.5) / 3)
    assert scores.abs_rel_still.item() == pytest.approx((1 + 0) / 2), "the scale stays that of the whole clip"
    assert scores.abs_rel_moving.item() == pytest.approx(1)
    empty = score(answer, ExactTruth(still, true, true < 0, moving))
    assert math.isnan(empty.abs_rel.item())
    assert math.isnan(score(answer, ExactTruth(still, true, true > 0, ~moving & moving)).abs_rel_moving.item())


@pytest.mark.parametrize("frames", [2, 7])
def test_few_frames_have_no_ate(frames: int) -> None:
    targets = targets_of(stack(clips(2, frames)), "corrected")
    encoded = extri_intri_to_pose_encoding(targets.extrinsics, targets.intrinsics, targets.image_hw)
    scores = score_sequences({"pose_enc": encoded}, targets)
    assert scores.ate.isnan().all()
    assert scores.abs_rel.isnan().all()
    assert "ate_ratio" not in summarize(scores.rows())
    with pytest.raises(UserError, match="nothing to score"):
        score_sequences({"images": encoded}, targets)


def rows(values: list[float], still: float = 2.0) -> list[dict[str, float]]:
    names = ("abs_rel", "rotation", "translation", "ate")
    known = {f"{n}_identity": still for n in names[1:3]} | {"abs_rel_constant": 1.0, "ate_line": still}
    return [dict.fromkeys(names, v) | known for v in values]


def test_means_ratios_and_intervals() -> None:
    table = table_of(rows([1.0, 2.0, 3.0, math.nan]))
    assert average_of(table, "rotation") == pytest.approx(2.0)
    assert average_of(table, "rotation_ratio") == pytest.approx(1.0)
    assert summarize(rows([1.0, 3.0]))["ate_ratio"] == pytest.approx(1.0)
    generator = np.random.default_rng(1)
    table = table_of(rows(generator.normal(5, 1, 400).tolist()))
    low, high = interval(table, "abs_rel")
    # The standard error of the mean is 1 / 20; the interval is 2 x 1.96 of them wide.
    assert high - low == pytest.approx(2 * 1.96 / 20, rel=0.15)
    assert low < average_of(table, "abs_rel") < high


def test_paired_difference_is_sharper_than_the_intervals() -> None:
    generator = np.random.default_rng(2)
    base = generator.normal(5, 2, 200)
    ours, other = table_of(rows((base - 0.1).tolist())), table_of(rows(base.tolist()))
    value, low, high = difference(ours, other, "rotation")
    assert value == pytest.approx(-0.1)
    assert (low, high) == pytest.approx((-0.1, -0.1))
    with pytest.raises(UserError, match="200 sequences with 3"):
        difference(ours, table_of(rows([1.0, 2.0, 3.0])), "rotation")


def test_stored_result_comes_back(tmp_path: Path) -> None:
    stored = write_result(
        tmp_path / "new" / "a.json", PAGE4D(MICRO), {"x": {"network": rows([1.0, 2.0, math.nan])}}, label="arm", seed=0
    )
    back = read_result(tmp_path / "new" / "a.json")
    assert back["about"] == {"label": "arm", "seed": 0}
    assert {"code_revision", "hardware", "date", "torch"} <= back["provenance"].keys()
    assert back["provenance"]["code_revision"] == code_revision(), "the text that predictions hold, to compare them"
    assert back["mean"] == pytest.approx(stored["mean"])
    np.testing.assert_allclose(stored_table(back)["rotation"], [1.0, 2.0, np.nan])
    (tmp_path / "b.json").write_text(json.dumps({"format": 9}))
    with pytest.raises(UserError, match="is not a result of format 1"):
        read_result(tmp_path / "b.json")
    with pytest.raises(UserError, match="cannot read"):
        read_result(tmp_path / "absent.json")


@pytest.mark.slow
def test_examine_and_store_a_run(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "run", settings(max_steps=2, validate_every=2))
    with pytest.raises(UserError, match="no finished run"):
        store_run(tmp_path / "run", tmp_path / "run.json")
    trainer.run()
    kept = store_run(tmp_path / "run", tmp_path / "kept" / "run.json", points=1)
    assert [r["step"] for r in kept["records"]] == [1, 2]
    assert read_result(tmp_path / "kept" / "run.json")["run"]["ended"]["step"] == 2
    exam = Exam(sequences=4, batch_size=2, frames=3, height=16, width=16, classical=0, classical_twice=0, geometric=0)
    result = examine(tmp_path / "run", exam, tmp_path / "exam.json", label="micro")
    assert result["n"] == 4
    assert len(result["sequences"]["moving_share"]) == 4
    assert result["mean"]["rotation_identity"] > 0
    assert result["sequences"].keys() >= {"abs_rel_still", "abs_rel_moving", "relative_rotation", "direction"}


def test_study_settings() -> None:
    from page4d.config import compose_settings

    study = build(StudyConfig, compose_settings(config_name="study"), "study")
    arms = ["pretrained", "all", "middle", "mask", "mask_kept", "mask_taught"]
    arms += ["true_mask", "true_mask_all_rows", "true_mask_all_pairs"]
    assert list(study.variants) == arms
    assert [name for name, arm in study.variants.items() if arm.true_mask] == arms[-3:]
    assert study.exam.sequences >= 500
    with pytest.raises(UserError, match="not both, not neither"):
        build(StudyConfig, {"variants": {"x": {"label": "x"}}}, "study")
    with pytest.raises(UserError, match="multiple"):
        replace(study.exam, sequences=33)


def test_figures() -> None:
    records = [{"phase": "train", "step": i, "objective": float(i % 2), "rare": None} for i in range(1, 11)]
    steps, values = curve(records, "objective")
    assert steps.tolist() == list(range(1, 11))
    assert smooth(values, 3)[1:-1] == pytest.approx([2 / 3, 1 / 3] * 4)
    assert smooth(values, 3)[0] == pytest.approx(0.5), "shorter at the ends"
    with pytest.raises(UserError, match="window"):
        smooth(values, 0)
    assert len(curve(records, "rare")[0]) == 0
    figure = curves_figure({"a": records, "b": records}, {"objective": "o", "rare": "r"}, window=3)
    assert len(figure.axes[0].lines) == 4
    assert len(figure.legends) == 1, "under the panels, not over the curves"
    figure = curves_figure({"a": records[:2]}, {"objective": "o"}, window=3, exact=("objective",))
    assert [line.get_ydata().tolist() for line in figure.axes[0].lines] == [[1.0, 0.0]], "not smoothed"
    assert figure.axes[0].lines[0].get_marker() == "o"
    arms = {"x": (1.0, 0.5, 2.0), "y": (0.0, -1.0, 1.0)}
    figure = estimates_figure({"AbsRel": arms, "ATE": arms}, zero=True)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["x", "y"]
    figure = schedule_figure(range(3), {"all": [1e-3, 1e-4, 1e-5]}, [1, 0.5, 0])
    assert figure.axes[1].get_ylabel() == "alpha"
    figure = binned_figure([0.1, 0.1, 0.9], {"a": [1.0, 3.0, np.nan]}, [0, 0.5, 1.0], "share", "error")
    assert figure.axes[0].get_xticklabels()[0].get_text().endswith("n=2")
    wordy = {f"middle pairs + mask kept and taught by true motion {k}": [1.0, 3.0, 2.0] for k in range(5)}
    figure = binned_figure([0.1, 0.1, 0.9], wordy, [0, 0.5, 1.0], "share", "error")
    figure.canvas.draw()
    assert figure.legends[0].get_window_extent().width <= figure.bbox.width, "nothing widens the picture"


def test_progress_counts_the_pictures_of_every_stage_before() -> None:
    def stage(batch: int, frames: int, steps: int, errors: dict[int, float]) -> dict[str, object]:
        data = {"batch_size": batch, "world": {"frames": frames}}
        records = [{"phase": "val", "step": step, "error": error} for step, error in errors.items()]
        config = {"data": data, "trainer": {"accumulate": 2}}
        return {"run": {"config": config, "ended": {"step": steps}}, "records": records}

    records = pictures_seen([stage(4, 2, 10, {5: 0.4, 10: 0.3}), stage(8, 4, 3, {3: 0.2})])
    seen, errors = curve(records, "error", "val", over="pictures")
    assert seen.tolist() == [80, 160, 160 + 3 * 64]
    assert errors.tolist() == [0.4, 0.3, 0.2]
    (axis,) = progress_figure(records, {"error": "the error"}, {"error": 0.1}).axes
    line, aim = axis.lines
    assert np.asarray(line.get_xdata()).tolist() == seen.tolist()
    assert np.asarray(aim.get_ydata()).tolist() == [0.1, 0.1]
    assert len(progress_figure(records, {"error": "the error"}, {}).axes[0].lines) == 1, "no aim, no line"


def test_the_last_doubling_is_read_between_measurements() -> None:
    power_law = [{"pictures": count, "error": 8 / count} for count in (100, 300, 1000)]
    assert last_doubling(power_law, "error") == pytest.approx(-0.5), "a power law is a straight line there"
    flat = [{"pictures": 100, "error": 0.2}, {"pictures": 400, "error": 0.1}, {"pictures": 900, "error": 0.1}]
    assert last_doubling(flat, "error") == pytest.approx(0)
    assert last_doubling(power_law[:1], "error") is None
    assert last_doubling(power_law, "another") is None
    assert last_doubling([{"pictures": 60, "error": 1.0}, {"pictures": 100, "error": 0.5}], "error") is None
