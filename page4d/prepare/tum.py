"""TUM RGB-D sequences to the benchmark folders `rgb_90`, `depth_90` and `groundtruth_90.txt`.

The selection is the public one (MonST3R's, which PAGE-4D's loader expects): RGB and pose stamps paired closest
first within 20 ms, every third pair, the first 90; depth is the nearest within 40 ms of the RGB stamp. Unlike the
public script a frame without depth stays where it is: the manifest pairs the files, not their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from page4d.data.association import (
    IndexRow,
    associate,
    nearest_within,
    read_index,
    stamps,
)
from page4d.io.names import checked_relative
from page4d.prepare.frames import ChosenFrame, Target, plan_frames, pose_text
from page4d.prepare.images import check_colour, check_depth
from page4d.prepare.plans import PairingOptions, Plan
from page4d.schema import UserError
from page4d.settings import Count

INDEX_FILES = ("rgb.txt", "depth.txt", "groundtruth.txt")


@dataclass(frozen=True)
class TUMPlanOptions(PairingOptions):
    """How frames are chosen; the defaults are the public benchmark's. Times in seconds."""

    frames: Count = 90
    stride: Count = 3


@dataclass(frozen=True)
class MatchedRows:
    """An RGB entry with the pose and the depth map chosen for it."""

    image: IndexRow
    pose: IndexRow
    depth: IndexRow | None


def select(
    images: list[IndexRow], depths: list[IndexRow], poses: list[IndexRow], options: TUMPlanOptions
) -> list[MatchedRows]:
    """Choose the frames of the benchmark from the three index files, in time order."""
    images_s, poses_s, depths_s = map(stamps, (images, poses, depths))
    pairs = associate(images_s, poses_s, options.max_pose_difference_s)
    triples = []
    for i, j in pairs[:: options.stride][: options.frames]:
        nearest = nearest_within(depths_s, images_s[i], options.max_depth_difference_s)
        triples.append(MatchedRows(images[i], poses[j], None if nearest is None else depths[nearest]))
    return triples


def _check_count(sequence: Path, triples: list[MatchedRows], options: TUMPlanOptions) -> None:
    if not triples:
        raise UserError(
            f"{sequence}: no RGB stamp has a pose within {options.max_pose_difference_s} s; "
            "are rgb.txt and groundtruth.txt of the same sequence?"
        )
    if len(triples) < options.frames and not options.allow_fewer:
        raise UserError(
            f"{sequence}: {len(triples)} frames at stride {options.stride}, {options.frames} were asked for; "
            "lower --frames or --stride, or pass --allow-fewer"
        )


def _check_images(sequence: Path, triples: list[MatchedRows]) -> None:
    names: dict[str, IndexRow] = {}
    for triple in triples:
        path = _listed(sequence, triple.image)
        size, name = check_colour(path, triple.image.place), path.name
        if name in names:
            raise UserError(f"{triple.image.place}: file name {name} was already used on line {names[name].line}")
        names[name] = triple.image
        if triple.depth:
            check_depth(_listed(sequence, triple.depth), triple.depth.place, size)


def plan_tum(sequence: Path, out: Path, options: TUMPlanOptions | None = None) -> Plan:
    """Everything that preparing `sequence` will write into `out`; reads and checks all inputs, writes nothing.

    Raises:  UserError with file and line for whatever is wrong with the download, see `read_index`.
    """
    options = options or TUMPlanOptions()
    images = read_index(sequence / "rgb.txt", 1, options.tolerant)
    depths = read_index(sequence / "depth.txt", 1, options.tolerant)
    poses = read_index(sequence / "groundtruth.txt", 7, options.tolerant)
    triples = select(images, depths, poses, options)
    _check_count(sequence, triples, options)
    _check_images(sequence, triples)

    chosen = [_chosen(sequence, triple) for triple in triples]
    text = "".join(f"{one.pose_s} {one.pose}\n" for one in chosen).encode()
    missing = sum(t.depth is None for t in triples)
    notes = (f"frames without a depth map within {options.max_depth_difference_s} s: {missing} of {len(triples)}",)
    target = Target("tum", sequence.resolve().name, out, options.frames)
    return plan_frames(target, chosen, text, asdict(options), notes if missing else ())


def _chosen(sequence: Path, triple: MatchedRows) -> ChosenFrame:
    image, pose, depth = triple.image, triple.pose, triple.depth
    picture, text = _listed(sequence, image), pose_text(pose)
    if depth is None:
        return ChosenFrame(picture, image.stamp_s, pose.stamp_s, text)
    return ChosenFrame(picture, image.stamp_s, pose.stamp_s, text, _listed(sequence, depth), depth.stamp_s)


def _listed(sequence: Path, row: IndexRow) -> Path:
    """The file that a row of rgb.txt or depth.txt names, which must lie in the sequence's folder."""
    return sequence / checked_relative(row.words[0], row.place)


def tum_sequences(source: Path) -> Iterator[Path]:
    """The sequences at `source`: itself, or those of its children that hold an index file.

    Raises:  UserError if there is none.
    """
    if not source.is_dir():
        raise UserError(f"{source} is not a folder; give one TUM sequence or the folder that holds several")
    if _is_sequence(source):
        yield source
        return
    found = [folder for folder in sorted(source.iterdir()) if _is_sequence(folder)]
    if not found:
        raise UserError(
            f"{source} holds no TUM sequence (a folder with {', '.join(INDEX_FILES)}); download one from "
            "https://cvg.cit.tum.de/data/datasets/rgbd-dataset/download and unpack it there"
        )
    yield from found


def _is_sequence(folder: Path) -> bool:
    return any((folder / name).exists() for name in INDEX_FILES)
