"""Files that are no files, that say a thing twice or in another type, and numbers that no camera or array has."""

from __future__ import annotations

import json
import os
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_fuzz_io import CAMERA, SCORES
from writers import kubric, pointodyssey, spring
from writers.benchmarks import WRITERS
from writers.scene import symmetric, tracked

from page4d.book.chapters import find_chapters, read_chapter
from page4d.book.profiles import read_paths
from page4d.cli import main
from page4d.cli.prediction_input import parse_intrinsics
from page4d.data.datasets import dataset_class
from page4d.data.datasets.formats import read_json, read_png16, read_rgb, read_tiff
from page4d.data.manifest import FrameRow, Manifest
from page4d.evaluate import open_benchmark
from page4d.evaluate.exam_results import read_result
from page4d.evaluate.layouts import list_sequences
from page4d.evaluate.motion_truth import moving_by_flow
from page4d.evaluate.old_names import read_scores
from page4d.evaluate.predictions import Origin
from page4d.evaluate.protocol import STANDARD
from page4d.io.arrays import read_npy, read_npz
from page4d.io.depth_formats import read_cam, read_dpt, write_cam
from page4d.io.depth_png import read_depth_png
from page4d.io.trajectories import read_dycheck_camera, read_trajectory
from page4d.io.weight_files import parts_of
from page4d.model.stored_weights import read_weights
from page4d.schema import Prediction, Scores, UserError
from page4d.stored import read_film_file
from page4d.train.checkpoints import Checkpoints
from page4d.train.record import Record, read_run_file, read_scalars, resumptions

READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "scores": ("a.json", lambda folder: Scores.load(folder / "a.json")),
    "result": ("a.json", lambda folder: read_result(folder / "a.json")),
    "manifest": ("a.json", lambda folder: Manifest.load(folder / "a.json")),
    "origin": ("folder.json", Origin.load),
    "run": ("run.json", read_run_file),
    "checkpoints": ("checkpoints/manifest.json", lambda folder: Checkpoints(folder).manifest()),
    "film": ("film.json", read_film_file),
    "intrinsics": ("a.json", lambda folder: parse_intrinsics(str(folder / "a.json"))),
    "index": ("a.json", lambda folder: parts_of(folder / "a.json")),
    "weights": ("model.safetensors", lambda folder: read_weights(folder / "model.safetensors")),
    "camera": ("a.json", lambda folder: read_dycheck_camera(folder / "a.json")),
    "annotations": ("a.json", lambda folder: read_json(folder / "a.json")),
    "trajectory": ("a.txt", lambda folder: read_trajectory(folder / "a.txt")),
    "depth": ("a.png", lambda folder: read_depth_png(folder / "a.png")),
    "picture": ("a.png", lambda folder: read_rgb(folder / "a.png")),
    "sensor": ("a.png", lambda folder: read_png16(folder / "a.png")),
    "dpt": ("a.dpt", lambda folder: read_dpt(folder / "a.dpt")),
    "paths": ("a.yaml", lambda folder: read_paths(folder / "a.yaml")),
    "chapter": ("01_a.py", lambda folder: read_chapter(folder / "01_a.py")),
    "prediction": ("a.npz", lambda folder: Prediction.load(folder / "a.npz")),
}
ENDLESS = {"folder": Path.mkdir, "pipe": os.mkfifo, "sparse": lambda path: os.truncate(_empty(path), 10 << 30)}


def _empty(path: Path) -> Path:
    path.touch()
    return path


@pytest.mark.parametrize("kind", ENDLESS)
@pytest.mark.parametrize("reader", READERS)
def test_what_has_no_end_is_not_waited_for(reader: str, kind: str, tmp_path: Path) -> None:
    name, read = READERS[reader]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    ENDLESS[kind](path)
    if reader == "checkpoints" and kind != "sparse":
        assert read(tmp_path).entries == ()  # no file, no list: a run that begins
        return
    with pytest.raises(UserError) as told:
        read(tmp_path)
    assert path.name in str(told.value) or str(path.parent) in str(told.value)
    assert len(str(told.value)) < 500


def test_json_that_says_one_name_twice(tmp_path: Path) -> None:
    (tmp_path / "K.json").write_text('{"K": [[9, 0, 4], [0, 9, 4], [0, 0, 1]], "K": [[5, 0, 4], [0, 5, 4], [0, 0, 1]]}')
    with pytest.raises(UserError, match="says 'K' twice"):
        parse_intrinsics(str(tmp_path / "K.json"))


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_in_any_coding(tmp_path: Path, coding: str) -> None:
    (tmp_path / "a.json").write_bytes(json.dumps(SCORES).encode(coding))
    assert Scores.load(tmp_path / "a.json").mean == {"x": 1.0}


@pytest.mark.parametrize(
    ("name", "value"),
    [("mean", [1.0]), ("mean", {"x": [1.0]}), ("mean", {"x": float("nan")}), ("task", ["depth"]), ("version", True)],
)
def test_scores_of_another_type(tmp_path: Path, name: str, value: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(SCORES | {name: value}))
    with pytest.raises(UserError, match=f"a.json is not a whole Scores file .{name} is"):
        Scores.load(tmp_path / "a.json")


def test_a_manifest_of_another_type(tmp_path: Path) -> None:
    Manifest("tum", "a", (FrameRow("rgb/1.png", 1.0, 1.0, "0 0 0 0 0 0 1"),)).save(tmp_path / "m.json")
    text = (tmp_path / "m.json").read_text()
    (tmp_path / "m.json").write_text(text.replace('"image_s": 1.0', '"image_s": "late"'))
    with pytest.raises(UserError, match="image_s is 'late', expected float"):
        Manifest.load(tmp_path / "m.json")


@pytest.mark.parametrize("text", ['{"config": []}', '{"resumed": [[]]}', '{"resumed": [{"step": 3, "changed": 1}]}'])
def test_a_run_that_tells_nonsense_of_earlier_starts(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json is damaged .*move it away"):
        resumptions(tmp_path, 2, {})


def test_records_without_a_number_do_not_stop_a_run(tmp_path: Path) -> None:
    (tmp_path / "scalars.jsonl").write_bytes('{"step": 1}\n{"iteration": "two"}\n{"iteration": 3}\n'.encode("utf-16"))
    assert read_scalars(tmp_path) == [{"step": 1}, {"iteration": 3}]
    Record(tmp_path, 2, tensorboard=False).close()
    assert read_scalars(tmp_path) == [{"step": 1}]


def test_an_array_that_is_nearly_nothing_in_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "a.npz", seen=np.zeros(2_000_000, np.uint8))
    assert read_npz(tmp_path / "a.npz", "seen")[0].shape == (2_000_000,)
    monkeypatch.setattr("page4d.npz.MODEST_BYTES", 1_000_000)
    with pytest.raises(UserError, match="claims 2,000,000 bytes"):
        read_npz(tmp_path / "a.npz", "seen")


def test_an_archive_with_two_arrays_of_one_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", K=np.eye(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("K.npy", archive.read("K.npy"))
    with pytest.raises(UserError, match="two arrays of one name"):
        read_npz(tmp_path / "a.npz", "K")


@pytest.mark.parametrize("kind", ["complex64", "M8[s]", "m8[s]", [("x", "f4")]])
def test_arrays_that_are_no_real_numbers(tmp_path: Path, kind: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 2), kind))
    np.savez(tmp_path / "a.npz", K=np.zeros((2, 2), kind))
    with pytest.raises(UserError, match="expected real numbers"):
        read_npy(tmp_path / "a.npy")
    with pytest.raises(UserError, match="expected real numbers"):
        read_npz(tmp_path / "a.npz", "K")


@pytest.mark.parametrize(("place", "value"), [(0, 0.0), (4, -50.0), (2, np.nan), (11, np.inf), (9, 1e300)])
def test_a_camera_file_that_holds_no_camera(tmp_path: Path, place: int, value: float) -> None:
    write_cam(tmp_path / "a.cam", np.diag([50.0, 50, 1]), np.eye(4))
    data = bytearray((tmp_path / "a.cam").read_bytes())
    struct.pack_into("<d", data, 4 + 8 * place, value)
    (tmp_path / "a.cam").write_bytes(data)
    with pytest.raises(UserError, match=r"a\.cam holds no camera"):
        read_cam(tmp_path / "a.cam")


def test_flow_that_is_no_number_says_nothing_of_motion() -> None:
    flow = np.zeros((4, 5, 2), np.float32)
    flow[1, 2], flow[3, 3] = np.nan, np.inf
    camera = (np.diag([5.0, 5, 1]), np.eye(4))
    truth = moving_by_flow(np.ones((4, 5), np.float32), flow, camera, camera)
    assert not truth.moving.any()
    assert sorted(map(tuple, np.argwhere(~truth.known))) == [(1, 2), (3, 3)]


def test_intrinsics_are_told_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "K.json").write_text('{"K": 7}')
    with pytest.raises(UserError, match=r"K\.json: intrinsics have shape"):
        parse_intrinsics(str(tmp_path / "K.json"))
    (tmp_path / "K.json").write_bytes(b"\xff" * 100_000)
    with pytest.raises(UserError, match="holds no intrinsics") as told:
        parse_intrinsics(str(tmp_path / "K.json"))
    assert len(str(told.value)) < 500


def test_annotations_of_another_type(tmp_path: Path) -> None:
    kubric.write(tmp_path, {"a": symmetric()}, True)
    stored = json.loads((tmp_path / "a" / "metadata.json").read_text())
    stored["camera"]["field_of_view"] = {}
    (tmp_path / "a" / "metadata.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"kubric/a .* an entry cannot be used"):
        dataset_class("kubric")(tmp_path).load("a", [0])


def test_camera_rows_that_are_no_rigid_poses(tmp_path: Path) -> None:
    spring.write(tmp_path, {"0001": symmetric()})
    path = tmp_path / "train" / "0001" / "cam_data" / "extrinsics.txt"
    rows = np.loadtxt(path)
    rows[1, 3] = 1e38
    np.savetxt(path, rows)
    with pytest.raises(UserError, match="spring/0001 frame 2: pose 0 stands at 1e"):
        dataset_class("spring")(tmp_path).load("0001", [1, 2])


def test_truth_of_a_benchmark_that_cannot_be_used(tmp_path: Path) -> None:
    WRITERS["tapvid3d"](tmp_path, {"one": tracked().clip})
    with np.load(tmp_path / "one.npz") as stored:
        arrays = dict(stored)
    np.savez(tmp_path / "one.npz", **arrays | {"extrinsics_w2c": 0 * arrays["extrinsics_w2c"]})
    (sequence,) = list_sequences(tmp_path, open_benchmark("tracks3d-tapvid3d"), STANDARD)
    assert sequence.read_tracks is not None
    with pytest.raises(UserError, match=r"one\.npz: pose 0 is not rigid"):
        sequence.read_tracks([0, 1])


@pytest.mark.parametrize("data", [b"\xff\xfe#", b"# %% tags=7\na = 1\n", b"# %% tags=null\na = 1\n"])
def test_a_chapter_that_is_no_percent_script(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "book" / "_toc.yml").write_text("root: a\nparts:\n- chapters:\n  - file: notebooks/01_a\n")
    (tmp_path / "notebooks" / "01_a.py").write_bytes(data)
    with pytest.raises(UserError, match=r"01_a\.py (is no chapter|has 0 cells)"):
        find_chapters(tmp_path)


def test_what_a_whole_camera_says_still_counts(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(CAMERA))
    assert torch.equal(
        torch.from_numpy(read_dycheck_camera(tmp_path / "a.json").K[:2, 2]), torch.tensor([9.5, 9.5]).double()
    )


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_weights_whose_numbers_are_not_all_there(tmp_path: Path, kind: str) -> None:
    whole = torch.eye(3)
    packed = whole.to_sparse() if kind == "sparse" else whole.to("meta")
    torch.save({"aggregator.a": whole, "aggregator.b": packed}, tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"a\.pt"):
        read_weights(tmp_path / "a.pt")


def test_a_lens_of_a_data_set_that_is_none(tmp_path: Path) -> None:
    spring.write(tmp_path, {"0001": symmetric()})
    path = tmp_path / "train" / "0001" / "cam_data" / "intrinsics.txt"
    rows = np.loadtxt(path)
    rows[1, 1] = -rows[1, 1]
    np.savetxt(path, rows)
    with pytest.raises(UserError, match="spring/0001 frame 2: known intrinsics"):
        dataset_class("spring")(tmp_path).load("0001", [1, 2])


def test_true_depth_that_is_no_number_is_no_measurement(tmp_path: Path) -> None:
    WRITERS["nyu"](tmp_path, {"one": symmetric()})
    depth = np.load(tmp_path / "nyu_depths" / "00000.npy")
    depth[0, :3] = np.inf, np.nan, -1
    np.save(tmp_path / "nyu_depths" / "00000.npy", depth)
    sequence = list_sequences(tmp_path, open_benchmark("monodepth-nyu"), STANDARD)[0]
    read = sequence.read_depth(sequence.depths[0])
    assert read.dtype == depth.dtype
    np.testing.assert_array_equal(read[0, :3], 0)
    np.testing.assert_array_equal(read[1:], depth[1:])


def test_rows_of_a_file_that_was_cut_off_by_a_crash(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"1 0 0 0 0 0 0 1\n" + bytes(100_000))
    with pytest.raises(UserError, match=r"a\.txt, line 2 holds bytes that are 0"):
        read_trajectory(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_bytes(b"1 0 0 0 0 0 0 " + b"x" * 100_000)
    with pytest.raises(UserError, match="expected numbers only") as told:
        read_trajectory(tmp_path / "a.txt")
    assert len(str(told.value)) < 500


def test_scores_that_are_not_finite_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(SCORES))
    scores = Scores.load(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"b\.json: a score is not finite"):
        replace(scores, mean={"x": float("inf")}).save(tmp_path / "b.json")
    assert not (tmp_path / "b.json").exists()


def test_parts_of_files_are_told_with_where_they_stand(tmp_path: Path) -> None:
    kubric.write(tmp_path, {"a": symmetric()}, True)
    stored = json.loads((tmp_path / "a" / "metadata.json").read_text())
    stored["camera"] = {name: stored["camera"][name] for name in ("positions", "quaternions")}
    (tmp_path / "a" / "metadata.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=r"kubric/a below .* a Kubric camera has neither"):
        dataset_class("kubric")(tmp_path).load("a", [0])


@pytest.mark.parametrize("value", [np.zeros((0, 0, 2)), np.full((8, 4, 2), b"x")])
def test_tracks_of_a_data_set_that_cannot_be_used(tmp_path: Path, value: Any) -> None:
    pointodyssey.write(tmp_path, {"a": tracked().clip})
    (path,) = tmp_path.rglob("anno.npz")
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **arrays | {"trajs_2d": value})
    with pytest.raises(UserError, match="pointodyssey/a"):
        dataset_class("pointodyssey")(tmp_path).load("a", [0, 1])


def test_a_protocol_without_a_name_is_no_scores_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(SCORES | {"protocol": {"name": ["standard"]}}))
    with pytest.raises(UserError, match=r"it lacks .*the protocol's name"):
        read_scores(tmp_path / "a.json")


@pytest.mark.parametrize(("suffix", "mode"), [("GIF", "P"), ("TIFF", "L"), ("PNG", "I;16")])
def test_a_picture_of_a_depth_map_is_none(tmp_path: Path, suffix: str, mode: str) -> None:
    Image.new(mode, (8, 6)).save(tmp_path / "a.tiff", suffix)
    with pytest.raises(UserError, match=f"is a {suffix} of mode {mode}, expected a TIFF"):
        read_tiff(tmp_path / "a.tiff")


@pytest.mark.parametrize("column", [[1.0], [1.0, "2"], [1.0, True], None])
def test_a_result_with_a_column_that_is_not_of_its_clips(tmp_path: Path, column: Any) -> None:
    part = {"n": 2, "sequences": {"ate": [1.0, None]}}
    (tmp_path / "a.json").write_text(json.dumps({"format": 1} | part))
    assert read_result(tmp_path / "a.json")["n"] == 2
    also = {"also": {"dynamic-hard": {"n": 2, "sequences": {"ate": column}}}}
    (tmp_path / "a.json").write_text(json.dumps({"format": 1} | part | also))
    with pytest.raises(UserError, match=r"cannot read the result .*a\.json"):
        read_result(tmp_path / "a.json")


def test_a_download_without_a_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "movi_f-train.tfrecord-00000-of-00001").touch()
    assert main(["prepare", "kubric", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "holds 0 videos; there is none of number 0" in capsys.readouterr().err
