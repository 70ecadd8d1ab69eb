"""The benchmark folders: which images a sequence has, and the depth and trajectory that belong to them.

Layouts are those that CUT3R, MonST3R and the released scripts share, so folders prepared for them work here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.dycheck import DyCheckFiles, list_scenes
from page4d.data.datasets.dycheck import read_depth as read_dycheck_depth
from page4d.data.datasets.formats import annotating, read_png16
from page4d.data.datasets.sintel import SintelFiles
from page4d.data.prepared_folders import PreparedSequence, list_prepared
from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.image_sets import co3d, realestate10k
from page4d.evaluate.indoor_scenes import nrgbd, seven_scenes
from page4d.evaluate.motion_truth import davis_motion, exact_motion, sintel_motion
from page4d.evaluate.protocol import OPTIONS, Protocol
from page4d.evaluate.sequence import Camera, DepthMap, EvalSequence
from page4d.evaluate.track_layouts import dynamic_replica, kubric, pointodyssey, spring, synthetic_tracks, tapvid3d
from page4d.io.depth_formats import BONN_UNITS_PER_M, KITTI_UNITS_PER_M, read_cam, read_dpt
from page4d.io.names import frame_number, list_files
from page4d.io.suffixes import picture_suffixes
from page4d.io.trajectories import (
    Trajectory,
    read_dycheck_camera,
    read_dycheck_cameras,
    read_matrices,
    read_sintel_cameras,
    rigid_inverse,
)
from page4d.measured import is_measured
from page4d.schema import UserError, notice

NYU_PART = 50  # one list of 654 images would be one Prediction of a gigabyte


def list_sequences(root: Path | str, benchmark: Benchmark, protocol: Protocol) -> list[EvalSequence]:
    """All sequences of a benchmark that a protocol runs, in order of their names.

    Raises:  UserError if the root is missing (with what to download), if nothing is found, if a wanted sequence is
             absent, or if the protocol asks for a list that the benchmark does not have.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(f"{benchmark.name}: {root} is no folder; expected {benchmark.download}")
    with annotating(root):
        found = {s.name: _told(s) for s in LAYOUTS[benchmark.dataset](root, benchmark, protocol)}
    wanted = _wanted(benchmark, protocol, found)
    missing = [name for name in wanted if name not in found]
    if missing or not wanted:
        what = f"sequences {', '.join(missing[:5])}" if missing else "any sequence"
        there = ",".join(name for name in wanted if name in found)
        part = f". Those that are there can be scored alone: benchmark.sequences=[{there}]" if there else ""
        raise UserError(f"{benchmark.name}: {root} does not hold {what}; expected {benchmark.download}{part}")
    cap = protocol.max_frames if benchmark.task == "videodepth" else None
    return [_drawn(_strided(found[name], benchmark), benchmark).first(cap) for name in wanted]


def _told(sequence: EvalSequence) -> EvalSequence:
    """The sequence with readers that say whose files they cannot use, and depth that is 0 where it is no number."""

    def measured(path: Path) -> DepthMap:
        depth = sequence.read_depth(path)
        return np.where(is_measured(depth), depth, depth.dtype.type(0))

    def telling(read: Callable[..., Any] | None) -> Any:
        return None if read is None else annotating(sequence.name)(read)

    readers = ("read_trajectory", "read_camera", "read_motion", "read_tracks")
    told = {name: telling(getattr(sequence, name)) for name in readers}
    return replace(sequence, read_depth=telling(measured), **told)


def _wanted(benchmark: Benchmark, protocol: Protocol, found: Iterable[str]) -> list[str]:
    names = list(benchmark.sequences) or sorted(found)
    if not OPTIONS["sequences"].concerns(benchmark.task):
        return names
    if protocol.sequences == "fourteen":
        # The protocol's name says it, so it must be what is run.
        if not benchmark.fourteen:
            raise UserError(f"{benchmark.name} has no list `fourteen`, which sequences=fourteen asks for; take all")
        return list(benchmark.fourteen)
    return [n for n in names if protocol.sequences == "all" or n not in benchmark.left_out_by_public]


def _strided(sequence: EvalSequence, benchmark: Benchmark) -> EvalSequence:
    # Pictures and their truth alike; the released video script takes the stride of the pictures alone (E12).
    every = slice(None, None if benchmark.first is None else benchmark.first * benchmark.stride, benchmark.stride)
    read = sequence.read_trajectory
    return replace(
        sequence,
        images=sequence.images[every],
        image_stamps=sequence.image_stamps[every],
        read_trajectory=None if read is None else (lambda: read().select(every)),
    )


def _drawn(sequence: EvalSequence, benchmark: Benchmark) -> EvalSequence:
    """Some images of a sequence; the truth stays whole and is paired by name."""
    if benchmark.frames is None or benchmark.frames >= len(sequence.images):
        there = len(sequence.images)
        if benchmark.frames is not None and benchmark.frames > there:
            notice(f"{sequence.name} has {there} images, fewer than the {benchmark.frames} to draw; all of them count")
        return sequence
    chosen = drawn_frames(sequence.name, len(sequence.images), benchmark.frames, benchmark.seed)
    images = tuple(sequence.images[i] for i in chosen)
    return replace(sequence, images=images, image_stamps=tuple(sequence.image_stamps[i] for i in chosen))


def drawn_frames(name: str, count: int, frames: int, seed: int) -> NDArray[np.int64]:
    """Which `frames` of `count` images are taken, in their order; the same whatever other sequences are there."""
    generator = np.random.default_rng([seed, *name.encode()])
    return np.sort(generator.choice(count, frames, replace=False))


def _pictures(folder: Path) -> tuple[Path, ...]:
    return tuple(list_files(folder, picture_suffixes()))


def _folders(parent: Path) -> list[Path]:
    found = sorted(parent.iterdir()) if parent.is_dir() else []
    return [path for path in found if path.is_dir() and path.name[0] != "."]


def _numbers(paths: Iterable[Path], number: Callable[[Path], float] = frame_number) -> tuple[float, ...]:
    return tuple(float(number(path)) for path in paths)


def longest_number(name: Path | str) -> int:
    """The longest run of digits: KITTI's frame in `2011_09_26_drive_0002_sync_image_0000000005_image_02.png`."""
    runs = re.findall(r"\d+", Path(name).stem)
    if not runs:
        raise UserError(f"{name} has no frame number in its name; expected one, or no other pictures in this folder")
    return int(max(reversed(runs), key=len))


def _read_units(path: Path, units_per_m: float) -> NDArray[np.float64]:
    """Metres of a 16-bit PNG in float64, as the released readers of KITTI and Bonn give them; 0 = no measurement."""
    return np.asarray(read_png16(path).astype(np.float64) / units_per_m)


def sintel(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`training/{final,depth,camdata_left}/<sequence>/frame_0001.{png,dpt,cam}`."""
    files = SintelFiles(root)
    for shot in files.shots():
        trajectory, camera = partial(_sintel_trajectory, files, shot), partial(_sintel_camera, files, shot)
        sequence = EvalSequence.of_stamped(shot, files.of(shot, "images"), files.of(shot, "depth"))
        motion = None if files.folder("flow") is None else partial(sintel_motion, files, shot)
        known = replace(sequence, read_trajectory=trajectory, read_camera=camera, read_motion=motion)
        yield replace(known, read_depth=read_dpt)


def _sintel_cameras(files: SintelFiles, shot: str) -> Path:
    folder = files.folder("camdata_left")
    if folder is None:
        raise UserError(f"{files.root} has no training/camdata_left; extract MPI-Sintel-depth-training-20150305.zip")
    return folder / shot


def _sintel_trajectory(files: SintelFiles, shot: str) -> Trajectory:
    return read_sintel_cameras(_sintel_cameras(files, shot))[0]


def _sintel_camera(files: SintelFiles, shot: str, image: Path) -> Camera:
    K, pose = read_cam(_sintel_cameras(files, shot) / f"{image.stem}.cam")
    return rigid_inverse(pose), K


def _from_prepared(prepared: PreparedSequence, name: str) -> EvalSequence:
    return replace(
        EvalSequence.of_stamped(name, prepared.images, prepared.depths),
        read_depth=partial(_read_units, units_per_m=BONN_UNITS_PER_M),
        read_trajectory=prepared.read_trajectory,
        tolerance_s=prepared.tolerance_s,
        gaps_known=prepared.paired,
    )


def bonn(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`rgbd_bonn_<sequence>/{rgb_110,depth_110,groundtruth_110.txt}`; poses are those of the marker, as published.

    Note:    the prepared folders of published evaluations: distorted pictures, marker poses. What training reads is
             another thing, `page4d.data.datasets.bonn`: the raw archives, undistorted, with poses of the camera.
    """
    for name, prepared in list_prepared(root, 110).items():
        yield _from_prepared(prepared, name.removeprefix("rgbd_bonn_"))


def tum(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`<sequence>/{rgb_90,groundtruth_90.txt}`."""
    for name, prepared in list_prepared(root, 90).items():
        yield _from_prepared(prepared, name)


def dycheck(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`<scene>/{rgb/1x,depth/1x,camera}/0_00000.{png,npy,json}`: camera 0 moves, the others are for validation."""
    mixed = benchmark.task == "pose" and protocol.dycheck_camera == "all"
    for name, files in list_scenes(root).items():
        sequence = EvalSequence.of_stamped(name, files.images(), files.depths())
        if mixed:
            # The released script lists every camera's images by name, and the truth of camera 0 only.
            images = tuple(files.pictures())
            stamps = tuple(_moving_camera_stamp(path) for path in images)
            sequence = replace(sequence, images=images, image_stamps=stamps)
        yield replace(
            sequence,
            read_depth=partial(read_dycheck_depth, keep_clamped=protocol.clamped_depth == "keep"),
            read_trajectory=partial(read_dycheck_cameras, files.folder / "camera"),
            read_camera=partial(_dycheck_camera, files),
        )


def _moving_camera_stamp(image: Path) -> float:
    """The truth is camera 0's; an image of another camera has no partner of its name."""
    return float(frame_number(image)) if image.name.startswith("0_") else np.nan


def _dycheck_camera(files: DyCheckFiles, image: Path) -> Camera:
    camera = read_dycheck_camera(files.camera_file(image))
    return camera.world_from_camera, camera.K


def kitti(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`{image_gathered,groundtruth_depth_gathered}/<sequence>/*.png`."""
    for folder in _folders(root / "image_gathered"):
        images = _pictures(folder)
        depths = _pictures(root / "groundtruth_depth_gathered" / folder.name)
        yield EvalSequence(
            name=folder.name,
            images=images,
            image_stamps=_numbers(images, longest_number),
            depths=depths,
            depth_stamps=_numbers(depths, longest_number),
            read_depth=partial(_read_units, units_per_m=KITTI_UNITS_PER_M),
        )


def nyu(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`nyu_images/*.png` and `nyu_depths/*.npy`: one list, cut into parts of 50 images."""
    images = _pictures(root / "nyu_images")
    depths = tuple(list_files(root / "nyu_depths", {".npy"}))
    by_position = protocol.pairing == "position"
    for k in range(0, len(images), NYU_PART):
        part = images[k : k + NYU_PART]
        truth = depths[k : k + NYU_PART] if by_position else depths
        name = f"part_{k // NYU_PART:02d}"
        yield EvalSequence(name, part, _numbers(part), truth, _numbers(truth))


def scannet(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`<scene>/{color_90,pose_90.txt}`; the n-th row of the poses belongs to the n-th image.

    Note:    rows of infinite numbers say that a frame has no pose (six of the official scenes hold some).
    """
    for folder in _folders(root):
        images = _pictures(folder / "color_90")
        if images:
            stamps = tuple(float(i) for i in range(len(images)))
            poses = partial(read_matrices, folder / "pose_90.txt", gaps=True)
            yield EvalSequence(folder.name, images, stamps, read_trajectory=poses)


def davis(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """`[JPEGImages/]480p/<sequence>/00000.jpg`, masks in `Annotations/480p/<sequence>/00000.png`."""
    pictures, masks = root / "JPEGImages" / "480p", root / "Annotations" / "480p"
    for folder in _folders(pictures if pictures.is_dir() else root / "480p"):
        images = _pictures(folder)
        motion = partial(davis_motion, masks / folder.name) if masks.is_dir() else None
        if images:
            yield EvalSequence(folder.name, images, _numbers(images), read_motion=motion)


def synthetic(root: Path, benchmark: Benchmark, protocol: Protocol) -> Iterable[EvalSequence]:
    """Sintel's layout, with `training/moving/<sequence>/frame_0001.png` and `training/tracks/<sequence>.npz`."""
    for sequence in sintel(root, benchmark, protocol):
        name, training = sequence.name, root / "training"
        masks, known = training / "moving" / name, sequence
        if masks.is_dir():
            known = replace(known, read_motion=partial(exact_motion, masks))
        if (training / "tracks" / f"{name}.npz").is_file():
            known = replace(known, read_tracks=partial(synthetic_tracks, training, name))
        yield known


LAYOUTS: dict[str, Callable[[Path, Benchmark, Protocol], Iterable[EvalSequence]]] = {
    "sintel": sintel,
    "bonn": bonn,
    "tum": tum,
    "dycheck": dycheck,
    "kitti": kitti,
    "nyu": nyu,
    "scannet": scannet,
    "davis": davis,
    "7scenes": seven_scenes,
    "nrgbd": nrgbd,
    "pointodyssey": pointodyssey,
    "kubric": kubric,
    "dynamic_replica": dynamic_replica,
    "tapvid3d": tapvid3d,
    "spring": spring,
    "co3d": co3d,
    "realestate10k": realestate10k,
    "synthetic": synthetic,
}
