"""`check-data`: clean data pass, every planted mistake is named, and the report stands on its own."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import av
import numpy as np
import pytest
import torch
import trimesh
from plane_clip import plane_clip
from torch import Tensor

from page4d.check import CheckSettings, consistency, diagnose, inspect, judge, verdict, write_report
from page4d.check.consistency import Gain, frame_pairs, scores, shift_gain
from page4d.check.entries import SyntheticSequences, ingredients_from
from page4d.check.hypotheses import ORDERS, Hypothesis, reorder, steps_of
from page4d.check.inspect import draw_clips
from page4d.check.measure import measure
from page4d.check.verdict import Diagnosis
from page4d.cli import check_data, main
from page4d.data.mixing import Ingredient
from page4d.data.sampling import WindowRule
from page4d.data.transforms import Framing
from page4d.geometry import compose, invert, quaternion_to_matrix
from page4d.schema import Clip, UserError
from page4d.world import render_clip, sample_scene, split_config, split_seeds

KEEP = Framing(mode="stretch", centred=False)


@pytest.fixture(autouse=True)
def _fewer_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enough for clear scores, a third of the time."""
    monkeypatch.setattr(consistency, "MAX_PIXELS", 300)


@lru_cache(maxsize=4)
def clean(first: int = 0, split: str = "dynamic-val") -> tuple[Clip, ...]:
    """Three clips with a moving camera, moving bodies and the sky."""
    config = split_config(split, height=48, width=64, frames=6)
    return tuple(render_clip(sample_scene(seed, config), tracks=20) for seed in split_seeds(split, 3, first))


def flipped(*signs: float) -> Callable[[Clip], Clip]:
    return lambda clip: replace(
        clip, cam_from_world=torch.diag(torch.tensor([float(s) for s in signs])) @ clip.cam_from_world
    )


def shifted(by: int) -> Callable[[Clip], Clip]:
    """Frame i gets the depth map of frame i + by, the last ones that of the end."""

    def shift(depth: Tensor) -> Tensor:
        at = (torch.arange(len(depth)) + by).clamp(0, len(depth) - 1)
        return depth[at]

    return lambda clip: replace(clip, depth=shift(clip.depth))


def late_poses(by: int) -> Callable[[Clip], Clip]:
    """Frame i gets the pose of frame i - by, those at an end the pose of the end."""

    def shift(poses: Tensor) -> Tensor:
        return poses[(torch.arange(len(poses)) - by).clamp(0, len(poses) - 1)]

    return lambda clip: replace(clip, cam_from_world=shift(clip.cam_from_world))


def reordered(read_as: Literal["first", "last"], of_camera: bool) -> Callable[[Clip], Clip]:
    """Quaternions whose real part was taken to stand at this end, of the camera in the world or the other way."""

    def read(poses: Tensor) -> Tensor:
        return invert(reorder(invert(poses), read_as)) if of_camera else reorder(poses, read_as)

    return lambda clip: replace(clip, cam_from_world=read(turned(clip).cam_from_world))


def turned(clip: Clip) -> Clip:
    """The clip in a world that is turned, so that no camera is near the identity, which every order leaves alone."""
    world = quaternion_to_matrix(torch.tensor([0.3, -0.5, 0.2, 0.8]))
    there = torch.cat((world, torch.tensor([[0.4], [1.0], [-2.0]])), 1)
    return replace(clip, cam_from_world=compose(clip.cam_from_world, there.expand(len(clip), 3, 4)))


PLANTED: dict[str, tuple[Callable[[Clip], Clip], str, str]] = {
    "metres as millimetres": (
        lambda c: replace(c, depth=c.depth * 1000), "depth scale", r"about (9\d0|1[01]\d0|1000) times too large",
    ),
    "depth 7.4 times too large": (
        lambda c: replace(c, depth=c.depth * 7.4), "depth scale", r"depth is about (7|7\.\d) times too large",
    ),
    "depth a third": (
        lambda c: replace(c, depth=c.depth / 3), "depth scale", r"depth is about (2\.[89]|3(\.[01])?) times too small",
    ),
    "inverted": (lambda c: replace(c, cam_from_world=invert(c.cam_from_world)), "poses", "the poses are inverted"),
    "OpenGL axes": (flipped(1, -1, -1), "poses", r"axes y, z are flipped \(OpenGL"),
    "x flipped": (flipped(-1, 1, 1), "poses", "axes x are flipped"),
    "y flipped": (flipped(1, -1, 1), "poses", "axes y are flipped"),
    "inverted OpenGL": (
        lambda c: replace(c, cam_from_world=invert(flipped(1, -1, -1)(c).cam_from_world)),
        "poses", "inverted .* and .* y, z",
    ),
    "depth a frame early": (shifted(1), "pairing", "stand 1 frame early"),
    "depth a frame late": (shifted(-1), "pairing", "stand 1 frame late"),
    "depth two frames early": (shifted(2), "pairing", "2 frames early"),
    "poses a frame late": (late_poses(1), "pairing", "poses stand 1 frame late"),
    "poses three frames late": (late_poses(3), "pairing", "poses stand 3 frames late"),
    "poses two frames early": (late_poses(-2), "pairing", "poses stand 2 frames early"),
    "qw first, read as last": (reordered("last", True), "poses", "hold qw first and were read as if it stood last"),
    "qw last, read as first": (reordered("first", False), "poses", "hold qw last and were read as if it stood first"),
    "poses with a scale": (
        lambda c: replace(c, cam_from_world=c.cam_from_world * torch.tensor([1.06, 1.06, 1.06, 1.0])), "poses",
        "not rotations: R R\\^T differs from I by up to 0.124",
    ),
}  # fmt: skip


# One of each kind always, the others with the slow tests.
QUICK = {"depth 7.4 times too large", "inverted", "OpenGL axes", "poses a frame late", "qw first, read as last"}
MISTAKES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in PLANTED]


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planted_mistake_is_named(name: str) -> None:
    plant, check, words = PLANTED[name]
    clips = [plant(clip) for clip in clean()]
    findings = judge(measure(clips), diagnose(clips), metric=True)
    assert verdict(findings) == "fail"
    texts = [f.text for f in findings if f.level == "fail" and f.check == check]
    assert any(re.search(words, text) for text in texts), findings


@pytest.mark.parametrize("first", [0, 10])
@pytest.mark.parametrize("split", ["dynamic-val", "static-train"])
def test_clean_data_pass(first: int, split: str) -> None:
    clips = clean(first, split)
    numbers = measure(clips)
    findings = judge(numbers, diagnose(clips))
    assert verdict(findings) == "pass", findings
    assert numbers.reprojection_px < 0.3
    assert numbers.depth_error_relative < 0.01
    assert numbers.rotation_error < 1e-5
    assert numbers.finite


def test_a_camera_that_stands_still_leaves_poses_undecided_but_shows_a_shift() -> None:
    """Only bodies move; the poses cannot tell anything, the edges of depth can."""
    config = split_config(
        "dynamic-val", height=48, width=64, frames=6, camera_speed=0.0, moving_share=0.3, frame_stride=3.0
    )
    clips = [replace(render_clip(sample_scene(s, config)), moving=None) for s in split_seeds("dynamic-val", 3)]
    still = [replace(clip, cam_from_world=clip.cam_from_world[:1].expand(6, 3, 4)) for clip in clips]
    findings = judge(measure(still), diagnose(still))
    assert {f.check for f in findings if f.level == "unknown"} == {"poses", "depth scale"}
    assert verdict(findings) == "unknown"


def test_scores_are_exact_on_a_wall() -> None:
    """Every pixel of a static wall agrees with itself; an inverted pose does not."""
    clip = plane_clip(3, frames=4)
    flat = replace(clip, images=torch.full_like(clip.images, 0.5), moving=None)
    as_is, inverted = scores([flat], [Hypothesis(), Hypothesis(inverted=True)])
    landed = measure([flat]).landed_share
    assert as_is == pytest.approx(landed, abs=0.02)
    assert inverted < 0.8 * as_is
    assert measure([flat]).reprojection_px < 0.1


def test_a_hypothesis_undoes_what_it_says() -> None:
    poses = clean()[0].cam_from_world.double()
    for one in (Hypothesis(inverted=True), Hypothesis(flipped=(0, 2)), Hypothesis(inverted=True, flipped=(1, 2))):
        sign = torch.diag(torch.tensor([-1.0 if a in one.flipped else 1.0 for a in range(3)], dtype=torch.float64))
        made = invert(sign @ poses) if one.inverted else sign @ poses
        torch.testing.assert_close(one.undo_poses(made), poses)
    assert str(Hypothesis()) == "nothing is wrong"


def test_an_order_of_quaternions_undoes_the_other_one() -> None:
    """The same numbers a b c d, read as x y z w and as w x y z; the centre of the camera stays."""
    numbers = torch.tensor([[0.1, 0.7, -0.3, 0.6], [0.5, -0.5, 0.5, 0.5]], dtype=torch.float64)
    centre = torch.tensor([[[1.0], [2], [3]]], dtype=torch.float64).expand(2, 3, 1)
    as_xyzw = torch.cat((quaternion_to_matrix(numbers), centre), -1)
    as_wxyz = torch.cat((quaternion_to_matrix(numbers[:, [1, 2, 3, 0]]), centre), -1)
    torch.testing.assert_close(reorder(as_xyzw, "first"), as_wxyz)
    torch.testing.assert_close(reorder(as_wxyz, "last"), as_xyzw)
    of_camera, of_world = ORDERS[0], ORDERS[2]
    torch.testing.assert_close(of_world.undo_poses(as_xyzw), as_wxyz)
    torch.testing.assert_close(of_camera.undo_poses(invert(as_xyzw)), invert(as_wxyz))


@pytest.mark.parametrize(
    ("value", "error", "level"), [(0.88, 0.01, "warn"), (0.88, 0.03, "pass"), (0.83, 0.001, "pass")]
)
def test_a_slight_shift_is_worth_a_look_if_it_is_sure(value: float, error: float, level: str) -> None:
    """Real frames whose poses come a frame late: 81 % agree, 88 % without the shift."""
    late = Hypothesis(pose_shift=-1)
    rest = {"poses": ((Hypothesis(inverted=True), 0.2),), "scales": ((Hypothesis(depth_scale=4.0), 0.1),)}
    found = Diagnosis(0.81, shifts=((late, value),), edges={0: 1.0}, errors={late: error}, **rest)  # type: ignore[arg-type]
    findings = judge(measure(clean()), found)
    assert verdict(findings) == level
    assert ("poses stand 1 frame late" in findings[0].text) == (level == "warn")


def test_no_more_than_all_pixels_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("page4d.check.verdict"), "shift_gain", lambda *_: Gain(0.9, 0.0))
    assert max(value for _, value in diagnose(clean()[:1]).shifts) == 1


def test_a_shift_is_measured_in_frames_of_the_dataset() -> None:
    near = clean()[0]
    wide = replace(near, frame_numbers=near.frame_numbers * 5)
    uneven = replace(near, frame_numbers=torch.tensor([0, 1, 2, 5, 6, 7]))
    assert steps_of([near, wide, uneven]) == [1, 5, 0]
    late, early = Hypothesis(pose_shift=-1), Hypothesis(pose_shift=5)
    assert shift_gain([near], early) is None  # six frames, of which one would be left
    found = shift_gain([late_poses(1)(near)], late)
    assert found is not None
    assert found.more > 0.02
    undone, as_is = late.undo_shift(late_poses(1)(near), -1)
    torch.testing.assert_close(undone.cam_from_world, near.cam_from_world[:-1])
    assert as_is.frame_numbers.tolist() == undone.frame_numbers.tolist() == [0, 1, 2, 3, 4]


def test_frame_pairs_reach_from_neighbours_to_the_ends() -> None:
    pairs = frame_pairs(8)
    assert (0, 1) in pairs
    assert (7, 0) in pairs
    assert all(0 <= a < 8 and 0 <= b < 8 and a != b for a, b in pairs)
    assert frame_pairs(1) == []


def changed(**values: object) -> list[Clip]:
    return [replace(clip, **values) for clip in clean()]


BAD_NUMBERS: dict[str, tuple[Callable[[Clip], Clip], str, str]] = {
    "no depth": (lambda c: replace(c, depth=torch.zeros_like(c.depth)), "fail", "No pixel has depth"),
    "hardly any depth": (
        lambda c: replace(c, depth=c.depth * (torch.arange(c.depth.numel()).reshape(c.depth.shape) % 101 == 0)),
        "warn", "Less than 2 %",
    ),
    "a frame without depth": (
        lambda c: replace(c, depth=c.depth * (torch.arange(6) != 2)[:, None, None]), "warn", "no depth at all",
    ),
    "nan": (lambda c: replace(c, K=c.K * torch.nan), "fail", "not finite"),
    "focal length": (lambda c: replace(c, K=c.K * torch.tensor([[0.01], [0.01], [1.0]])), "fail", "field of view"),
    "principal point": (
        lambda c: replace(c, K=c.K + torch.tensor([[0.0, 0, 30], [0, 0, 0], [0, 0, 0]])), "warn", "principal point",
    ),
    "black frame": (lambda c: replace(c, images=c.images * 0), "warn", "one colour"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_NUMBERS)
@pytest.mark.filterwarnings("ignore")
def test_numbers_that_cannot_be_right(name: str) -> None:
    change, level, words = BAD_NUMBERS[name]
    clips = [change(clip) for clip in clean()]
    findings = judge(measure(clips), diagnose(clips))
    assert any(f.level == level and re.search(words, f.text) for f in findings), findings


# --- drawing clips ----------------------------------------------------------------------------------------------


class Stored:
    """The clean clips as sequences."""

    sequences: Sequence[str] = ("a", "b", "c")

    def frame_numbers(self, sequence: str) -> list[int]:
        return list(range(6))

    def load(self, sequence: str, frames: Sequence[int]) -> Clip:
        clip = replace(clean()[self.sequences.index(sequence)], flow=None)
        return replace(clip.map_tensors(lambda t: t[list(frames)]), name=sequence)


def test_clips_are_spread_over_sequences_and_strides() -> None:
    one = Ingredient(Stored(), windows=WindowRule((1, 2)), framing=KEEP)  # type: ignore[arg-type]
    clips = draw_clips(one, CheckSettings(clips=4, frames=2, width=64, wide=3))
    assert [clip.name for clip in clips] == ["a", "a", "b", "b"]
    assert [int(clip.frame_numbers.diff()[0]) for clip in clips] == [1, 3, 1, 3]
    short = draw_clips(one, CheckSettings(clips=2, frames=6, width=32))
    assert {tuple(clip.images.shape) for clip in short} == {(6, 3, 24, 32)}


def test_settings_refuse_nonsense() -> None:
    for bad in ({"clips": 0}, {"frames": 1}, {"width": 3}):
        with pytest.raises(UserError, match="expected at least 1 clip"):
            CheckSettings(**bad)


# --- the report -------------------------------------------------------------------------------------------------


def test_report_stands_on_its_own(tmp_path: Path) -> None:
    one = Ingredient(Stored(), framing=KEEP)  # type: ignore[arg-type]
    report = inspect("stored", one, tmp_path, CheckSettings(clips=3, frames=5, width=64, show=1))
    page = write_report([report], tmp_path).read_text()
    assert report.verdict == "pass"
    assert not re.findall(r'(?:src|href)="(?!data:|#|stored_0_(?:world|camera)\.ply")', page)
    assert "Said to move, in red" in page
    assert 'class="better"' not in page  # no mistake explains clean data better
    assert page.count("<video") == 1
    assert "stored" in json.loads((tmp_path / "report.json").read_text())
    names = {p.name for p in tmp_path.iterdir()}
    files = {f"stored_0_{name}" for name in ("world.ply", "camera.ply", "depth.png", "tracks.png", "frames.mp4")}
    assert names == files | {"index.html", "report.json"}
    clip = report.samples[0].clip
    cloud = trimesh.load(tmp_path / "stored_0_world.ply")
    assert len(cloud.vertices) == int(clip.valid.sum())
    camera = trimesh.load(tmp_path / "stored_0_camera.ply")
    np.testing.assert_allclose(camera.vertices[:, 2], clip.depth[-1][clip.valid[-1]], rtol=1e-5)
    with av.open(str(tmp_path / "stored_0_frames.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == 5


def test_known_faults_of_a_dataset_are_told(tmp_path: Path) -> None:
    class Doubtful(Stored):
        remarks = ("Scene a of version 1.2 has wrong poses.",)

    one = Ingredient(Doubtful(), framing=KEEP)  # type: ignore[arg-type]
    report = inspect("stored", one, tmp_path, CheckSettings(clips=1, frames=3, width=64, show=0))
    first = report.findings[0]
    assert (first.level, first.text) == ("warn", Doubtful.remarks[0])
    assert report.verdict == "warn"


def test_entries_of_a_synthetic_configuration() -> None:
    data = {
        "kind": "synthetic",
        "split": "dynamic-train",
        "val": {"dynamic-val": {}},
        "world": {"width": 8, "camera_speed": 1.0},
    }
    found = ingredients_from(data)
    assert list(found) == ["dynamic-train", "dynamic-val"]
    world = SyntheticSequences("dynamic-val", 2, 3, {"height": 16, "width": 24})
    clip = world.load(world.sequences[1], [2, 0])
    assert clip.images.shape == (2, 3, 16, 24)
    assert clip.frame_numbers.tolist() == [2, 0]
    with pytest.raises(UserError, match="no scene 'x'"):
        world.load("x", [0])


def test_command_names_the_download_that_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "check"
    assert main(["check-data", "data=tum", f"paths.tum={tmp_path / 'absent'}", "--out", str(out)]) == 2
    assert "freiburg3 'dynamic objects' archives" in capsys.readouterr().err
    assert not out.exists()


def test_a_wrong_word_is_told_before_the_folder_that_is_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / check_data.MARKER).write_text("{}")
    assert main(["check-data", "data=nope", "--out", str(tmp_path)]) == 2
    assert "data=nope: no such choice" in capsys.readouterr().err


def test_command_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "check-data",
        "experiment=smoke",
        "--out",
        str(tmp_path / "c"),
        "--clips",
        "2",
        "--frames",
        "4",
        "--show",
        "0",
    ]

    class Wrong(Stored):
        def load(self, sequence: str, frames: Sequence[int]) -> Clip:
            clip = super().load(sequence, frames)
            return replace(clip, cam_from_world=invert(clip.cam_from_world))

    for dataset, code, word in ((Stored(), 0, "pass"), (Wrong(), 1, "the poses are inverted")):
        made = {"stored": Ingredient(dataset, framing=KEEP)}  # type: ignore[arg-type]
        monkeypatch.setattr("page4d.check.entries.ingredients_from", lambda _, made=made: made)
        assert main([*words, "--overwrite"]) == code
        assert word in capsys.readouterr().out
    assert main(words) == 2
    assert "already holds report.json" in capsys.readouterr().err
    assert check_data.EXIT_WRONG == 1
