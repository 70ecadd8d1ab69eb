"""Batch normalisation: golden parity of the public behaviour, and what the corrected one changes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from page4d.data.normalization import Normalized, normalize
from page4d.schema import UserError

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "normalization.json").read_text())


@pytest.fixture(scope="module")
def stored() -> dict[str, Tensor]:
    with np.load(GOLDEN / "normalization_outputs.npz") as arrays, np.load(GOLDEN / "loss_inputs.npz") as inputs:
        tensors = {k: torch.from_numpy(arrays[k]) for k in arrays.files}
        for name in ("cam_points", "world_points", "depths"):
            tensors[name] = torch.from_numpy(inputs[name]) * 3
    return tensors


def run_case(tag: str, stored: dict[str, Tensor], behaviour: str = "public") -> Normalized:
    poses, points = stored["input_extrinsics"], stored["world_points"].clone()
    valid = torch.ones_like(stored["mask_random70"]) if tag == "all" else stored["mask_random70"].clone()
    if tag == "input4x4_random70":
        row = torch.tensor([0.0, 0, 0, 1]).expand(2, 3, 1, 4)
        poses = torch.cat((poses, row), -2)
    elif tag == "sequence1_empty_mask":
        valid[1] = False
    elif tag == "nan_in_masked_out_pixel":
        points[0, 1, 5, 5], valid[0, 1, 5, 5] = torch.nan, False
    extra = {"cam_points": stored["cam_points"], "by_scale": tag != "noscale", "behaviour": behaviour}
    return normalize(poses, points, stored["depths"], valid, **extra)


@pytest.mark.parametrize("tag", EXPECTED)
def test_public_equals_golden(tag: str, stored: dict[str, Tensor]) -> None:
    result, want = run_case(tag, stored), EXPECTED[tag]
    torch.testing.assert_close(result.cam_from_world, stored[f"{tag}__extrinsics"], rtol=1e-5, atol=1e-5)
    ratio = (stored["depths"].flatten(1).sum(1) / result.depth.flatten(1).sum(1)).tolist()
    assert ratio == pytest.approx([float(s) for s in want["scale_per_sequence"]], rel=1e-4)
    assert result.world_points.abs().sum().item() == pytest.approx(want["sum_abs_world"], rel=1e-4)
    first_is_identity = torch.allclose(result.cam_from_world[:, 0], torch.eye(4)[:3], atol=1e-5)
    assert first_is_identity == want["extr_first_frame_is_identity"]
    for name, value in (("world_points", result.world_points), ("depths", result.depth)):
        if f"{tag}__{name}" in stored:
            torch.testing.assert_close(value, stored[f"{tag}__{name}"], rtol=1e-5, atol=1e-5)
    assert result.cam_points is not None
    if tag == "all":
        torch.testing.assert_close(result.cam_points, stored["all__cam_points"], rtol=1e-5, atol=1e-5)
    if tag == "random70":
        torch.testing.assert_close(result.cam_points[:, :, ::5, ::6], stored["random70__cam_points"])


@pytest.mark.parametrize("tag", ["all", "random70", "noscale"])
def test_corrected_equals_public_on_clean_data(tag: str, stored: dict[str, Tensor]) -> None:
    ours, public = run_case(tag, stored, "corrected"), run_case(tag, stored)
    for name in ("cam_from_world", "world_points", "depth", "scale"):
        torch.testing.assert_close(getattr(ours, name), getattr(public, name), rtol=1e-5, atol=1e-5)
    assert ours.usable.all()


def test_t24_nan_outside_the_mask_changes_nothing(stored: dict[str, Tensor]) -> None:
    ours = run_case("nan_in_masked_out_pixel", stored, "corrected")
    public = run_case("nan_in_masked_out_pixel", stored)
    assert not public.depth[0].any()
    assert not public.cam_from_world[0, :, :, 3].any()
    clean = run_case("random70", stored, "corrected")
    assert ours.scale[0].item() == pytest.approx(clean.scale[0].item(), rel=2e-3), "one pixel of a thousand less"
    torch.testing.assert_close(ours.cam_from_world, clean.cam_from_world, rtol=2e-3, atol=1e-5)


def test_nan_inside_the_mask_does_not_decide_the_scale(stored: dict[str, Tensor]) -> None:
    points, valid = stored["world_points"].clone(), stored["mask_random70"].clone()
    points[0, 0, 0, 0], valid[0, 0, 0, 0] = torch.inf, True
    ours = normalize(stored["input_extrinsics"], points, stored["depths"], valid)
    assert ours.scale.isfinite().all()
    assert ours.depth.isfinite().all()
    assert not ours.world_points[0, 0, 0, 0].isfinite().all(), "left for the loss to see"


def test_empty_mask_keeps_its_scale_and_says_so(stored: dict[str, Tensor]) -> None:
    ours = run_case("sequence1_empty_mask", stored, "corrected")
    assert ours.usable.tolist() == [True, False]
    assert ours.scale[1].item() == 1.0
    torch.testing.assert_close(ours.depth[1], stored["depths"][1])


def test_mean_distance_becomes_one_and_geometry_stays(stored: dict[str, Tensor]) -> None:
    ours = run_case("all", stored, "corrected")
    assert ours.world_points.norm(dim=-1).flatten(1).mean(1).tolist() == pytest.approx([1.0, 1.0], rel=1e-4)
    rotations = ours.cam_from_world[..., :3]
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand(2, 3, 3, 3), rtol=0, atol=1e-5)


def test_unknown_behaviour() -> None:
    with pytest.raises(UserError, match="'old'"):
        normalize(*(torch.zeros(1),) * 4, behaviour="old")  # type: ignore[arg-type]
