"""What travels: files whole or not at all, shapes checked at the door, foreign files refused."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from page4d import schema
from page4d.schema import Clip, Prediction, Scores, UserError, atomic_write


def prediction(frames: int = 2, height: int = 3, width: int = 4, full: bool = True) -> Prediction:
    rng = np.random.default_rng(0)

    def floats(*shape: int) -> np.ndarray:
        return rng.random(shape, np.float32)

    return Prediction(
        cam_from_world=floats(frames, 3, 4),
        K=floats(frames, 3, 3),
        depth=floats(frames, height, width),
        depth_conf=floats(frames, height, width),
        points=floats(frames, height, width, 3) if full else None,
        points_conf=floats(frames, height, width) if full else None,
        mask=floats(frames, 1, 1) if full else None,
        images=rng.integers(0, 255, (frames, height, width, 3), np.uint8),
        frame_names=tuple(f"ä {i}.png" for i in range(frames)),
        timestamps_s=np.array([np.nan, 0.5] * frames)[:frames],
        original_hw=np.full((frames, 2), 9, np.int64),
        box_in_original=np.tile([0.0, 0.0, 9.0, 9.0], (frames, 1)),
        meta={"config": {"dpt_pairs": [0, 1]}, "weights_sha256": "ab"},
    )


@given(frames=st.integers(1, 4), height=st.integers(1, 5), width=st.integers(1, 5), full=st.booleans())
def test_prediction_round_trip(
    tmp_path_factory: pytest.TempPathFactory, frames: int, height: int, width: int, full: bool
) -> None:
    path = tmp_path_factory.mktemp("p") / "prediction.npz"
    stored = prediction(frames, height, width, full)
    stored.save(path)
    loaded = Prediction.load(path)
    for field in dataclasses.fields(Prediction):
        a, b = getattr(stored, field.name), getattr(loaded, field.name)
        if isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b)
        else:
            assert a == b


def test_parts_join_frame_by_frame_under_the_meta_of_the_first() -> None:
    whole = prediction(frames=5, full=False)
    again = schema.concatenated([whole[:2], dataclasses.replace(whole[2:], meta={})])
    assert again.meta == whole.meta
    assert again.frame_names == whole.frame_names
    assert again.points is None
    np.testing.assert_array_equal(again.depth, whole.depth)


def test_prediction_refuses_wrong_shapes() -> None:
    good = prediction()
    for name in (
        "cam_from_world",
        "K",
        "depth_conf",
        "points",
        "points_conf",
        "images",
        "timestamps_s",
        "mask",
        "depth",
    ):
        with pytest.raises(ValueError, match=name):
            dataclasses.replace(good, **{name: np.zeros((7, 7), np.float32)})
    with pytest.raises(ValueError, match="1 frame names for 2 frames"):
        dataclasses.replace(good, frame_names=("a",))


def test_prediction_refuses_foreign_files(tmp_path: Path) -> None:
    good = tmp_path / "good.npz"
    prediction().save(good)
    (tmp_path / "half.npz").write_bytes(good.read_bytes()[:500])
    (tmp_path / "text.npz").write_text("no archive")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "objects.npz", header=np.array([{}], object))
    np.savez(tmp_path / "future.npz", header=np.array('{"format": 99}'))
    np.savez(tmp_path / "less.npz", header=np.array('{"format": 1, "frame_names": [], "meta": {}}'), depth=np.zeros(3))
    with np.load(good) as archive:
        content = {name: archive[name] for name in archive.files}
    header = json.loads(str(content["header"]))
    np.savez(tmp_path / "shape.npz", **content | {"depth": content["depth"][:1]})
    np.savez(tmp_path / "float.npz", **content | {"images": content["images"].astype(np.float32)})
    np.savez(tmp_path / "list.npz", **content | {"header": np.array("[]")})
    np.savez(tmp_path / "nameless.npz", **content | {"header": np.array(json.dumps(header | {"frame_names": 3}))})
    np.savez(tmp_path / "unnamed.npz", **content | {"header": np.array('{"format": 1, "meta": {}}')})
    np.save(tmp_path / "array.npy", np.zeros(3))
    (tmp_path / "folder").mkdir()
    for name, message in (
        ("shape.npz", "not a whole Prediction file .*has shape"),
        ("float.npz", "not a whole Prediction file .images is float32, expected uint8"),
        ("list.npz", "not a whole Prediction file"),
        ("nameless.npz", "not a whole Prediction file"),
        ("unnamed.npz", "not a whole Prediction file .*frame_names"),
        ("array.npy", "not a whole Prediction file .no .npz archive"),
        ("folder", "is a folder; give the file in it, .*prediction.npz"),
        ("missing.npz", "does not exist"),
        ("half.npz", "not a whole Prediction file"),
        ("text.npz", "not a whole Prediction file"),
        ("other.npz", "not a whole Prediction file"),
        ("objects.npz", "not a whole Prediction file .it holds Python objects"),
        ("future.npz", "format 99, this page4d reads 1"),
        ("less.npz", "missing .*cam_from_world"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            Prediction.load(tmp_path / name)
        assert name in str(caught.value)
        assert "allow_pickle" not in str(caught.value)


def test_scores_refuse_foreign_files(tmp_path: Path) -> None:
    for name, data in (("binary.json", bytes(range(128, 256))), ("list.json", b"[]"), ("text.json", b"no")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=f"{name} is not a whole Scores file"):
            Scores.load(tmp_path / name)
    (tmp_path / "future.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="Scores format 99"):
        Scores.load(tmp_path / "future.json")


def test_atomic_write_leaves_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_write(path) as stream:
            stream.write(b"half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    with atomic_write(path) as stream:
        stream.write(b"new")
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_atomic_write_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    prediction().save(tmp_path / "p.npz")
    before = (tmp_path / "p.npz").read_bytes()
    monkeypatch.setattr(schema.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        prediction(frames=3).save(tmp_path / "p.npz")
    assert (tmp_path / "p.npz").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_atomic_write_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose a folder that exists"), atomic_write(tmp_path / "no" / "file"):
        pass


def test_atomic_write_honours_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "file") as stream:
            stream.write(b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def clip(**changes: object) -> Clip:
    s, h, w = 3, 4, 5
    values: dict[str, object] = {
        "images": torch.zeros(s, 3, h, w),
        "depth": torch.ones(s, h, w),
        "cam_from_world": torch.eye(4)[:3].expand(s, 3, 4),
        "K": torch.eye(3).expand(s, 3, 3),
        "frame_numbers": torch.arange(s),
        "flow": torch.zeros(s - 1, h, w, 2),
        "tracks": torch.zeros(s, 7, 2),
        "tracks_visible": torch.ones(s, 7, dtype=torch.bool),
    }
    return Clip(**(values | changes))  # type: ignore[arg-type]


def test_clip_checks_every_shape() -> None:
    assert len(clip()) == 3
    for name in ("depth", "cam_from_world", "K", "frame_numbers", "flow", "moving", "instances", "tracks_visible"):
        with pytest.raises(ValueError, match=name):
            clip(**{name: torch.zeros(2, 9)})


def test_clip_valid_and_map() -> None:
    depth = torch.ones(3, 4, 5)
    depth[0, 0, :4] = torch.tensor([0, -1, float("nan"), float("inf")])
    assert clip(depth=depth).valid.sum() == 3 * 4 * 5 - 4
    doubled = clip().map_tensors(lambda t: t.double())
    assert doubled.depth.dtype == torch.float64
    assert doubled.moving is None
    assert doubled.metric is True
