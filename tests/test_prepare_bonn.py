"""`prepare bonn`: rows by position as published, by time stamp as they belong, and how far apart the two are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from page4d.cli import main
from page4d.data.manifest import Manifest
from page4d.prepare.bonn import BonnPlanOptions, plan_bonn
from page4d.prepare.plans import write_plan
from page4d.schema import UserError

PUBLIC = BonnPlanOptions(first=2, frames=4)
BY_TIME = BonnPlanOptions("time", first=2, frames=4)


def write_sequence(folder: Path, pose_rate_hz: float = 10.0, images: int = 8) -> Path:
    """Images at 10 Hz from t = 100 s, depth 7 ms later, poses from 99.8 s on; x of a pose is its time in metres."""
    for k in range(images):
        stamp = 100 + 0.1 * k
        for kind, late, pixels in (
            ("rgb", 0.0, np.full((3, 4, 3), k, np.uint8)),
            ("depth", 0.007, np.full((3, 4), 5000 + k, np.uint16)),
        ):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / kind / f"{stamp + late:.5f}.png")
    times = 99.8 + np.arange(int(1.4 * pose_rate_hz)) / pose_rate_hz
    rows = [f"{t:.4f} {t - 100:.4f} 0 0 0 0 0 1" for t in times]
    (folder / "groundtruth.txt").write_text("# stamp tx ty tz qx qy qz qw\n" + "\n".join(rows) + "\n")
    return folder


def pose(words: str) -> Callable[[Path], None]:
    """Give row 4 of the ground truth, which both protocols use, another pose."""

    def change(sequence: Path) -> None:
        path = sequence / "groundtruth.txt"
        lines = path.read_text().splitlines()
        lines[5] = f"{lines[5].split()[0]} {words}"
        path.write_text("\n".join(lines))

    return change


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    return write_sequence(tmp_path / "rgbd_bonn_test")


def test_public_protocol_cuts_each_list_at_the_same_places(sequence: Path, tmp_path: Path) -> None:
    write_plan(plan_bonn(sequence, tmp_path / "out", PUBLIC))
    out = tmp_path / "out"
    assert sorted(p.name for p in (out / "rgb_4").iterdir()) == [f"100.{k}0000.png" for k in range(2, 6)]
    assert sorted(p.name for p in (out / "depth_4").iterdir()) == [f"100.{k}0700.png" for k in range(2, 6)]
    rows = np.loadtxt(out / "groundtruth_4.txt")
    np.testing.assert_allclose(rows[:, 0], 100 + 0.1 * np.arange(4))  # rows 2 to 5, which began 0.2 s before
    first = (out / "groundtruth_4.txt").read_text().splitlines()[0]
    assert first.startswith("1.000000000000000000e+02 0.000000000000000000e+00 ")
    assert len(first.split()) == 8


def test_time_protocol_gives_each_image_its_own_pose(sequence: Path, tmp_path: Path) -> None:
    write_plan(plan_bonn(sequence, tmp_path / "out", BY_TIME))
    rows = np.loadtxt(tmp_path / "out" / "groundtruth_4.txt")
    np.testing.assert_allclose(rows[:, 0], 100.2 + 0.1 * np.arange(4))
    manifest = Manifest.load(tmp_path / "out" / "manifest_4.json")
    for row in manifest.frames:
        assert row.depth is not None
        assert row.depth_s is not None
        assert row.depth_s - row.image_s == pytest.approx(0.007)
        assert row.pose_s == pytest.approx(row.image_s)
        assert (tmp_path / "out" / row.depth).exists()


@pytest.mark.parametrize(
    ("rate_hz", "early", "at_most", "apart"),
    [(10.0, 0.2, 0.2, 0.2), (100.0, 0.515, 0.65, 0.515)],
    ids=["one_row_per_image", "motion_capture_rate"],
)
@pytest.mark.parametrize("protocol", ["public", "time"])
def test_the_offset_between_the_protocols_is_reported(
    tmp_path: Path, rate_hz: float, early: float, at_most: float, apart: float, protocol: str
) -> None:
    sequence = write_sequence(tmp_path / "s", rate_hz)
    plan = plan_bonn(sequence, tmp_path / "out", BonnPlanOptions(protocol, first=2, frames=4))  # type: ignore[arg-type]
    expected = (
        f"rows 2 to 5 of groundtruth.txt lie {early:.3f} s before their images in the median, at most {at_most:.3f} s "
        f"away from them; pairing by row instead of time stamp moves poses by {apart:.4f} m"
    )
    assert plan.notes[0].startswith(expected)


def test_public_protocol_refuses_lists_that_cannot_be_paired(sequence: Path, tmp_path: Path) -> None:
    next(iter(sorted((sequence / "depth").iterdir()))).unlink()
    options = BonnPlanOptions(first=2, frames=6, allow_fewer=True)
    with pytest.raises(UserError, match="6 colour images, 5 depth images and 6 poses"):
        plan_bonn(sequence, tmp_path / "out", options)
    plan = plan_bonn(sequence, tmp_path / "out", BonnPlanOptions("time", first=2, frames=6))
    assert all(row.depth for row in plan.manifest.frames)


def test_a_missing_depth_map_shifts_nothing_by_time(sequence: Path, tmp_path: Path) -> None:
    (sequence / "depth" / "100.30700.png").unlink()
    plan = plan_bonn(sequence, tmp_path / "out", BY_TIME)
    assert [row.depth for row in plan.manifest.frames] == [
        "depth_4/100.20700.png", None, "depth_4/100.40700.png", "depth_4/100.50700.png",
    ]  # fmt: skip
    assert plan.notes[1] == "frames without a depth map within 0.04 s: 1 of 4"


def test_images_without_a_pose(sequence: Path, tmp_path: Path) -> None:
    path = sequence / "groundtruth.txt"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("100.3")) + "\n")
    with pytest.raises(UserError, match=r"no pose within 0\.02 s for 1 of 4 images, the first is 100\.30000\.png"):
        plan_bonn(sequence, tmp_path / "out", BY_TIME)
    fewer = plan_bonn(sequence, tmp_path / "out", BonnPlanOptions("time", first=2, frames=4, allow_fewer=True))
    assert [round(row.image_s, 1) for row in fewer.manifest.frames] == [100.2, 100.4, 100.5]


@pytest.mark.parametrize("protocol", ["public", "time"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: (s / "groundtruth.txt").unlink(), "groundtruth.txt does not exist"),
        (lambda s: (s / "groundtruth.txt").write_text("1 2 3\n"), "line 1: 2 values after the stamp, expected 7"),
        (pose("nan 0 0 0 0 0 1"), "groundtruth.txt, line 6: .*expected . finite numbers"),
        (pose("0 0 0 0 0 zero 1"), "groundtruth.txt, line 6: could not convert"),
        (pose("0 0 0 0 0 0 0"), "groundtruth.txt, line 6: pose 0 is .*zero quaternion"),
        (lambda s: (s / "groundtruth.txt").write_text("2 0 0 0 0 0 0 1\n1 0 0 0 0 0 0 1"), "line 2: stamp 1"),
        (lambda s: (s / "rgb" / "abc.png").write_bytes(b""), "abc.png is not named by a time stamp"),
        (lambda s: (s / "rgb" / "100.3.png").write_bytes(b""), "have the same time stamp"),
        (lambda s: (s / "rgb" / "100.30000.png").write_bytes(b"GIF"), r"100.30000.png \(3 bytes\) cannot be decoded"),
        (lambda s: [p.unlink() for p in (s / "depth").iterdir()], "depth has no PNG images"),
        (lambda s: [p.unlink() for p in sorted((s / "rgb").iterdir())[3:]], "rgb has 3 entries, 2 to 5 were asked for"),
    ],
)  # fmt: skip
def test_bad_input(sequence: Path, tmp_path: Path, protocol: str, change: object, message: str) -> None:
    assert callable(change)
    change(sequence)
    with pytest.raises(UserError, match=message):
        plan_bonn(sequence, tmp_path / "out", BonnPlanOptions(protocol, first=2, frames=4))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()


def test_impossible_options(sequence: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose one of 'public', 'time'"):
        plan_bonn(sequence, tmp_path, BonnPlanOptions("rows"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="-1 to 2 were asked for"):
        plan_bonn(sequence, tmp_path, BonnPlanOptions(first=-1, frames=4))


# --- the command ------------------------------------------------------------------------------------------------


def test_command_prepares_all_or_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = tmp_path / "bonn", tmp_path / "out"
    write_sequence(root / "rgbd_bonn_a")
    broken = write_sequence(root / "rgbd_bonn_b")
    (broken / "groundtruth.txt").unlink()
    words = ["prepare", "bonn", str(root), "--out", str(out), "--first", "2", "--frames", "4"]
    assert main(words) == 2
    assert "rgbd_bonn_b/groundtruth.txt does not exist" in capsys.readouterr().err
    assert not out.exists()

    write_sequence(broken)
    assert main(words) == 0
    text = capsys.readouterr().out
    assert "rgbd_bonn_a: 4 frames written (manifest_4.json)" in text
    assert "rows 2 to 5 of groundtruth.txt lie 0.200 s before their images" in text
    assert main([*words, "--protocol", "public"]) == 0
    assert capsys.readouterr().out.count("already complete") == 2


def test_command_names_a_folder_without_sequences(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind, title in (("bonn", "Bonn"), ("tum", "TUM")):
        assert main(["prepare", kind, str(tmp_path)]) == 2
        assert f"holds no {title} sequence" in capsys.readouterr().err
        assert main(["prepare", kind, str(tmp_path / "absent")]) == 2
        assert "is not a folder" in capsys.readouterr().err
