"""TUM RGB-D sequences to the benchmark folders `rgb_90`, `depth_90` and `groundtruth_90.txt`.

The selection is the public one (MonST3R's, which PAGE-4D's loader expects): RGB and pose stamps paired closest
first within 20 ms, every third pair, the first 90; depth is the nearest within 40 ms of the RGB stamp. Unlike the
public script a frame without depth stays where it is: the manifest pairs the files, not their order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from page4d.data.association import IndexRow, associate, nearest_within, read_index
from page4d.prepare.frames import Chosen, Target, plan_of
from page4d.prepare.images import check_colour, check_depth
from page4d.prepare.plans import Plan
from page4d.schema import UserError

INDEX_FILES = ("rgb.txt", "depth.txt", "groundtruth.txt")


@dataclass(frozen=True)
class TumOptions:
    """How frames are chosen; the defaults are the public benchmark's. Times in seconds."""

    frames: int = 90
    stride: int = 3
    max_pose_difference_s: float = 0.02
    max_depth_difference_s: float = 0.04
    allow_fewer: bool = False
    tolerant: bool = False


@dataclass(frozen=True)
class Triple:
    """An RGB entry with the pose and the depth map chosen for it."""

    image: IndexRow
    pose: IndexRow
    depth: IndexRow | None


def select(images: list[IndexRow], depths: list[IndexRow], poses: list[IndexRow], options: TumOptions) -> list[Triple]:
    """Choose the frames of the benchmark from the three index files, in time order."""
    pairs = associate([e.stamp_s for e in images], [e.stamp_s for e in poses], options.max_pose_difference_s)
    depth_stamps = [e.stamp_s for e in depths]
    triples = []
    for i, j in pairs[:: options.stride][: options.frames]:
        nearest = nearest_within(depth_stamps, images[i].stamp_s, options.max_depth_difference_s)
        triples.append(Triple(images[i], poses[j], None if nearest is None else depths[nearest]))
    return triples


def _check_count(sequence: Path, triples: list[Triple], options: TumOptions) -> None:
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


def _check_images(sequence: Path, triples: list[Triple]) -> None:
    names: dict[str, IndexRow] = {}
    for triple in triples:
        size = check_colour(sequence / triple.image.words[0], triple.image.place)
        name = Path(triple.image.words[0]).name
        if name in names:
            raise UserError(f"{triple.image.place}: file name {name} was already used on line {names[name].line}")
        names[name] = triple.image
        if triple.depth:
            check_depth(sequence / triple.depth.words[0], triple.depth.place, size)


def plan_sequence(sequence: Path, out: Path, options: TumOptions | None = None) -> Plan:
    """Everything that preparing `sequence` will write into `out`; reads and checks all inputs, writes nothing.

    Raises:  UserError with file and line for whatever is wrong with the download, see `read_index`.
    """
    options = options or TumOptions()
    images = read_index(sequence / "rgb.txt", 1, options.tolerant)
    depths = read_index(sequence / "depth.txt", 1, options.tolerant)
    poses = read_index(sequence / "groundtruth.txt", 7, options.tolerant)
    triples = select(images, depths, poses, options)
    _check_count(sequence, triples, options)
    _check_images(sequence, triples)

    chosen = [
        Chosen(
            image=sequence / t.image.words[0],
            image_s=t.image.stamp_s,
            pose_s=t.pose.stamp_s,
            pose=" ".join(t.pose.words),
            depth=sequence / t.depth.words[0] if t.depth else None,
            depth_s=t.depth.stamp_s if t.depth else None,
        )
        for t in triples
    ]
    text = "".join(f"{one.pose_s} {one.pose}\n" for one in chosen).encode()
    missing = sum(t.depth is None for t in triples)
    notes = (f"{missing} of {len(triples)} frames have no depth map within {options.max_depth_difference_s} s",)
    target = Target("tum", sequence.resolve().name, out, options.frames)
    return plan_of(target, chosen, text, asdict(options), notes if missing else ())


def sequences(source: Path) -> Iterator[Path]:
    """The sequences at `source`: itself, or those of its children that hold an index file.

    Raises:  UserError if there is none.
    """
    if not source.is_dir():
        raise UserError(f"{source} is not a folder; give one TUM sequence or the folder that holds several")
    if any((source / name).exists() for name in INDEX_FILES):
        yield source
        return
    found = [p for p in sorted(source.iterdir()) if any((p / name).exists() for name in INDEX_FILES)]
    if not found:
        raise UserError(
            f"{source} holds no TUM sequence (a folder with {', '.join(INDEX_FILES)}); download one from "
            "https://cvg.cit.tum.de/data/datasets/rgbd-dataset/download and unpack it there"
        )
    yield from found
