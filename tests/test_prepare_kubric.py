"""The MOVi TFRecords become folders that the Kubric loader reads."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from writers import kubric, movi
from writers.compare import assert_same_geometry, assert_same_images
from writers.scene import FRAMES, HEIGHT, WIDTH, Truth, tracked

from page4d.cli import main
from page4d.data.datasets import Kubric
from page4d.prepare.kubric_tfrecord import distance_tiff, plan_record, read_scenes
from page4d.prepare.tfrecord import masked_crc, parse_example, read_records
from page4d.schema import UserError

RIGID = {"deforming_weight": 0.0, "walker_weight": 0.0, "centre_offset": (-0.5 / WIDTH, -0.5 / HEIGHT)}


def written(path: Path, *names: str) -> Truth:
    truth = tracked(**RIGID)
    still = {"positions": [[0.0, 0, 0]] * FRAMES, "quaternions": [[1.0, 0, 0, 0]] * FRAMES}
    objects = [body if body["positions"] else still for body in kubric.objects_of(truth.scene)]
    movi.write(path, dict.fromkeys(names, truth.clip), dict.fromkeys(names, objects))
    return truth


def test_records_become_scenes_of_the_loader(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "64x48/1.0.0/movi_f-train.tfrecord-00000-of-00002"
    clip = written(source, "17", "18").clip
    out = tmp_path / "out"
    assert main(["prepare", "kubric", str(tmp_path / "64x48"), "--out", str(out)]) == 0
    dataset = Kubric(out)
    assert dataset.sequences == ["train_17", "train_18"]
    loaded = dataset.load("train_18", range(FRAMES))
    distance = kubric.distance(clip)
    step = float(distance.max() - distance.min()) / 65535
    assert_same_geometry(loaded, clip, depth_error=step, pose_error=1e-5)
    assert_same_images(loaded, clip)
    assert torch.equal(loaded.instances, clip.instances.long())
    assert torch.equal(loaded.moving, clip.moving)
    assert "train_18: 25 files written" in capsys.readouterr().out


def test_a_second_run_changes_nothing_and_an_interrupted_one_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "movi_f-validation.tfrecord-00000-of-00001", "1", "2", "3")
    command = ["prepare", "kubric", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main([*command, "--scenes", "1"]) == 0
    stamp = (tmp_path / "out/validation_1/rgba_00000.png").stat().st_mtime_ns
    capsys.readouterr()
    assert main([*command, "--first", "0", "--scenes", "2"]) == 0
    printed = capsys.readouterr().out
    assert "validation_1: already complete" in printed
    assert "validation_2: 25 files written" in printed
    assert (tmp_path / "out/validation_1/rgba_00000.png").stat().st_mtime_ns == stamp
    assert not (tmp_path / "out/validation_3").exists()
    assert main([*command, "--first", "2"]) == 0
    assert (tmp_path / "out/validation_3/metadata.json").is_file()


def test_files_of_others_are_not_overwritten(tmp_path: Path) -> None:
    source = tmp_path / "movi_f-train.tfrecord"
    written(source, "1")
    mine = tmp_path / "out/train_1/rgba_00000.png"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    assert main(["prepare", "kubric", str(source), "--out", str(tmp_path / "out")]) == 2
    assert mine.read_bytes() == b"mine"
    assert [p.name for p in mine.parent.iterdir()] == ["rgba_00000.png"]


def test_damaged_files(tmp_path: Path) -> None:
    source = tmp_path / "movi_f-train.tfrecord"
    written(source, "1")
    data = source.read_bytes()
    with pytest.raises(UserError, match=r"holds no \.tfrecord file; download"):
        list(read_scenes(tmp_path / "nowhere"))
    for damaged, message in (
        (data[:-100], "ends within record 0"),
        (data + b"\0" * 5, "ends within the header of record 1"),
        (b"\1" + data[1:], "record 0: wrong checksum of the length"),
        (movi.record(b"\x0a\xff\xff"), "record 0: a record is no tf.train.Example"),
        (movi.record(movi.field(1, b"")), "record 0: a record has no 'metadata/video_name'"),
    ):
        source.write_bytes(damaged)
        with pytest.raises(UserError, match=message):
            [plan_record(one, tmp_path) for one in read_scenes(source)]


def test_a_length_that_is_only_claimed_takes_no_memory(tmp_path: Path) -> None:
    length = struct.pack("<Q", 1 << 42)
    path = tmp_path / "a.tfrecord"
    path.write_bytes(length + struct.pack("<I", masked_crc(length)) + b"data")
    with pytest.raises(UserError, match="ends within record 0"):
        list(read_records(path))


@pytest.mark.parametrize("name", ["../17", "..", "a/b", "a\\b", "/etc/x", "", "a\0b"])
def test_a_video_name_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    source = tmp_path / "movi_f-train.tfrecord"
    source.write_bytes(movi.record(movi.example(name, tracked(**RIGID).clip, [])))
    before = sorted(tmp_path.rglob("*"))
    assert main(["prepare", "kubric", str(source), "--out", str(tmp_path / "deep/out")]) == 2
    assert sorted(tmp_path.rglob("*")) == before


def test_wrong_counts_and_images(tmp_path: Path) -> None:
    clip = tracked(**RIGID).clip
    example = movi.example("1", clip, [])
    for old, new, message in (
        (b"camera/positions", b"camera/positionX", r"'camera/positions' has 0 numbers, expected 24"),
        (b"segmentations", b"segmentationX", r"'segmentations' has 0 images, expected 8"),
        (b"IHDR", b"IHDX", "a depth image is damaged"),
    ):
        path = tmp_path / "x-train.tfrecord"
        path.write_bytes(movi.record(example.replace(old, new)))
        with pytest.raises(UserError, match=rf"record 0: {message}"):
            plan_record(next(read_scenes(path)), tmp_path)
    with pytest.raises(UserError, match="expected 16-bit grey"):
        distance_tiff(movi.png(np.zeros((4, 4), np.uint8)), 0, 1)


def test_numbers_that_are_not_finite_are_no_truth(tmp_path: Path) -> None:
    clip = tracked(**RIGID).clip
    example = movi.example("1", clip, [])
    stored = struct.pack("<f", kubric.camera(clip)["positions"][-1][0])
    at = example.index(stored, example.index(b"camera/positions"))
    path = tmp_path / "x-train.tfrecord"
    path.write_bytes(movi.record(example[:at] + struct.pack("<f", float("nan")) + example[at + 4 :]))
    with pytest.raises(UserError, match=r"record 0: 'camera/positions' holds numbers that are not finite"):
        plan_record(next(read_scenes(path)), tmp_path)


def test_checksum_is_castagnolis() -> None:
    # RFC 3720, appendix B.4: 32 bytes of zeros have CRC-32C 8a9136aa.
    crc = 0x8A9136AA
    assert masked_crc(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@given(st.binary(max_size=40))
def test_checksums_agree_with_the_definition(data: bytes) -> None:
    assert masked_crc(data) == movi.masked(data)


@given(
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=5),
    st.lists(st.floats(width=32, allow_nan=False), max_size=5),
    st.lists(st.binary(max_size=9), max_size=4),
)
def test_features_come_back(integers: list[int], floats: list[float], blobs: list[bytes]) -> None:
    def entry(name: bytes, value: bytes) -> bytes:
        return movi.field(1, movi.field(1, name) + movi.field(2, value))

    whole = [i % 2**64 for i in integers]
    apart = b"".join(b"\x08" + movi.varint(i) for i in whole)  # not packed: one tag a value, as old writers do
    singles = b"".join(b"\x0d" + struct.pack("<f", f) for f in floats)
    data = movi.field(
        1,
        entry(b"i", movi.field(3, movi.field(1, b"".join(movi.varint(i) for i in whole))))
        + entry(b"j", movi.field(3, apart))
        + entry(b"f", movi.field(2, singles))
        + entry(b"b", movi.field(1, b"".join(movi.field(1, blob) for blob in blobs))),
    )
    found = parse_example(data, {"i", "j", "f", "b"})
    assert found["i"].tolist() == found["j"].tolist() == integers
    assert found["f"].tolist() == floats
    assert found["b"] == blobs
    assert parse_example(data, {"z"}) == {}


def test_records_of_a_file_come_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(movi.record(b"one") + movi.record(b"") + movi.record(b"three"))
    assert list(read_records(path)) == [b"one", b"", b"three"]
