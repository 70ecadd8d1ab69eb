"""Code written for VGGT runs with only its imports changed: the quick start and the branches one by one.

The model is small and random, so what is checked is names, shapes and agreement between the two ways, not quality.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from little_model import little_model
from PIL import Image

import page4d
from page4d import PAGE4D as VGGT
from page4d import load_and_preprocess_images, pose_encoding_to_extri_intri, unproject_depth_map_to_point_map
from page4d.geometry import extri_intri_to_pose_encoding


@pytest.fixture(scope="module")
def model() -> VGGT:
    return little_model(patch_size=14, img_size=518, enable_track=True).to("cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    folder: Path = tmp_path_factory.mktemp("images")
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 255, (70, 259, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return load_and_preprocess_images([str(folder / "0.png"), str(folder / "1.png")])


def test_quick_start(model: VGGT, images: torch.Tensor) -> None:
    assert images.shape == (2, 3, 140, 518)
    with torch.no_grad():
        predictions = model(images)
    shapes = {name: tuple(value.shape) for name, value in predictions.items() if name != "pose_enc_list"}
    assert shapes == {
        "pose_enc": (1, 2, 9),
        "depth": (1, 2, 140, 518, 1),
        "depth_conf": (1, 2, 140, 518),
        "world_points": (1, 2, 140, 518, 3),
        "world_points_conf": (1, 2, 140, 518),
        "images": (1, 2, 3, 140, 518),
    }
    assert [tuple(p.shape) for p in predictions["pose_enc_list"]] == [(1, 2, 9)] * 4
    assert "images" not in model.train()(images)
    model.eval()


def test_branches_one_by_one(model: VGGT, images: torch.Tensor) -> None:
    query_points = torch.FloatTensor([[100.0, 120.0], [60.72, 99.94]])
    with torch.no_grad():
        images = images[None]  # add batch dimension
        aggregated_tokens_list, ps_idx = model.aggregator(images)
        assert len(aggregated_tokens_list) == model.config.depth
        patches = images.shape[-2] * images.shape[-1] // 14**2
        assert all(t.shape == (1, 2, ps_idx + patches, 2 * model.config.embed_dim) for t in aggregated_tokens_list)

        pose_enc = model.camera_head(aggregated_tokens_list)[-1]
        extrinsic, intrinsic = pose_encoding_to_extri_intri(pose_enc, images.shape[-2:])
        depth_map, depth_conf = model.depth_head(aggregated_tokens_list, images, ps_idx)
        point_map, point_conf = model.point_head(aggregated_tokens_list, images, ps_idx)
        point_map_by_unprojection = unproject_depth_map_to_point_map(
            depth_map.squeeze(0), extrinsic.squeeze(0), intrinsic.squeeze(0)
        )
        track_list, vis_score, conf_score = model.track_head(
            aggregated_tokens_list, images, ps_idx, query_points=query_points[None]
        )
        together = model(images, query_points=query_points)

    assert extrinsic.shape == (1, 2, 3, 4)
    assert intrinsic.shape == (1, 2, 3, 3)
    assert point_map_by_unprojection.shape == (2, 140, 518, 3)
    for value, name in (
        (pose_enc, "pose_enc"),
        (depth_map, "depth"),
        (depth_conf, "depth_conf"),
        (point_map, "world_points"),
        (point_conf, "world_points_conf"),
        (track_list[-1], "track"),
        (vis_score, "vis"),
        (conf_score, "conf"),
    ):
        torch.testing.assert_close(value, together[name], rtol=0, atol=0)
    # Lifted by hand: camera coordinates of pixel (0, 0) of the first frame, brought into the world.
    K, pose = intrinsic[0, 0].double(), extrinsic[0, 0].double()
    ray = torch.linalg.solve(K, torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    expected = pose[:, :3].T @ (ray * depth_map[0, 0, 0, 0, 0] - pose[:, 3])
    np.testing.assert_allclose(point_map_by_unprojection[0, 0, 0], expected, rtol=1e-4, atol=1e-5)


def test_the_encodings_name_may_be_given() -> None:
    encoding = torch.tensor([[0.1, 0.2, 0.3, 0.0, 0.0, 0.0, 1.0, 0.9, 1.1]])
    extrinsic, intrinsic = pose_encoding_to_extri_intri(encoding, (28, 42))
    assert intrinsic is not None
    third = pose_encoding_to_extri_intri(encoding, (28, 42), "absT_quaR_FoV")
    named = pose_encoding_to_extri_intri(encoding, (28, 42), pose_encoding_type="absT_quaR_FoV", build_intrinsics=True)
    fourth = pose_encoding_to_extri_intri(encoding, (28, 42), "absT_quaR_FoV", True)
    for found in (third, named, fourth):
        torch.testing.assert_close(found, (extrinsic, intrinsic), rtol=0, atol=0)
    back = extri_intri_to_pose_encoding(extrinsic, intrinsic, (28, 42), "absT_quaR_FoV")
    torch.testing.assert_close(back, encoding)
    torch.testing.assert_close(
        extri_intri_to_pose_encoding(extrinsic, intrinsic, (28, 42), pose_encoding_type="absT_quaR_FoV"), encoding
    )
    with pytest.raises(ValueError, match="'other', expected 'absT_quaR_FoV'"):
        pose_encoding_to_extri_intri(encoding, (28, 42), "other")
    with pytest.raises(ValueError, match="'other', expected 'absT_quaR_FoV'"):
        extri_intri_to_pose_encoding(extrinsic, intrinsic, (28, 42), "other")


@pytest.mark.parametrize("wrap", ["compile", "DataParallel", "both"])
def test_wrapped_networks_predict(wrap: str) -> None:
    plain = little_model()
    expected = page4d.predict(plain, torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0)))
    wrapped: torch.nn.Module = plain
    if wrap in ("DataParallel", "both"):
        wrapped = torch.nn.DataParallel(wrapped)
    if wrap in ("compile", "both"):
        wrapped = torch.compile(wrapped, backend="eager")  # type: ignore[assignment]
    found = page4d.predict(wrapped, torch.rand(2, 3, 32, 64, generator=torch.Generator().manual_seed(0)))
    np.testing.assert_allclose(found.depth, expected.depth, rtol=1e-5)
    assert found.meta["weights_sha256"] == expected.meta["weights_sha256"]
    with pytest.raises(page4d.UserError, match="the model is a Linear; load one"):
        page4d.predict(torch.nn.DataParallel(torch.nn.Linear(1, 1)), torch.rand(2, 3, 32, 64))


def test_the_extractor_of_the_track_head_takes_any_chunk(model: VGGT, images: torch.Tensor) -> None:
    with torch.no_grad():
        tokens, start = model.aggregator(images)
        assert start == model.aggregator.patch_start_idx
        maps = model.track_head.feature_extractor(tokens, images[None], start)
        together = model.track_head.feature_extractor(tokens, images[None], start, frames_chunk_size=None)
        depth, _ = model.depth_head(tokens, images[None], start, frames_chunk_size=None)
        whole = model.aggregator(images, keep=range(model.config.depth))[0]
    assert maps.shape == (1, 2, 16, 70, 259)
    torch.testing.assert_close(maps, together)
    assert depth.shape == (1, 2, 140, 518, 1)
    assert all(level is not None for level in whole)


def test_the_aggregator_keeps_only_what_heads_read() -> None:
    deep = little_model(depth=6, dpt_pairs=(0, 1, 2, 4))
    with torch.no_grad():
        tokens, _ = deep.aggregator(torch.rand(2, 3, 32, 64))
    assert [level is not None for level in tokens] == [True, True, True, False, True, True]


def test_other_patches_say_how_to_load(images: torch.Tensor) -> None:
    other = little_model(patch_size=8, img_size=64)
    with pytest.raises(ValueError, match=r"patch size 8; load them with .*load_images\(paths, size=64, patch=8\)"):
        other(images)
