"""`prepare tum`: exactly the public selection, explicit pairing, and nothing half-written."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from page4d.data.association import associate, nearest_within, read_index
from page4d.data.manifest import Manifest
from page4d.prepare import plans as publishing
from page4d.prepare.plans import write_plan
from page4d.prepare.tum import TUMPlanOptions, plan_tum, tum_sequences
from page4d.schema import UserError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "tum_association.json").read_text())
SMALL = TUMPlanOptions(frames=4, stride=2)


def greedy(first: list[float], second: list[float], reach: float) -> list[tuple[int, int]]:
    """The quadratic definition that `associate` must equal."""
    pairs = sorted((abs(a - b), a, b) for a in first for b in second if abs(a - b) < reach)
    used_a: set[float] = set()
    used_b: set[float] = set()
    accepted = []
    for _, a, b in pairs:
        if a not in used_a and b not in used_b:
            used_a.add(a)
            used_b.add(b)
            accepted.append((first.index(a), second.index(b)))
    return sorted(accepted, key=lambda pair: first[pair[0]])


def write_images(folder: Path, index: str) -> None:
    """A distinct tiny image of the right kind for every line of an index file."""
    for number, line in enumerate(index.splitlines()):
        if line.startswith("#"):
            continue
        path = folder / line.split()[1]
        path.parent.mkdir(exist_ok=True, parents=True)
        if "depth" in line:
            Image.fromarray(np.full((3, 4), 5000 + number, np.uint16)).save(path)
        else:
            Image.fromarray(np.full((3, 4, 3), number % 256, np.uint8)).save(path)


def write_sequence(folder: Path, rgb: str, depth: str, poses: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (("rgb.txt", rgb), ("depth.txt", depth), ("groundtruth.txt", poses)):
        (folder / name).write_text(text)
    write_images(folder, rgb)
    write_images(folder, depth)
    return folder


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Ten frames at 10 Hz, depth 5 ms and poses 2 ms later."""
    stamps = [100 + 0.1 * k for k in range(10)]
    return write_sequence(
        tmp_path / "seq",
        "# rgb\n" + "".join(f"{s:.4f} rgb/{s:.4f}.png\n" for s in stamps),
        "".join(f"{s + 0.005:.4f} depth/{s + 0.005:.4f}.png\n" for s in stamps),
        "".join(f"{s + 0.002:.4f} {k}.0 0 0 0 0 0 1\n" for k, s in enumerate(stamps)),
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# --- association ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 0.01])
def test_golden_small_association(offset: float) -> None:
    case = GOLDEN["associate_small"]
    pairs = associate(case["first"], case["second"], case["max_difference"], offset)
    expected = case["matches" if offset == 0 else f"matches_offset_{offset}"]
    assert [[case["first"][i], case["second"][j]] for i, j in pairs] == expected


def test_golden_nearest() -> None:
    for case in GOLDEN["nearest_within"]:
        found = nearest_within(case["keys"], case["target"], case["max"])
        assert (None if found is None else case["keys"][found]) == case["result"], case


def test_nearest_takes_the_later_of_two_and_the_limit_counts() -> None:
    assert nearest_within([1.0, 2.0], 1.5, 0.5) == 1
    assert nearest_within([1.0], 1.25, 0.25) == 0
    assert nearest_within([1.0], 1.5, 0.25) is None
    assert nearest_within([], 1.0, 1.0) is None


# Multiples of 1/64 s make ties, which decide the order, frequent; they are exact in floating point.
stamps = st.lists(st.integers(0, 40), unique=True, max_size=16).map(lambda ks: [1.3e9 + k / 64 for k in ks])


@settings(deadline=None, max_examples=300)
@given(first=stamps, second=stamps, reach=st.sampled_from([1 / 64, 3 / 64, 9 / 64, 10.0]))
def test_association_equals_the_greedy_definition(first: list[float], second: list[float], reach: float) -> None:
    assert associate(first, second, reach) == greedy(first, second, reach)


def test_association_refuses_repeated_stamps() -> None:
    with pytest.raises(ValueError, match="repeats"):
        associate([1.0, 1.0], [1.0])


@pytest.mark.parametrize("spacing_s", [1 / 30, 1e-5], ids=["camera", "all_within_reach"])
def test_100_000_stamps_are_not_compared_each_with_each(spacing_s: float) -> None:
    rng = np.random.default_rng(0)
    first = (1.3e9 + np.cumsum(rng.uniform(0.5, 1.5, 100_000)) * spacing_s).tolist()
    second = (1.3e9 + np.cumsum(rng.uniform(0.5, 1.5, 100_000)) * spacing_s).tolist()
    start = time.process_time()
    pairs = associate(first, second)
    # Comparing each with each would take hours; how fast it is belongs to benchmarks.
    assert time.process_time() - start < 30.0
    assert len(pairs) > 1000


# --- the public selection ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["case_a", "case_b"])
def test_golden_selection(name: str, tmp_path: Path) -> None:
    case = GOLDEN[name]
    source = write_sequence(tmp_path / name, case["rgb_txt"], case["depth_txt"], case["groundtruth_txt"])
    images, poses = read_index(source / "rgb.txt"), read_index(source / "groundtruth.txt", 7)
    pairs = associate([e.stamp_s for e in images], [e.stamp_s for e in poses])
    assert [[images[i].stamp_s, poses[j].stamp_s] for i, j in pairs] == case["matches_rgb_gt"]

    plan = plan_tum(source, tmp_path / "out", TUMPlanOptions(allow_fewer=True))
    assert write_plan(plan)
    out = tmp_path / "out"
    assert sorted(p.name for p in (out / "rgb_90").iterdir()) == case["rgb_90"]
    assert sorted(p.name for p in (out / "depth_90").iterdir()) == case["depth_90"]
    assert (out / "groundtruth_90.txt").read_text() == case["groundtruth_90"]
    manifest = Manifest.load(out / "manifest_90.json")
    assert [Path(row.image).name for row in manifest.frames] == case["rgb_90"]
    assert [row.depth and Path(row.depth).name for row in manifest.frames] == case["selected_depth_per_rgb"]
    lines = case["groundtruth_90"].splitlines()
    assert [f"{row.pose_s} {row.pose}" for row in manifest.frames] == lines
    for row in manifest.frames:
        assert (out / row.image).read_bytes() == (source / "rgb" / Path(row.image).name).read_bytes()


def test_a_missing_depth_map_is_reported_and_shifts_nothing(tmp_path: Path) -> None:
    case = GOLDEN["case_b"]
    source = write_sequence(tmp_path / "b", case["rgb_txt"], case["depth_txt"], case["groundtruth_txt"])
    plan = plan_tum(source, tmp_path / "out", TUMPlanOptions(allow_fewer=True))
    assert plan.notes == ("frames without a depth map within 0.04 s: 1 of 19",)
    gaps = [row.depth_s - row.image_s for row in plan.manifest.frames if row.depth_s is not None]
    assert len(gaps) == 18
    assert max(map(abs, gaps)) <= 0.04


# --- writing ----------------------------------------------------------------------------------------------------


def test_a_second_run_changes_nothing(sequence: Path) -> None:
    assert write_plan(plan_tum(sequence, sequence, SMALL))
    first = tree(sequence)
    stamps = {p: (sequence / p).stat().st_mtime_ns for p in first}
    assert not write_plan(plan_tum(sequence, sequence, SMALL))
    assert tree(sequence) == first
    assert {p: (sequence / p).stat().st_mtime_ns for p in first} == stamps
    assert not list(sequence.glob(".*"))


def test_other_options_replace_only_what_this_command_wrote(sequence: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_plan(plan_tum(sequence, out, TUMPlanOptions(frames=3, stride=3)))
    (out / "notes.txt").write_text("mine")
    assert write_plan(plan_tum(sequence, out, TUMPlanOptions(frames=3, stride=2)))
    assert sorted(p.name for p in (out / "rgb_3").iterdir()) == ["100.0000.png", "100.2000.png", "100.4000.png"]
    assert (out / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["rgb_4/100.0500.png", "rgb_4/100.0000.png", "groundtruth_4.txt", "depth_4/readme"])
def test_files_of_others_are_never_touched(sequence: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    (out / name).parent.mkdir(parents=True)
    (out / name).write_bytes(b"somebody's work")
    before = tree(out)
    with pytest.raises(UserError, match=r"were not written by this command.*" + Path(name).name):
        write_plan(plan_tum(sequence, out, SMALL))
    assert tree(out) == before


def test_the_output_of_the_public_script_is_adopted(sequence: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_plan(plan_tum(sequence, out, SMALL))
    before = tree(out)
    (out / "manifest_4.json").unlink()
    assert write_plan(plan_tum(sequence, out, SMALL))
    assert tree(out) == before


def test_an_interrupted_run_leaves_nothing_visible_and_continues(
    sequence: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    count = 0

    def interrupt() -> None:
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_plan(plan_tum(sequence, out, SMALL), interrupt)
    assert [p.name for p in out.iterdir()] == [".manifest_4.part"]

    copied: list[Any] = []
    copy = publishing.shutil.copyfileobj
    monkeypatch.setattr(publishing.shutil, "copyfileobj", lambda a, b: (copied.append(a.name), copy(a, b)))
    assert write_plan(plan_tum(sequence, out, SMALL))
    assert len(copied) == 8 - 5
    assert len(list((out / "rgb_4").iterdir())) == len(list((out / "depth_4").iterdir())) == 4
    assert not list(out.glob(".*"))


def test_a_folder_that_cannot_be_written(sequence: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_plan(plan_tum(sequence, tmp_path / "file" / "out", SMALL))


# --- bad input --------------------------------------------------------------------------------------------------


def break_line(path: Path, line: int, text: str) -> None:
    lines = path.read_text().splitlines()
    lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("file", "line", "text", "message"),
    [
        ("rgb.txt", 3, "abc rgb/x.png", r"rgb\.txt, line 3: 'abc' is not a time stamp"),
        ("rgb.txt", 3, "nan rgb/x.png", r"rgb\.txt, line 3: 'nan' is not a time stamp"),
        ("rgb.txt", 4, "100.1", r"rgb\.txt, line 4: 0 values after the stamp, expected 1"),
        (
            "groundtruth.txt",
            2,
            "100.102 0 0 0 0 0 1",
            r"groundtruth\.txt, line 2: 6 values after .*, expected 7",
        ),
        ("groundtruth.txt", 3, "100.202 0 0 inf 0 0 0 1", r"groundtruth\.txt, line 3: .*expected 7 finite numbers"),
        ("groundtruth.txt", 3, "100.202 0 0 0 0 0 x 1", r"groundtruth\.txt, line 3: could not convert"),
        ("groundtruth.txt", 3, "100.202 0 0 0 0 0 0 0", r"groundtruth\.txt, line 3: pose 0 is .*zero quaternion"),
        ("rgb.txt", 4, "100.2 ../rgb/100.2000.png", r"rgb\.txt, line 4: .* does not stay in its folder"),
        ("depth.txt", 3, "100.205 /etc/100.png", r"depth\.txt, line 3: .* does not stay in its folder"),
        ("depth.txt", 3, "99.5 depth/99.5.png", r"depth\.txt, line 3: stamp 99\.5 is before 100\.105 of line 2"),
        ("rgb.txt", 4, "100.1 rgb/100.1000.png", r"rgb\.txt, line 4: stamp 100\.1 repeats line 3"),
        ("rgb.txt", 4, "100.2 rgb/other.png", r"rgb\.txt, line 4: .*rgb/other\.png does not exist"),
        (
            "rgb.txt",
            4,
            "100.2 rgb/100.0000.png",
            r"rgb\.txt, line 4: file name 100\.0000\.png was already used on line 2",
        ),
    ],
)
def test_bad_lines_are_named(sequence: Path, tmp_path: Path, file: str, line: int, text: str, message: str) -> None:
    break_line(sequence / file, line, text)
    with pytest.raises(UserError, match=message):
        plan_tum(sequence, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("file", ["rgb.txt", "depth.txt", "groundtruth.txt"])
def test_a_missing_or_empty_index_file(sequence: Path, tmp_path: Path, file: str) -> None:
    (sequence / file).write_text("# nothing\n\n")
    with pytest.raises(UserError, match=f"{file} has no entry"):
        plan_tum(sequence, tmp_path, SMALL)
    (sequence / file).unlink()
    with pytest.raises(UserError, match=f"{file} does not exist"):
        plan_tum(sequence, tmp_path, SMALL)


def test_tolerant_reading_sorts_and_keeps_the_last(tmp_path: Path) -> None:
    path = tmp_path / "rgb.txt"
    path.write_text("2.0,b\n1.0\ta\n2.0 c\n")
    entries = read_index(path, tolerant=True)
    assert [(e.stamp_s, e.words, e.line) for e in entries] == [(1.0, ("a",), 2), (2.0, ("c",), 3)]


def test_no_match_and_too_few_frames(sequence: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="5 frames at stride 2, 90 were asked for"):
        plan_tum(sequence, tmp_path, TUMPlanOptions(stride=2))
    assert len(plan_tum(sequence, tmp_path, TUMPlanOptions(stride=2, allow_fewer=True)).manifest.frames) == 5
    poses = "".join(f"{900 + k} 0 0 0 0 0 0 1\n" for k in range(9))
    (sequence / "groundtruth.txt").write_text(poses)
    with pytest.raises(UserError, match=r"no RGB stamp has a pose within 0\.02 s"):
        plan_tum(sequence, tmp_path, SMALL)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rgb/100.2000.png", b"", r"rgb\.txt, line 4: .*\(0 bytes\) cannot be decoded"),
        ("rgb/100.2000.png", b"<html>404</html>", r"rgb\.txt, line 4: .*cannot be decoded"),
        ("depth/100.2050.png", "8bit", r"depth\.txt, line 3: .*uint8 with shape \(3, 4\), expected a 16-bit"),
        ("depth/100.2050.png", "other size", r"depth\.txt, line 3: .*expected a 16-bit image with shape \(3, 4\)"),
        ("rgb/100.2000.png", "8bit", r"rgb\.txt, line 4: .*expected an 8-bit colour image"),
    ],
)
def test_unreadable_images_are_named_before_anything_is_written(
    sequence: Path, tmp_path: Path, name: str, content: bytes | str, message: str
) -> None:
    if isinstance(content, bytes):
        (sequence / name).write_bytes(content)
    else:
        shape, kind = ((3, 4), np.uint8) if content == "8bit" else ((6, 4), np.uint16)
        Image.fromarray(np.ones(shape, kind)).save(sequence / name)
    with pytest.raises(UserError, match=message):
        plan_tum(sequence, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_sequences_are_found_below_a_folder(sequence: Path) -> None:
    (sequence.parent / "not_a_sequence").mkdir()
    assert list(tum_sequences(sequence.parent)) == [sequence]
    assert list(tum_sequences(sequence)) == [sequence]
    with pytest.raises(UserError, match="holds no TUM sequence"):
        list(tum_sequences(sequence.parent / "not_a_sequence"))
    with pytest.raises(UserError, match="is not a folder"):
        list(tum_sequences(sequence / "rgb.txt"))


# --- manifest ---------------------------------------------------------------------------------------------------


def test_manifest_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    with pytest.raises(UserError, match="does not exist"):
        Manifest.load(path)
    for text, message in (("{", "is not a manifest"), ("[]", "is not a manifest"), ('{"format": 9}', "format 9"),
                          ('{"format": 1, "frames": [{}]}', "is not a manifest")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            Manifest.load(path)
