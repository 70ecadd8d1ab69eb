"""Commands view, export, features, track and the demo's logic, as a user calls them, with the mistakes users make."""

from __future__ import annotations

import argparse
import builtins
import errno
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest
import torch
from little_model import little_model
from little_scene import little_clip, little_prediction
from PIL import Image

from page4d.cli import main
from page4d.cli.demo import build_page, launch_options
from page4d.cli.demo_jobs import DemoSettings, check_upload, run_job
from page4d.cli.features import numbered
from page4d.cli.prediction_input import parse_intrinsics
from page4d.io.images import load_images
from page4d.io.video import write_video
from page4d.model import PAGE4D
from page4d.model.weights import save_weights
from page4d.point_tracks import grid_points, track
from page4d.schema import UserError
from page4d.viz.tracks import draw_tracks


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stored") / "prediction.npz"
    little_prediction().save(path)
    return path


@pytest.fixture(scope="module")
def model() -> PAGE4D:
    torch.manual_seed(0)
    network = PAGE4D(
        img_size=64, patch_size=8, embed_dim=64, depth=4, num_heads=4, patch_embed="conv", mask_source=1,
        masked_pairs=(2,), dpt_features=16, dpt_channels=(8, 16, 16, 16), dpt_pairs=(0, 1, 2, 3), camera_heads=4,
        camera_trunk_depth=2, enable_track=False, mask_hold_start=1, mask_hold_end=1,
    )  # fmt: skip
    # An untrained camera head may predict no field of view at all.
    assert network.camera_head is not None
    with torch.no_grad():
        network.camera_head.pose_branch.fc2.bias[6:] += 1
    return network.eval()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    images = little_clip(6, 60, 80).images
    paths = [folder / f"rgb_{200 + 8 * i:05d}.png" for i in range(6)]
    for path, image in zip(paths, images, strict=True):
        Image.fromarray((image.permute(1, 2, 0) * 255).byte().numpy()).save(path)
    return paths


def fails(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "Traceback" not in error
    return error


def test_view_writes_one_page(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "out.html"
    assert main(["view", str(stored.parent), "--html", str(target), "--title", "mine"]) == 0
    assert "% of the pixels moving" in capsys.readouterr().out
    assert "<title>mine</title>" in target.read_text()
    assert [p.name for p in tmp_path.iterdir()] == ["out.html"]


def test_export_with_known_lens_and_scale(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    words = ["export", str(stored), "--format", "colmap", "tum", "cameras", "--out", str(out), "--moving", "none"]
    words += ["--intrinsics", "50,60,20,10", "--scale-from", "distance:0,3,3,40,30,2.0", "--size", "input"]
    assert main(words) == 0
    assert "m per scene unit" in capsys.readouterr().out
    model = pycolmap.Reconstruction(out / "sparse" / "0")
    np.testing.assert_allclose(model.cameras[1].params, [50, 60, 20.5, 10.5])
    record = json.loads((out / "export.json").read_text())
    assert record["unit"] == "m"
    assert record["scale"]["factor"] > 0
    assert "already holds" in fails(words, capsys)
    assert main([*words, "--overwrite"]) == 0


def test_scale_from_files(stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sensor = tmp_path / "sensor"
    sensor.mkdir()
    prediction = little_prediction()
    np.save(sensor / "frame_0002.npy", prediction.depth[2] * 3)
    words = ["export", str(stored), "--format", "cameras", "--moving", "none", "--out", str(tmp_path / "a")]
    assert main([*words, "--scale-from", f"depth:{sensor}"]) == 0
    assert "scale: 3 m" in capsys.readouterr().out
    assert main([*words[:-1], str(tmp_path / "b"), "--scale-from", f"trajectory:{_path_file(tmp_path)}"]) == 0
    assert json.loads((tmp_path / "b" / "cameras.json").read_text())["scale"]["factor"] == pytest.approx(1, rel=1e-3)


def _path_file(folder: Path) -> Path:
    from page4d.result.exports import export

    return export(little_prediction(), folder, ["tum"])["tum"][0]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--intrinsics", "1,2,3"], "FX,FY,CX,CY"),
        (["--scale-from", "guess:1"], "distance:, depth: or trajectory:"),
        (["--scale-from", "distance:1,2"], "METRES"),
        (["--scale-from", "depth:/nowhere"], "not a folder"),
        (["--drop", "1.5"], "[0, 1)"),
        (["--moving", "model"], "has no mask"),
        (["--scale-from", "distance:0.7,3,3,40,30,2"], "frame 0.7 is not a whole number"),
        (["--size", "input", "--images", "own"], "--size input writes the network's own pictures and --images own"),
    ],
)
def test_export_mistakes(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], extra: list[str], message: str
) -> None:
    error = fails(["export", str(stored), "--format", "ply", "--out", str(tmp_path / "x"), *extra], capsys)
    assert message in error
    assert not list(tmp_path.iterdir())


def test_view_of_broken_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.npz"
    text.write_text("no")
    assert "not a whole Prediction" in fails(["view", str(text)], capsys)
    assert "does not exist" in fails(["view", str(tmp_path / "none.npz")], capsys)
    prediction = little_prediction()
    old = tmp_path / "old.npz"
    prediction.save(old)
    with np.load(old) as arrays:
        content = {name: arrays[name] for name in arrays.files}
    content["header"] = np.array(str(content["header"]).replace('"format": 1', '"format": 99'))
    np.savez(old, **content)
    assert "format 99" in fails(["view", str(old)], capsys)
    prediction.depth[1, 2, 3] = np.nan
    prediction.save(old)
    assert "not finite" in fails(["view", str(old), "--html", str(tmp_path / "a.html")], capsys)
    assert not (tmp_path / "a.html").exists()


def test_full_disk_leaves_no_folder(
    stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for words in (["view", str(stored), "--html", str(tmp_path / "a.html")],
                  ["export", str(stored), "--format", "ply", "depth-png", "--out", str(tmp_path / "x")]):  # fmt: skip
        assert "cannot be written whole: No space left on device; make room" in fails(words, capsys)
    assert not list(tmp_path.iterdir())


def test_features_command(model: PAGE4D, pictures: list[Path], tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    save_weights(model, weights)
    out = tmp_path / "maps"
    words = ["features", "--images", str(pictures[0].parent), "--weights", str(weights), "--out", str(out)]
    assert main([*words, "--initial_num", "200", "--gap", "16"]) == 0
    names = {p.name for p in out.glob("*.png")}
    kinds = ("frame", "global")
    assert names == {f"rgb_{n:05d}_{k}_feature_{i}.png" for n in (200, 216, 232) for k in kinds for i in range(4)}
    assert Image.open(out / "rgb_00216_global_feature_3.png").size == (12 * 8, 12 * 6)


USUAL = {"mode": "crop", "pages": "first", "bits": None}


def test_features_of_a_video(model: PAGE4D, tmp_path: Path) -> None:
    from page4d.cli.features import load_chosen

    video = tmp_path / "clip.mp4"
    shades = np.arange(12, dtype=np.uint8)[:, None, None, None] * 20
    write_video(video, np.broadcast_to(shades, (12, 48, 64, 3)).copy(), 10)
    args = argparse.Namespace(images=[video], initial_num=2, gap=3, num_frames=None, **USUAL)
    frames = load_chosen(args, model)
    assert frames.names == ("clip_000002", "clip_000005", "clip_000008", "clip_000011")
    np.testing.assert_allclose(frames.images.mean((1, 2, 3)) * 255, [40, 100, 160, 220], atol=3)


def test_features_of_a_long_video_decode_no_more_than_needed(
    model: PAGE4D, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from page4d.cli.features import load_chosen
    from page4d.io import video

    decoded = []

    def endless(_path: Path) -> Iterator[video.VideoFrame]:
        for number in range(1000):
            decoded.append(number)
            yield video.VideoFrame(number, number / 10, Image.new("RGB", (64, 48)))

    monkeypatch.setattr(video, "read_video", endless)
    (tmp_path / "clip.mp4").touch()
    film = [tmp_path / "clip.mp4"]
    args = argparse.Namespace(images=film, initial_num=2, gap=3, num_frames=None, **USUAL)
    assert load_chosen(args, model).names[-1] == "clip_000011"
    assert decoded == list(range(12))


def test_features_and_track_look_for_the_images_before_the_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    none, out = str(tmp_path / "none.png"), str(tmp_path / "out")
    for words in (["features", "--images", none], ["track", none, "--grid", "2"]):
        assert "none.png does not exist; give images" in fails([*words, "--out", out, "--weights", "no.pt"], capsys)


def test_numbered_files() -> None:
    files = [Path(f"a_{n:03d}.png") for n in (1, 2, 3, 5, 7)]
    assert [p.name for p in numbered(files, 1, 2, None)] == ["a_001.png", "a_003.png", "a_005.png", "a_007.png"]
    assert numbered(files, 1, 2, 2) == [files[0], files[2]]
    with pytest.raises(UserError, match="numbers found: 1 to 7"):
        numbered(files, 4, 1, None)
    with pytest.raises(UserError, match="no image has the number 4"):
        numbered(files, 1, 3, 4)
    assert numbered(files, 3, 4, 4) == [files[2], files[4]]  # there is nothing after the last
    with pytest.raises(UserError, match="one number"):
        numbered([*files, Path("b_1.png")], 1, 1, None)


# ---- tracks --------------------------------------------------------------------------------------------------------


class ShiftTracker:
    """Stands where the network would: every point moves by (2, -1) input pixels a frame, last frame hidden."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[str] = []
        monkeypatch.setattr("page4d.point_tracks._run_track_head", self)

    def __call__(self, _model: Any, frames: Any, queries: np.ndarray) -> Any:
        self.order = list(frames.names)
        number = np.array([int(name[1]) for name in frames.names], np.float32)
        steps = (number - number[0])[:, None, None] * np.array([2.0, -1.0], np.float32)
        visible = np.repeat((number < number.max()).astype(np.float32)[:, None], len(queries), 1)
        return queries[None] + steps, visible, visible


def test_tracks_come_back_in_file_pixels_and_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tracker = ShiftTracker(monkeypatch)
    paths = [tmp_path / f"f{i}.png" for i in range(3)]
    for path in paths:
        Image.new("RGB", (128, 96)).save(path)
    frames = load_images(paths, "crop", 64, 8)
    model = little_model(enable_track=True)
    found = track(model, frames, [(60.5, 40.5)], frame=1)
    assert tracker.order == ["f1.png", "f0.png", "f2.png"]
    np.testing.assert_allclose(found.xy[:, 0], [[56.5, 42.5], [60.5, 40.5], [64.5, 38.5]], atol=1e-4)
    np.testing.assert_array_equal(found.visible[:, 0], [1, 1, 0])
    np.testing.assert_allclose(found.xy_in_input[1, 0], [30, 20], atol=1e-4)
    found.write_csv(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text().splitlines()[2] == '1,"f1.png",0,60.500,40.500,1.0000,1.0000'
    for points, frame, message in (([], 0, "no points"), ([(1, 1)], 3, "no frame 3"), ([(500, 1)], 0, "not seen")):
        with pytest.raises(UserError, match=message):
            track(model, frames, points, frame=frame)


def test_tracks_need_a_track_head(model: PAGE4D, pictures: list[Path]) -> None:
    with pytest.raises(UserError, match="track head"):
        track(model, load_images(pictures[:2], "crop", 64, 8), grid_points(60, 80, 2))


def test_track_command_with_a_track_head(pictures: list[Path], tmp_path: Path) -> None:
    """A seeded network follows nothing sensibly, but every file must hold its numbers, in the user's pixels."""
    torch.manual_seed(0)
    network = PAGE4D(
        img_size=196, patch_size=14, embed_dim=32, depth=4, num_heads=2, patch_embed="conv", mask_source=1,
        masked_pairs=(2,), dpt_features=8, dpt_channels=(8, 8, 8, 8), dpt_pairs=(0, 1, 2, 3), camera_heads=2,
        camera_trunk_depth=1, track_features=8, track_hidden=16,
    )  # fmt: skip
    save_weights(network.eval(), tmp_path / "w.safetensors")
    words = ["track", *map(str, pictures[:3]), "--weights", str(tmp_path / "w.safetensors"), "--frame", "1"]
    assert main([*words, "--points", "20,10", "61.5,33", "--out", str(tmp_path / "out")]) == 0
    lines = [line.split(",") for line in (tmp_path / "out" / "tracks.csv").read_text().splitlines()]
    numbers = np.array([[float(word) for word in (line[0], *line[2:])] for line in lines[1:]])
    assert numbers.shape == (3 * 2, 6)
    # The tracker starts from the picked place in the picked frame.
    np.testing.assert_allclose(numbers[2:4, 2:4], [[20, 10], [61.5, 33]], atol=0.01)
    assert ((numbers[:, 4:] >= 0) & (numbers[:, 4:] <= 1)).all()
    drawn = [np.asarray(Image.open(tmp_path / "out" / f"{path.stem}.png")) for path in pictures[:3]]
    plain = (load_images(pictures[:3], "crop", 196, 14).images.permute(0, 2, 3, 1).numpy() * 255).round()
    marked = np.abs(drawn[1].astype(int) - plain[1]).max(-1) > 40
    rows, columns = np.nonzero(marked[:, : marked.shape[1] // 2])
    np.testing.assert_allclose((columns.mean(), rows.mean()), (20.5 * 196 / 80 - 0.5, 10.5 * 140 / 60 - 0.5), atol=3)
    from page4d.io.video import read_video

    assert len(list(read_video(tmp_path / "out" / "tracks.mp4"))) == 3


def test_track_command_without_a_track_head(
    pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The small family has none, and says so before anything is written."""
    words = ["track", str(pictures[0].parent), "--grid", "2", "--weights", "tiny", "--out", str(tmp_path / "out")]
    assert "no track head" in fails(words, capsys)
    assert not list(tmp_path.iterdir())


def test_drawn_tracks_are_where_the_points_are(tmp_path: Path) -> None:
    tracks = np.array([[[10.0, 6.0]], [[20.0, 12.0]]])
    drawn = draw_tracks(np.zeros((2, 24, 33, 3), np.uint8), tracks, np.array([[1.0], [0.0]]), trail=0)
    lit = np.argwhere(drawn[0].max(-1) > 60)
    np.testing.assert_allclose(lit.mean(0), [6, 10], atol=0.3)
    assert drawn[1, 12, 20].max() < 60  # hidden: an empty circle
    assert drawn[1].max() > 60
    video = tmp_path / "t.mp4"
    write_video(video, drawn, 5)
    from page4d.io.video import read_video

    assert [frame.image.size for frame in read_video(video)] == [(34, 24)] * 2
    with pytest.raises(UserError, match="sizes do not fit"):
        draw_tracks(drawn, tracks[:1], np.ones((1, 1)))


# ---- demo ----------------------------------------------------------------------------------------------------------


def test_demo_upload_limits(pictures: list[Path], tmp_path: Path) -> None:
    settings = DemoSettings(max_files=5)
    assert check_upload([pictures[2], pictures[0]], settings) == [pictures[0], pictures[2]]
    large, strange, video = tmp_path / "a.png", tmp_path / "a.exe", tmp_path / "a.mp4"
    for path, size in ((large, 3_000_000), (strange, 10), (video, 10)):
        path.write_bytes(b"0" * size)
    for files, message in (
        ([], "nothing"), (pictures, "more than the 5"), ([strange], "neither"), ([video, large], "alone"),
    ):  # fmt: skip
        with pytest.raises(UserError, match=message):
            check_upload(files, settings)
    with pytest.raises(UserError, match="3 MB are more than the 2 MB"):
        check_upload([large], DemoSettings(max_upload_mb=2))
    with pytest.raises(UserError, match="positive"):
        DemoSettings(queue_size=0)


def test_demo_stays_on_this_machine() -> None:
    options = launch_options(DemoSettings(max_upload_mb=7))
    assert (options["server_name"], options["max_file_size"], options["share"]) == ("127.0.0.1", "7mb", False)
    assert not DemoSettings().open_to_others
    assert DemoSettings(host="0.0.0.0").open_to_others


def test_demo_job(model: PAGE4D, pictures: list[Path], tmp_path: Path) -> None:
    settings = DemoSettings(formats=("ply", "tum"))
    first = run_job(model, pictures[:3], settings, tmp_path, moving="none")
    assert "3 frames" in first.summary
    assert set(zipfile.ZipFile(first.archive).namelist()) >= {"points.ply", "trajectory.txt"}
    second = run_job(model, pictures[:2], settings, tmp_path, moving="none")
    assert second.viewer.exists()
    assert not first.viewer.exists()  # one job at a time: the earlier result is cleared away
    with pytest.raises(UserError):
        run_job(model, [], settings, tmp_path)


def test_demo_without_gradio(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    real = builtins.__import__

    def blocked(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "gradio":
            raise ModuleNotFoundError(name, name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", blocked)
    assert "page4d[demo]" in fails(["demo"], capsys)


@pytest.mark.slow
def test_demo_page_builds(model: PAGE4D, tmp_path: Path) -> None:
    gradio = pytest.importorskip("gradio", reason="the page itself needs the extra 'demo'")
    page = build_page(gradio, model, DemoSettings(), tmp_path)
    assert any(component["type"] == "html" for component in page.config["components"])


@pytest.mark.parametrize("stored", ["[[2,0,1],[0,3,1],[0,0,1]]", '{"K": [[2,0,1],[0,3,1],[0,0,1]]}'])
def test_intrinsics_from_json(tmp_path: Path, stored: str) -> None:
    (tmp_path / "k.json").write_text(stored)
    np.testing.assert_array_equal(parse_intrinsics(str(tmp_path / "k.json")), [[2, 0, 1], [0, 3, 1], [0, 0, 1]])
    (tmp_path / "k.json").write_text('{"fx": 2}')
    with pytest.raises(UserError, match="holds no intrinsics"):
        parse_intrinsics(str(tmp_path / "k.json"))
