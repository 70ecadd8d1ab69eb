"""What holds for all loaders: missing folders, the depth filter, settings, and one world through any of them."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from writers import (
    bonn,
    co3d,
    dycheck,
    dynamic_replica,
    folder,
    kubric,
    pointodyssey,
    rlbench,
    sintel,
    spring,
    tum,
    waymo,
)
from writers.scene import FRAMES, symmetric

from page4d.config import choices
from page4d.data.configured import dataset_from, mix_from
from page4d.data.datasets import DATASETS, ClipSelection, DepthRule, SceneDataset, dataset_class
from page4d.data.datasets.bonn import Bonn
from page4d.data.datasets.calibration import Calibration
from page4d.data.depth_filter import percentile_filter
from page4d.data.mixing import Ingredient, Mix
from page4d.data.sampling import ShapeRule
from page4d.data.transforms import Framing, float_images
from page4d.geometry import world_points
from page4d.schema import Clip, UserError
from page4d.train.setup import compose_run

TUM_NAME = "rgbd_dataset_freiburg3_walking_xyz"


DOWNLOADS = [name for name in DATASETS if name != "folder"]


@pytest.mark.parametrize("name", DOWNLOADS)
def test_a_missing_folder_says_what_to_download_and_how_large_it_is(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder.*download .*(GB|TB).* from \S+"):
        DATASETS[name](tmp_path / "nowhere")


def test_a_missing_folder_of_own_recordings_says_what_it_should_hold(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder; expected <sequence>/images"):
        DATASETS["folder"](tmp_path / "nowhere")


@pytest.mark.parametrize("name", DOWNLOADS)
def test_an_empty_folder_is_not_a_dataset(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"download"):
        DATASETS[name](tmp_path)
    with pytest.raises(UserError, match="has no split 'everything'"):
        DATASETS[name](tmp_path, ClipSelection("everything"))


def test_registry_names_are_the_loaders_own() -> None:
    assert {name: kind.name for name, kind in DATASETS.items()} == {name: name for name in DATASETS}
    with pytest.raises(UserError, match="no dataset 'vkitti'; there are pointodyssey"):
        dataset_class("vkitti")


# --- the depth filter ---


@pytest.mark.parametrize("share", [0.015, 0.025, 0.5, 1.0])
def test_filter_drops_the_same_share_however_sparse_the_map_is(share: float) -> None:
    rng = np.random.default_rng(0)
    depth = np.zeros(40_000, np.float32)
    valid = rng.permutation(40_000)[: int(share * 40_000)]
    depth[valid] = rng.uniform(1, 50, len(valid))
    kept = percentile_filter(depth.reshape(200, 200), 1, 98)
    assert np.count_nonzero(kept) / len(valid) == pytest.approx(0.97, abs=0.005)
    # The public filter, over all pixels: it drops nothing at 1.5 % valid, and 80 % of the points at 2.5 %.
    public = np.where(depth > np.percentile(depth, 98), 0, depth) if np.percentile(depth, 98) > 0 else depth
    dropped = 1 - np.count_nonzero(public) / len(valid)
    assert dropped == pytest.approx({0.015: 0, 0.025: 0.8, 0.5: 0.04, 1.0: 0.02}[share], abs=0.01)


def test_filter_of_a_map_without_depth_and_bad_limits() -> None:
    assert not percentile_filter(np.full((3, 4), np.nan, np.float32), 1, 98).any()
    with pytest.raises(UserError, match="expected 0 <= low < high <= 100"):
        percentile_filter(np.ones((3, 4), np.float32), 98, 1)


@given(arrays.arrays(np.float32, (4, 5), elements=st.floats(allow_nan=True, allow_infinity=True, width=32)))
def test_depth_that_reaches_a_clip_is_finite_and_not_negative(depth: np.ndarray) -> None:
    for options in (DepthRule(), DepthRule(max_depth_m=10), DepthRule(percentiles=(1, 98))):
        kept = options.apply(depth)
        assert np.isfinite(kept).all()
        assert (kept >= 0).all()
        assert ((kept == 0) | (kept == depth)).all()
    assert (DepthRule(max_depth_m=10).apply(depth) <= 10).all()


# --- one world through any two loaders ---


def _tum_lens(clip: Clip) -> Calibration:
    K = clip.K[0].double()
    return Calibration(64, 48, float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))


def _all(clip: Clip) -> dict[str, tuple[Callable[[Path], None], dict[str, object], str, int, float]]:
    """For each dataset: its writer, its loader's options, the sequence, the first frame number, the quantum in m."""
    lens = _tum_lens(clip)
    episode = "task/variation0/episodes/episode0"
    half = 2**-11 * float(clip.depth.max())
    return {
        "pointodyssey": (lambda r: pointodyssey.write(r, {"a": clip}), {}, "a", 0, 500 / 65535),
        "dynamic_replica": (lambda r: dynamic_replica.write(r, {"a": clip}), {}, "a_source_left", 0, half),
        "kubric": (lambda r: kubric.write(r, {"a": clip}, True), {}, "a", 0, 1e-4),
        "spring": (lambda r: spring.write(r, {"0001": clip}), {}, "0001", 1, 1e-5),
        "co3d": (lambda r: co3d.write(r, {"cup/a": clip}), {"split": "all", "min_frames": 1}, "cup/a", 1, half),
        "waymo": (lambda r: waymo.write(r, {"a": clip}), {}, "a", 0, 1e-3),
        "sintel": (lambda r: sintel.write(r, {"a": clip}), {}, "a", 1, 1e-6),
        "dycheck": (lambda r: dycheck.write(r, {"a": clip}), {}, "a", 0, 1e-6),
        "bonn": (
            lambda r: bonn.write(r, {"rgbd_bonn_a": clip}, False), {"options": {"calibration": lens}}, "rgbd_bonn_a",
            0, 1e-4,
        ),
        "tum": (lambda r: tum.write(r, {TUM_NAME: clip}), {"options": {"calibration": lens}}, TUM_NAME, 0, 1e-4),
        "folder": (lambda r: folder.write(r, {"a": clip}), {}, "a", 10, 5e-4),
        "rlbench": (lambda r: rlbench.write(r, {episode: clip}), {}, "task/variation0/episode0/front", 0, 1e-6),
    }  # fmt: skip


def test_all_loaders_give_the_same_world(tmp_path: Path) -> None:
    clip = symmetric()
    clip = replace(clip, depth=clip.depth.clamp(max=11.9))
    cases = _all(clip)
    assert cases.keys() == DATASETS.keys(), "every loader has a writer in tests/writers and a row of _all"
    truth = world_points(clip.depth, clip.K, clip.cam_from_world)[[1, 6]]
    here = torch.eye(3, 4).expand(FRAMES, 3, 4)
    reach = float(world_points(torch.ones_like(clip.depth), clip.K, here).norm(dim=-1).max())
    found = {}
    for name, (write, settings, sequence, first, quantum) in cases.items():
        write(tmp_path / name)
        dataset = dataset_from({"loader": name, "root": str(tmp_path / name)} | settings)
        loaded = dataset.load(sequence, [first + 1, first + 6])
        points = world_points(loaded.depth, loaded.K, loaded.cam_from_world)
        if name == "waymo":
            points = points - torch.from_numpy(waymo.world_shift(clip)).float()
        found[name] = (points, loaded.valid, reach * quantum + 2e-4)
        assert float((points - truth)[loaded.valid].norm(dim=-1).max()) <= found[name][2], name
    for points, valid, error in found.values():
        for other, also, other_error in found.values():
            both = valid & also
            assert both.float().mean() > 0.02
            assert float((points - other)[both].norm(dim=-1).max()) <= error + other_error


def test_loaders_travel_to_worker_processes(tmp_path: Path) -> None:
    clip = symmetric()
    for name, (write, settings, sequence, first, _) in _all(clip).items():
        write(tmp_path / name)
        dataset = dataset_from({"loader": name, "root": str(tmp_path / name)} | settings)
        copy: SceneDataset[Any] = pickle.loads(pickle.dumps(dataset))
        assert torch.equal(copy.load(sequence, [first]).depth, dataset.load(sequence, [first]).depth)
        assert dataset.num_frames(sequence) == len(dataset.frame_numbers(sequence)) == FRAMES


# --- settings ---


def test_every_data_configuration_names_a_loader_and_its_options(tmp_path: Path) -> None:
    for name in DATASETS:
        data = compose_run([f"data={name}"])["data"]
        assert data["loader"] == name
        # All keys and values are accepted: what fails is only that the download is not there.
        with pytest.raises(UserError, match="no such folder"):
            mix_from(data | {"root": str(tmp_path / "nowhere")})
    assert set(DATASETS) | {"synthetic"} <= set(choices("data"))


def test_the_public_mix_has_its_nominal_shares() -> None:
    entries = compose_run(["data=mix/paper"])["data"]["datasets"]
    weights: dict[str, float] = {}
    for entry in entries.values():
        weights[entry["loader"]] = weights.get(entry["loader"], 0) + entry["weight"]
    shares = {name: round(100 * weight / sum(weights.values()), 1) for name, weight in weights.items()}
    assert sum(weights.values()) == 48_000
    assert shares == {
        "pointodyssey": 14.6, "dynamic_replica": 22.9, "kubric": 10.4, "spring": 10.4, "co3d": 20.8, "waymo": 20.8,
    }  # fmt: skip
    assert {entry["options"]["eye"] for entry in entries.values() if entry["loader"] == "spring"} == {"left", "right"}


def test_the_held_out_mix_trains_on_no_validation_or_test_split() -> None:
    data = compose_run(["data=mix/held_out"])["data"]
    used = [entry for entry in data["datasets"].values() if entry["weight"] > 0]
    assert {entry["split"] for entry in used} == {"train"}
    assert sum(entry["weight"] for entry in used) == 48_000


def test_roots_stand_under_paths() -> None:
    data = compose_run(["data=mix/paper", "paths.waymo=/elsewhere"])["data"]["datasets"]
    assert data["waymo"]["root"] == "/elsewhere"
    assert data["spring_left"]["root"] == "data/spring"


def test_a_mix_is_built_and_gives_clips(tmp_path: Path) -> None:
    clip = symmetric()
    sintel.write(tmp_path / "sintel", {"a": clip})
    dycheck.write(tmp_path / "dycheck", {"b": clip})
    settings = {
        "kind": "mix",
        "shapes": {"image_size": 56, "patch_size": 14, "frames": [2, 3], "images_per_batch": 6},
        "look": {"colour": {"jitter": 1.0}, "tracks": 5},
        "datasets": {
            "sintel": {"loader": "sintel", "root": str(tmp_path / "sintel"), "windows": {"strides": [1, 2]}},
            "dycheck": {"loader": "dycheck", "root": str(tmp_path / "dycheck"), "weight": 3, "min_frames": 4},
            "waymo": {"loader": "waymo", "root": str(tmp_path / "nowhere"), "weight": 0},
        },
    }
    mix = mix_from(settings)
    assert mix.shares == {"sintel": 0.25, "dycheck": 0.75}
    clips = mix.clips(0, 0)
    assert {c.images.shape[-1] for c in clips} == {56}
    assert {c.dataset for c in mix.clips(1, 1) + clips} <= {"sintel", "dycheck"}
    assert clips[0].tracks.shape[1] == 5


def test_training_frames_8_bit_pictures_and_gets_the_same_floats(tmp_path: Path) -> None:
    clip = symmetric()
    folder.write(tmp_path, {"a": clip})
    dataset = dataset_class("folder")(tmp_path)
    frames = dataset.frame_numbers("a")[:3]
    read, loaded = dataset.read("a", frames), dataset.load("a", frames)
    assert read.images.dtype == torch.uint8
    assert torch.equal(read.images / 255, loaded.images)
    assert loaded.images.is_contiguous()
    framing = Framing(mode="stretch", centred=False)
    fast, exact = float_images(framing.apply(read, (28, 42))), framing.apply(loaded, (28, 42))
    # Rounded after each of the two axes, and overshoot is cut after the first: at most a few of 255 steps, rarely.
    off = (fast.images - exact.images).abs()
    assert off.mean() < 0.5 / 255
    assert off.max() < 8 / 255
    assert torch.equal(fast.depth, exact.depth)
    shapes = ShapeRule(image_size=42, frames=(3, 3), aspects=(0.67, 0.67))
    made = Mix({"a": Ingredient(dataset, framing=framing)}, shapes).clips(0, 0)[0]
    assert made.images.dtype == torch.float32
    again = framing.apply(dataset.load("a", made.frame_numbers.tolist()), (28, 42))
    assert (made.images - again.images).abs().mean() < 0.5 / 255


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"loader": "sintell"}, "no dataset 'sintell'"),
        ({"weigth": 2}, r"data\.weigth is not a setting; near keys: weight"),
        (
            {"options": {"quality": "best"}},
            r"data\.options\.quality is 'best'; choose one of 'final', 'clean', 'albedo'",
        ),
        ({"options": {"qualty": "final"}}, r"data\.options\.qualty is not a setting; near keys: quality"),
        ({"depth": {"percentile": [1, 98]}}, r"data\.depth\.percentile is not a setting; near keys: percentiles"),
        ({"windows": {"strides": [0]}}, r"data\.windows: windows with strides \(0,\)"),
        ({"root": None}, "expected loader .* and root"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, change: dict[str, object], message: str) -> None:
    sintel.write(tmp_path, {"a": symmetric()})
    settings = {"loader": "sintel", "root": str(tmp_path)} | change
    with pytest.raises(UserError, match=message):
        mix_from({k: v for k, v in settings.items() if v is not None})


def test_configurations_state_the_public_choices() -> None:
    stored = {name: compose_run([f"data={name}"])["data"] for name in DATASETS}
    strides = {name: stored[name]["windows"]["strides"] for name in DATASETS}
    assert strides["pointodyssey"] == list(range(1, 9))
    assert strides["dynamic_replica"] == strides["waymo"] == strides["dycheck"] == [1, 2, 3, 4]
    assert (strides["spring"], strides["sintel"]) == ([1, 2, 3], [1, 2])
    whole = {name for name in DATASETS if stored[name]["depth"]["percentiles"] is None}
    assert whole >= {"pointodyssey", "dynamic_replica", "rlbench", "folder"}
    assert not whole & {"kubric", "spring", "co3d", "waymo", "sintel", "dycheck", "bonn", "tum"}
    assert {name for name in DATASETS if stored[name]["framing"]["depth"] == "sparse"} == {"co3d", "waymo"}
    assert issubclass(DATASETS["bonn"], Bonn)
