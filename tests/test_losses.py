"""Losses: golden parity of the public behaviour, and what the corrected one changes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from page4d.geometry import extri_intri_to_pose_encoding
from page4d.losses import (
    PUBLIC_DEPTH,
    PUBLIC_POINT,
    CameraLossConfig,
    DenseLossConfig,
    LossConfig,
    Targets,
    TrackLossConfig,
    camera_loss,
    depth_loss,
    gradient_loss,
    normal_loss,
    total_loss,
)
from page4d.losses.dense import Maps, below_quantile, surface_normals
from page4d.losses.track import TrackPrediction, track_loss
from page4d.schema import UserError

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "loss.json").read_text())
TERMS = [k for k in EXPECTED if k != "_isolated"]


@pytest.fixture(scope="module")
def arrays() -> dict[str, Tensor]:
    with np.load(GOLDEN / "loss_inputs.npz") as stored:
        return {k: torch.from_numpy(stored[k]) for k in stored.files}


def targets_of(arrays: dict[str, Tensor], mask: str = "random70", **changes: Tensor) -> Targets:
    values = {
        "extrinsics": arrays["extrinsics"],
        "intrinsics": arrays["intrinsics"],
        "depth": arrays["depths"],
        "world_points": arrays["world_points"],
        "valid": arrays[f"mask_{mask}"],
        "tracks": arrays["tracks"],
        "tracks_visible": arrays["track_vis_mask"],
    }
    return Targets(**(values | changes))


def predictions_of(arrays: dict[str, Tensor], track: bool = False) -> dict[str, object]:
    def leaf(name: str) -> Tensor:
        return arrays[name].clone().requires_grad_()

    predictions: dict[str, object] = {
        "pose_enc_list": [p.clone().requires_grad_() for p in arrays["pred_pose_enc_list"]],
        "depth": leaf("pred_depth"),
        "depth_conf": leaf("pred_depth_conf"),
        "world_points": leaf("pred_world_points"),
        "world_points_conf": leaf("pred_world_points_conf"),
    }
    if track:
        tracks = [t.clone().requires_grad_() for t in arrays["pred_track_list"]]
        predictions |= {"track_list": tracks, "vis": leaf("pred_vis"), "conf": leaf("pred_conf")}
    return predictions


def variant(name: str, arrays: dict[str, Tensor]) -> tuple[Targets, LossConfig, bool]:
    """The inputs and settings that a golden variant's name stands for."""
    config, targets, track = LossConfig(behaviour="public"), targets_of(arrays), False
    yes_no = torch.tensor([True, False])
    if name.startswith("cfg_final/mask="):
        targets = targets_of(arrays, name.split("=")[1])
    elif name.startswith("cfg_final/abandon_pose"):
        targets = replace(targets, drop_pose=yes_no if name.endswith("[1,0]") else torch.tensor([True, True]))
    elif name.startswith("cfg_final/abandon_geometry"):
        targets = replace(targets, drop_geometry=~yes_no)
    elif name.startswith("camera_l2"):
        config = replace(config, camera=CameraLossConfig(kind="l2"))
    elif name == "camera_gamma0.8_wT2_wR0.5_wF1":
        camera = CameraLossConfig(gamma=0.8, weight_translation=2, weight_rotation=0.5, weight_focal=1)
        config = replace(config, camera=camera)
    elif name.startswith("no_quantile"):
        config = replace(config, depth=replace(PUBLIC_DEPTH, keep_share=-1), point=replace(PUBLIC_POINT, keep_share=-1))
    elif name.startswith("conf_in_gradient"):
        depth, point = replace(PUBLIC_DEPTH, shape_term="grad_conf"), replace(PUBLIC_POINT, shape_term="normal_conf")
        config = replace(config, depth=depth, point=point)
    elif name.startswith("point_grad"):
        config = replace(config, point=replace(PUBLIC_POINT, shape_term="grad"))
    elif name.startswith("outliers"):
        targets = with_outliers(arrays)
    elif name.startswith("track"):
        track = True
        occluded = 0.1 if name == "track_vis_aware" else None
        config = replace(config, track=TrackLossConfig(weight=1.0, occluded_weight=occluded))
    else:
        raise AssertionError(name)
    return targets, config, track


def with_outliers(arrays: dict[str, Tensor]) -> Targets:
    depth, points = arrays["depths"].clone(), arrays["world_points"].clone()
    valid = arrays["mask_random70"].clone()
    depth[0, 0, 0, :5], depth[1, 1, 3, :4], points[0, 1, 2, :3] = torch.nan, 500.0, torch.inf
    valid[:, :, :4] = True
    return targets_of(arrays, depth=depth, world_points=points, valid=valid)


@pytest.mark.parametrize("name", TERMS)
def test_public_losses_and_gradients_equal_golden(name: str, arrays: dict[str, Tensor]) -> None:
    targets, config, track = variant(name, arrays)
    predictions = predictions_of(arrays, track)
    losses = total_loss(predictions, targets, config)
    got = {k: v.item() for k, v in losses.terms.items()} | {"objective": losses.objective.item()}
    assert got == pytest.approx(EXPECTED[name]["losses"], rel=1e-5, abs=1e-6)
    losses.objective.backward()
    for key, expected in EXPECTED[name]["grad_l2_of_objective"].items():
        stem, _, index = key.removesuffix("]").partition("[")
        if stem not in predictions:  # the reference also held the bare `track`, which no loss reads
            assert expected is None
            continue
        leaf = predictions[stem][int(index)] if index else predictions[stem]
        assert isinstance(leaf, Tensor)
        norm = 0.0 if leaf.grad is None else leaf.grad.norm().item()
        assert norm == pytest.approx(expected or 0.0, rel=1e-4, abs=1e-6), key


def test_golden_pose_encoding_is_the_target(arrays: dict[str, Tensor]) -> None:
    encoded = extri_intri_to_pose_encoding(arrays["extrinsics"], arrays["intrinsics"], (20, 24))
    torch.testing.assert_close(encoded, arrays["gt_pose_encoding"], rtol=1e-5, atol=1e-6)


def test_isolated_quantile_filter(arrays: dict[str, Tensor]) -> None:
    x, want = arrays["quantile_input"], EXPECTED["_isolated"]["filter_by_quantile"]

    def kept_of(x: Tensor, **options: int) -> Tensor:
        return x[below_quantile(x, torch.ones_like(x, dtype=torch.bool), 0.98, **options)]

    kept = kept_of(x)
    assert kept.numel() == want["n_out"]
    assert kept.max().item() == pytest.approx(want["thresh_next_below"], rel=1e-6)
    assert kept.mean().item() == pytest.approx(want["mean_out"], rel=1e-6)
    assert torch.equal(kept_of(x[:1000]), x[:1000])
    assert kept_of(x[:1015]).numel() == EXPECTED["_isolated"]["filter_n1015_no_room"]["n_out"]
    assert kept_of(x, max_elements=4000).numel() > 1000, "the random subset is filtered too"


def test_isolated_gradient_and_normal_per_scale(arrays: dict[str, Tensor]) -> None:
    valid = arrays["mask_random70"].flatten(0, 1)
    depth = Maps(arrays["pred_depth"].flatten(0, 1), arrays["depths"].flatten(0, 1)[..., None], valid, None)
    points = Maps(arrays["pred_world_points"].flatten(0, 1), arrays["world_points"].flatten(0, 1), valid, None)
    for step, value in EXPECTED["_isolated"]["gradient_loss_per_step(mask=random70)"].items():
        got = gradient_loss(depth.every(int(step)), behaviour="public").item()
        assert got == pytest.approx(value, rel=1e-5)
    for step, value in EXPECTED["_isolated"]["normal_loss_per_step(mask=random70)"].items():
        assert normal_loss(points.every(int(step)), behaviour="public").item() == pytest.approx(value, rel=1e-5)


def test_isolated_normals(arrays: dict[str, Tensor]) -> None:
    normals, _ = surface_normals(arrays["world_points"].flatten(0, 1), arrays["mask_all"].flatten(0, 1))
    _, valid = surface_normals(arrays["world_points"].flatten(0, 1), arrays["mask_random70"].flatten(0, 1))
    first = normals[:, 0, 0, 0].movedim(0, -1)  # up x left; the border has no upper or left neighbour
    torch.testing.assert_close(first, arrays["gt_normals_dir0_frame0"][1:, 1:], rtol=1e-4, atol=1e-5)
    in_turn = [valid[a, b] for a, b in ((0, 0), (0, 1), (1, 1), (1, 0))]
    assert [int(v.sum()) for v in in_turn] == EXPECTED["_isolated"]["normals_valid_counts_4dirs"]


def test_isolated_tracks_unseen_in_first_frame(arrays: dict[str, Tensor]) -> None:
    unseen = arrays["track_vis_mask"].clone()
    unseen[:, 0] = False
    predicted = TrackPrediction(list(arrays["pred_track_list"]), arrays["pred_vis"], arrays["pred_conf"])
    loss = track_loss(predicted, targets_of(arrays, tracks_visible=unseen), TrackLossConfig(), "public")
    assert [x.item() for x in loss] == list(EXPECTED["_isolated"]["track_no_visible_first"].values())


# What the corrected behaviour changes, one test a defect. Closed-form values.


def plain_targets(b: int = 2, s: int = 2, side: int = 24) -> Targets:
    """Identity cameras that look at a plane at depth 2."""
    K = torch.tensor([[20.0, 0, side / 2], [0, 22.0, side / 2], [0, 0, 1]]).expand(b, s, 3, 3)
    depth = torch.full((b, s, side, side), 2.0)
    points = torch.zeros(b, s, side, side, 3)
    points[..., 2] = 2
    return Targets(torch.eye(4)[:3].expand(b, s, 3, 4), K, depth, points, torch.ones_like(depth, dtype=torch.bool))


def test_clean_data_same_in_both_behaviours(arrays: dict[str, Tensor]) -> None:
    """Nothing in the random70 batch touches a defect, but for the sign of rotations near 180 degrees."""
    targets, predictions = targets_of(arrays), predictions_of(arrays)
    public = total_loss(predictions, targets, LossConfig(behaviour="public"))
    ours = total_loss(predictions, targets, LossConfig())
    for name, value in public.terms.items():
        assert ours.terms[name].item() == pytest.approx(value.item(), rel=1e-5), name


def test_t22_sequence_with_a_sparse_first_frame_keeps_its_poses() -> None:
    targets = plain_targets()
    valid = targets.valid.clone()
    valid[0, 0] = False
    targets = replace(targets, valid=valid)
    wrong = torch.zeros(2, 2, 9)
    wrong[0, :, 0] = 1.0
    public = camera_loss([wrong], targets, CameraLossConfig(), "public")
    ours = camera_loss([wrong], targets, CameraLossConfig())
    assert public.translation.item() == 0.0
    assert ours.translation.item() == pytest.approx(1.0 / 6)


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_a_wild_pose_counts_as_a_hundred_and_no_more(kind: str) -> None:
    targets = plain_targets()
    true = extri_intri_to_pose_encoding(targets.extrinsics, targets.intrinsics, targets.image_hw)
    config = CameraLossConfig(kind=kind)  # type: ignore[arg-type]
    for behaviour in ("corrected", "public"):
        for off, counted in ((99.0, 99.0), (1e6, 100.0)):
            wild = true.clone()
            wild[..., 0] += off
            share = 1.0 if kind == "l2" else 1 / 3
            found = camera_loss([wild], targets, config, behaviour)  # type: ignore[arg-type]
            assert found.translation.item() == pytest.approx(share * counted, rel=1e-5)


def test_a_broken_pose_is_seen_by_the_trainer_and_not_by_the_public_code() -> None:
    targets = plain_targets()
    broken = torch.full((2, 2, 9), torch.nan)
    assert camera_loss([broken], targets, CameraLossConfig()).total.isnan()
    assert camera_loss([broken], targets, CameraLossConfig(), "public").total.item() == 0.0


def test_empty_masks_give_zero_with_a_graph() -> None:
    targets = plain_targets()
    targets = replace(targets, valid=torch.zeros_like(targets.valid))
    leaves = [torch.ones(2, 2, 24, 24, 1, requires_grad=True), torch.ones(2, 2, 9, requires_grad=True)]
    predictions = {"depth": leaves[0], "depth_conf": torch.ones(2, 2, 24, 24), "pose_enc_list": [leaves[1]]}
    losses = total_loss(predictions, targets, LossConfig())
    losses.objective.backward()
    assert losses.objective.item() == 0.0
    assert all(leaf.grad is not None and not leaf.grad.any() for leaf in leaves)


def test_t23_a_dropped_sample_does_not_silence_the_others() -> None:
    targets = replace(plain_targets(), drop_geometry=torch.tensor([True, False]))
    depth = targets.depth[..., None] + torch.tensor([5.0, 1.0])[:, None, None, None, None]
    confidence = torch.ones_like(targets.depth)
    assert depth_loss(depth, confidence, targets, PUBLIC_DEPTH, "public").regression.item() == 0.0
    assert depth_loss(depth, confidence, targets, PUBLIC_DEPTH).regression.item() == pytest.approx(1.0)


def test_t23_few_valid_pixels_still_teach() -> None:
    targets = plain_targets()
    valid = torch.zeros_like(targets.valid)
    valid[0, 0, 0, :60] = True
    targets = replace(targets, valid=valid)
    depth, confidence = targets.depth[..., None] + 1, torch.ones_like(targets.depth)
    assert depth_loss(depth, confidence, targets, PUBLIC_DEPTH, "public").regression.item() == 0.0
    assert depth_loss(depth, confidence, targets, PUBLIC_DEPTH).regression.item() == pytest.approx(1.0)


def test_t25_broken_targets_leave_the_mask_and_far_ones_stay_true() -> None:
    targets, config = plain_targets(), DenseLossConfig(shape_term="none", keep_share=-1)
    depth = targets.depth.clone()
    depth[0, 0, 0, 0] = torch.nan
    targets = replace(targets, depth=depth)
    right, confidence = torch.full((2, 2, 24, 24, 1), 2.0), torch.ones(2, 2, 24, 24)
    public = depth_loss(right, confidence, targets, config, "public").regression.item()
    assert public == pytest.approx(2.0 / depth.numel()), "the NaN became a true depth of 0"
    assert depth_loss(right, confidence, targets, config).regression.item() == 0.0
    far = replace(plain_targets(), depth=torch.full((2, 2, 24, 24), 150.0))
    at_150 = torch.full((2, 2, 24, 24, 1), 150.0)
    assert depth_loss(at_150, confidence, far, config, "public").regression.item() == pytest.approx(50.0)
    assert depth_loss(at_150, confidence, far, config).regression.item() == 0.0


def test_nan_outside_the_mask_does_not_reach_a_gradient() -> None:
    targets = plain_targets()
    points, valid = targets.world_points.clone(), targets.valid.clone()
    points[0, 0, 3, 3] = torch.nan
    valid[0, 0, 3, 3] = False
    targets = replace(targets, world_points=points, valid=valid)
    predicted = torch.randn(2, 2, 24, 24, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    confidence = torch.ones(2, 2, 24, 24)
    predictions = {"world_points": predicted, "world_points_conf": confidence}
    for term in ("grad", "normal", "grad_conf", "normal_conf"):
        config = LossConfig(point=replace(PUBLIC_POINT, shape_term=term))
        objective = total_loss(predictions, targets, config).objective
        (gradient,) = torch.autograd.grad(objective, predicted)
        assert objective.isfinite(), term
        assert gradient.isfinite().all(), term


def test_a_broken_prediction_is_not_hidden() -> None:
    targets = plain_targets()
    depth = torch.full((2, 2, 24, 24, 1), torch.nan)
    confidence = torch.ones(2, 2, 24, 24)
    assert depth_loss(depth, confidence, targets, PUBLIC_DEPTH, "public").regression.item() == 0.0
    assert depth_loss(depth, confidence, targets, PUBLIC_DEPTH).regression.isnan()


def test_t28_confidence_of_invalid_pixels_does_not_count() -> None:
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    valid[:, 4:] = False
    confidence = torch.where(valid, 1.0, 50.0)
    maps = Maps(torch.zeros(1, 8, 8, 1), torch.zeros(1, 8, 8, 1), valid, confidence)
    assert gradient_loss(maps).item() == 0.0
    assert gradient_loss(maps, behaviour="public").item() < -1.0


def test_t28_shape_term_uses_its_callers_gamma_and_alpha() -> None:
    targets = plain_targets()
    depth = targets.depth[..., None] + torch.arange(24.0)[:, None]
    confidence = torch.full_like(targets.depth, np.e)
    config = DenseLossConfig(gamma=0.5, alpha=0.0, shape_term="grad_conf")
    double = replace(config, gamma=1.0)
    shape = depth_loss(depth, confidence, targets, config).shape.item()
    assert shape == pytest.approx(depth_loss(depth, confidence, targets, double).shape.item() / 2)
    public = [depth_loss(depth, confidence, targets, c, "public").shape.item() for c in (config, double)]
    assert public[0] == public[1]


def test_quaternion_sign_is_not_an_error() -> None:
    targets = plain_targets()
    predicted = extri_intri_to_pose_encoding(targets.extrinsics, targets.intrinsics, targets.image_hw)
    predicted[..., 3:7] *= -1
    assert camera_loss([predicted], targets, CameraLossConfig()).total.item() == pytest.approx(0.0, abs=1e-7)
    assert camera_loss([predicted], targets, CameraLossConfig(), "public").rotation.item() == pytest.approx(0.5)


def test_a_frame_with_a_broken_true_pose_is_left_out_alone() -> None:
    targets = plain_targets()
    predicted = extri_intri_to_pose_encoding(targets.extrinsics, targets.intrinsics, targets.image_hw)
    predicted[0, 0, 0] += 1.0
    extrinsics = targets.extrinsics.clone()
    extrinsics[0, 1, 0, 3] = torch.nan
    loss = camera_loss([predicted.requires_grad_()], replace(targets, extrinsics=extrinsics), CameraLossConfig())
    assert loss.translation.item() == pytest.approx(1.0 / (3 * 3)), "1 of 3 components of 3 frames"
    loss.total.backward()
    assert predicted.grad is not None
    assert predicted.grad.isfinite().all()


def test_wrong_settings_are_refused_by_name() -> None:
    with pytest.raises(UserError, match="'huber'"):
        CameraLossConfig(kind="huber")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="grad_conf"):
        DenseLossConfig(shape_term="gradient")
    for term in ("normal", "normal_conf"):
        with pytest.raises(UserError, match=r"loss\.depth\.shape_term .* expected grad, grad_conf or none"):
            LossConfig(depth=DenseLossConfig(shape_term=term))
    with pytest.raises(UserError, match="'exact'"):
        LossConfig(behaviour="exact")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no loss applies"):
        total_loss({"images": torch.zeros(1)}, plain_targets(), LossConfig())
    with pytest.raises(UserError, match="valid has shape"):
        replace(plain_targets(), valid=torch.ones(2, 2, 3, 3, dtype=torch.bool))
