"""Depth alignment and errors: closed forms, scipy as referee, and the released scripts' own numbers."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.optimize import linprog

from page4d.evaluate.alignment import (
    ALIGNMENTS,
    Fit,
    L1Objective,
    NoFitError,
    adam_fit,
    l1_scale_fit,
    l1_scale_shift_fit,
    lad2_fit,
    lower_median,
)
from page4d.evaluate.depth_metrics import (
    DEPTH_METRICS,
    DepthOptions,
    align_depth,
    depth_errors,
    error_map,
    valid_pixels,
    weighted_mean,
)

# How the released tables call each number.
PUBLIC_NAMES = {
    "abs_rel": "Abs Rel",
    "sq_rel": "Sq Rel",
    "rmse": "RMSE",
    "log_rmse": "Log RMSE",
    "delta_1": "δ < 1.25",
    "delta_2": "δ < 1.25^2",
    "delta_3": "δ < 1.25^3",
    "valid_pixels": "valid_pixels",
}
PUBLIC_METRICS = [name for name in PUBLIC_NAMES if name != "valid_pixels"]
GOLDEN = Path(__file__).parent / "golden"
NUMBERS = json.loads((GOLDEN / "depth_eval.json").read_text())
INPUTS = dict(np.load(GOLDEN / "depth_eval_inputs.npz"))
PRED, GT = INPUTS["pred"], INPUTS["gt"]

MONO = {
    "nyu": DepthOptions(max_depth=None),
    "sintel": DepthOptions(max_depth=70, post_clip=(None, 70)),
    "bonn": DepthOptions(max_depth=70),
    "kitti": DepthOptions(max_depth=None),
    "dyncheck": DepthOptions(max_depth=None),
}
VIDEO = {
    "sintel": {"max_depth": 70, "post_clip": (None, 70)},
    "bonn": {"max_depth": 70},
    "kitti": {"max_depth": None},
    "dyncheck": {"max_depth": 70},
}
ALIGN = {"scale&shift": "lad2_video", "scale": "scale", "metric": "metric"}


def matches(entry, pred, gt, options, mask=None, rtol=1e-6):
    """Compare one golden entry: all metrics, the fit and the mean of the error map."""
    errors = depth_errors(pred, gt, options, mask)
    for name, public in PUBLIC_NAMES.items():
        assert getattr(errors, name) == pytest.approx(entry["metrics"][public], rel=rtol, abs=1e-12), name
    if errors.fit is None:
        assert entry["metrics"]["valid_pixels"] == 0
        return
    if entry["fit"] is not None:
        assert errors.fit.scale == pytest.approx(entry["fit"]["scale"], rel=rtol)
        assert errors.fit.shift == pytest.approx(entry["fit"]["shift"], rel=rtol, abs=1e-9)
    mean = error_map(pred, gt, errors.fit, options).mean()
    assert mean == pytest.approx(entry["error_map_mean"], rel=rtol)


@pytest.mark.parametrize("dataset", MONO)
def test_monocular_flags_and_averages_equal_the_released_script(dataset):
    entry = NUMBERS["mono_per_dataset"][dataset]
    for image, pred, gt in zip(entry["per_image"], PRED, GT, strict=True):
        matches(image, pred, gt, MONO[dataset])
    mean = weighted_mean([depth_errors(p, g, MONO[dataset]) for p, g in zip(PRED, GT, strict=True)])
    for name in PUBLIC_METRICS:
        assert getattr(mean, name) == pytest.approx(entry["weighted_average"][PUBLIC_NAMES[name]], rel=1e-6)


def test_every_number_of_the_released_tables_is_among_the_metrics():
    assert set(PUBLIC_METRICS) <= set(DEPTH_METRICS)


@pytest.mark.parametrize("align", ALIGN)
@pytest.mark.parametrize("dataset", VIDEO)
def test_video_flags_equal_the_released_script(dataset, align):
    entry = NUMBERS["video_per_dataset"][dataset][align]
    rtol = 1e-4 if align == "scale&shift" else 1e-6
    matches(entry, PRED, GT, DepthOptions(ALIGN[align], **VIDEO[dataset]), rtol=rtol)


@pytest.mark.parametrize("tools", ["monodepth_tools", "video_depth_tools"])
@pytest.mark.parametrize("name", ["median", "lstsq", "lad_scipy", "lad2", "scale", "metric"])
def test_all_alignments_equal_the_released_scripts(tools, name):
    ours = {"lad_scipy": "lad", "lad2": "lad2" if tools == "monodepth_tools" else "lad2_video"}.get(name, name)
    rtol = {"lad_scipy": 2e-2, "lad2": 1e-4}.get(name, 1e-6)
    matches(NUMBERS["all_alignments_max80"][tools][name], PRED, GT, DepthOptions(ours), rtol=rtol)


@pytest.mark.parametrize(("which", "clip"), [("median_pre_clip", (0.3, 3.0)), ("median_post_clip", (1.0, 10.0))])
def test_clips_equal_the_released_scripts(which, clip):
    options = DepthOptions(**{which.removeprefix("median_"): clip})
    matches(NUMBERS["all_alignments_max80"]["monodepth_tools"][which], PRED, GT, options)


@pytest.mark.parametrize("name", ["median", "scale", "lstsq"])
def test_disparity_input_equals_the_released_script(name):
    matches(NUMBERS["disp_input"][name], np.abs(1 / (np.abs(PRED) + 0.2)), GT, DepthOptions(name, disparity=True))


@pytest.mark.parametrize("name", ["median", "scale"])
def test_custom_mask_equals_the_released_script(name):
    matches(NUMBERS["custom_mask"][name], PRED, GT, DepthOptions(name), INPUTS["custom_mask"])


@pytest.mark.parametrize("tools", ["monodepth_tools", "video_depth_tools"])
@pytest.mark.parametrize("name", ["median", "lad2", "scale"])
def test_five_valid_pixels_equal_the_released_scripts(tools, name):
    ours = "lad2_video" if (name, tools) == ("lad2", "video_depth_tools") else name
    rtol = 1e-4 if name == "lad2" else 1e-6
    matches(NUMBERS["few_valid_5px"][tools][name], PRED, INPUTS["gt_few"], DepthOptions(ours), rtol=rtol)


@pytest.mark.parametrize("name", NUMBERS["no_valid"])
def test_no_valid_pixel_gives_zeros_with_weight_zero(name):
    matches(NUMBERS["no_valid"][name], PRED, np.zeros_like(GT), DepthOptions(name))


def test_threshold_below_one_is_zero_by_construction_and_therefore_left_out():
    entries = [e["metrics"]["δ < 1."] for e in NUMBERS["all_alignments_max80"]["monodepth_tools"].values()]
    assert entries
    assert set(entries) == {0.0}


@pytest.mark.parametrize(("key", "lr", "iterations"), [("lr1e-4_it1000", 1e-4, 1000), ("lr1e-2_it300", 1e-2, 300)])
def test_adam_solver_equals_the_released_one(key, lr, iterations):
    valid = GT > 0
    fit = adam_fit(PRED[valid], GT[valid], Fit(NUMBERS["lad2_solver"]["s_init"], 0.0), lr, iterations)
    assert fit == pytest.approx(NUMBERS["lad2_solver"][key], rel=1e-4)


def test_adam_with_a_large_step_equals_the_released_one():
    valid = valid_pixels(PRED, GT, DepthOptions())
    fit = lad2_fit(PRED[valid], GT[valid], lr=1e-2)
    entry = NUMBERS["all_alignments_max80"]["monodepth_tools"]["lad2_lr1e-2"]["fit"]
    assert fit == pytest.approx((entry["scale"], entry["shift"]), rel=1e-4)


def test_bicubic_upsampling_equals_the_stored_one():
    for low, high in zip(INPUTS["pred_lowres"], INPUTS["pred_lowres_upsampled"], strict=True):
        np.testing.assert_allclose(cv2.resize(low, (32, 24), interpolation=cv2.INTER_CUBIC), high, atol=1e-5)


def test_closed_form_of_a_doubled_depth_without_alignment():
    gt = np.array([[1.0, 2.0], [4.0, 0.0]])
    errors = depth_errors(2 * gt, gt, DepthOptions("metric"))
    assert errors.abs_rel == pytest.approx(1.0)
    assert errors.sq_rel == pytest.approx((1 + 2 + 4) / 3)
    assert errors.rmse == pytest.approx(np.sqrt((1 + 4 + 16) / 3))
    assert errors.log_rmse == pytest.approx(np.log(2))
    assert (errors.delta_1, errors.delta_2, errors.delta_3) == (0, 0, 0)
    assert errors.valid_pixels == 3
    close = depth_errors(1.2 * gt, gt, DepthOptions("metric"))
    assert (close.delta_1, close.delta_2) == (1, 1)


@pytest.mark.parametrize("name", sorted(set(ALIGNMENTS) - {"metric"}))
def test_planted_scale_is_taken_out_by_every_alignment(name):
    gt = np.random.default_rng(3).uniform(1, 9, (2, 12, 16))
    errors = depth_errors(gt / 3.7, gt, DepthOptions(name))
    assert errors.abs_rel == pytest.approx(0, abs=1e-5)
    assert errors.delta_1 == 1.0


@pytest.mark.parametrize("name", ["lstsq", "l1_scale_shift"])
def test_planted_shift_of_any_size_is_taken_out_by_converged_fits(name):
    gt = np.random.default_rng(3).uniform(1, 9, (2, 12, 16))
    errors = depth_errors((gt - 40) / 3.7, gt, DepthOptions(name))
    assert errors.abs_rel == pytest.approx(0, abs=1e-9)
    assert errors.fit == pytest.approx((3.7, 40.0))


def test_a_large_shift_defeats_the_public_step_budget():
    gt = np.random.default_rng(3).uniform(1, 9, (2, 12, 16))
    far = depth_errors((gt + 4) / 3.7, gt, DepthOptions("lad2_video"))
    assert far.abs_rel > 0.2  # E15: 1000 steps of 1e-4 move the shift by 0.1 at most
    assert abs(far.fit.shift) < 0.2


def exact_l1(p, g, with_shift):
    """Least absolute deviations as a linear programme, for small problems."""
    n, columns = len(p), 2 if with_shift else 1
    design = np.stack((p, np.ones(n)), 1)[:, :columns]
    rows = np.block([[design, -np.eye(n)], [-design, -np.eye(n)]])
    found = linprog(
        np.r_[np.zeros(columns), np.ones(n)],
        A_ub=rows,
        b_ub=np.r_[g, -g],
        bounds=[(None, None)] * columns + [(0, None)] * n,
    )
    assert found.success
    return found.fun


def l1(p, g, fit):
    return float(np.abs(fit.scale * p + fit.shift - g).sum())


@pytest.mark.parametrize("seed", range(12))
def test_converged_fits_equal_the_linear_programme(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 200))
    p = rng.uniform(-0.5, 4, n).round(1 if seed % 3 == 0 else 9)  # every third case has ties
    g = 2.5 * p + rng.normal(0, 1) + rng.standard_cauchy(n) * 0.3
    assert l1(p, g, l1_scale_shift_fit(p, g)) == pytest.approx(exact_l1(p, g, True), rel=1e-9)
    assert l1(p, g, l1_scale_fit(p, g)) == pytest.approx(exact_l1(p, g, False), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_converged_fit_of_many_pixels_beats_every_other_fit(seed):
    rng = np.random.default_rng(seed)
    p = rng.lognormal(0, 1, 400_000).astype(np.float32)
    g = np.abs((2 + seed) * p + seed - 1 + rng.standard_cauchy(len(p)) * (0.1 + p)).astype(np.float32)
    best = l1(np.float64(p), np.float64(g), l1_scale_shift_fit(p, g))
    for name in ("median", "lstsq", "lad2", "lad2_video", "scale", "l1_scale"):
        assert best <= l1(np.float64(p), np.float64(g), ALIGNMENTS[name](p, g)) * (1 + 1e-12), name
    scale_only = l1(np.float64(p), np.float64(g), l1_scale_fit(p, g))
    assert scale_only <= l1(np.float64(p), np.float64(g), ALIGNMENTS["scale"](p, g)) * (1 + 1e-12)


def test_objective_in_a_box_equals_the_plain_sum():
    rng = np.random.default_rng(1)
    p, g = rng.normal(2, 1, 5000), rng.normal(5, 2, 5000)
    objective = L1Objective(p, g)
    objective.narrow(2.0, 0.5, 0.1, 0.2)
    for s, t in [(2.0, 0.5), (2.1, 0.3), (1.9, 0.7), (2.05, 0.66)]:
        value, by_s, by_t = objective.value_and_gradient(s, t)
        sign = np.sign(s * p + t - g)
        assert value == pytest.approx(np.abs(s * p + t - g).sum(), rel=1e-12)
        assert (by_s, by_t) == (pytest.approx(sign @ p), pytest.approx(sign.sum()))
    assert len(objective.near_p) < 1000


def test_errors_name_what_is_wrong():
    with pytest.raises(ValueError, match="resize the prediction"):
        depth_errors(np.ones((4, 5)), np.ones((5, 4)), DepthOptions())
    with pytest.raises(ValueError, match="'lad3' is not one of"):
        DepthOptions("lad3")
    with pytest.raises(ValueError, match="all zero"):
        l1_scale_shift_fit(np.zeros(9), np.ones(9))
    for name in ("median", "lad", "lad2", "lad2_video"):
        for middle, said in ((0.0, "0"), (-2.0, "-2")):
            with pytest.raises(NoFitError, match=f"the median of 3 predicted depths is {said}; "):
                ALIGNMENTS[name](np.array([middle, 9.0, middle]), np.ones(3))
    with pytest.raises(NoFitError, match="the mean of 2 predicted depths is 0"):
        ALIGNMENTS["scale"](np.array([-1.0, 1.0]), np.ones(2))
    with pytest.raises(ValueError, match="nothing to average"):
        weighted_mean([depth_errors(np.ones((2, 2)), np.zeros((2, 2)), DepthOptions())])


def test_constant_prediction_gets_the_median():
    fit = l1_scale_shift_fit(np.full(5, 2.0), np.array([1.0, 2, 3, 4, 9]))
    assert (fit.scale, fit.shift) == (0.0, 3.0)  # nothing says a scale, so none is made up
    assert lower_median(np.array([4.0, 1, 3, 2])) == 2
    p, _ = align_depth(np.full(5, 2.0), np.array([1.0, 2, 3, 4, 9]), DepthOptions("l1_scale"))
    assert p == pytest.approx(np.full(5, 3.0))
