"""`page4d prepare tum|bonn|kubric|kubric-tracks|synthetic`: raw downloads to benchmark folders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from page4d.cli.values import named_path, whole

if TYPE_CHECKING:
    from page4d.prepare.plans import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="tum|bonn|kubric|kubric-tracks|synthetic")
    _tum(kinds.add_parser("tum", help="TUM RGB-D: rgb_90, depth_90, groundtruth_90.txt with the public selection"))
    _bonn(kinds.add_parser("bonn", help="Bonn RGB-D Dynamic: rgb_110, depth_110, groundtruth_110.txt"))
    _kubric(kinds.add_parser("kubric", help="MOVi TFRecords to the folders of a Kubric worker, without TensorFlow"))
    _tracks(kinds.add_parser("kubric-tracks", help="Kubric / MOVi scenes: tracks.npy and track_masks.npy"))
    _synthetic(kinds.add_parser("synthetic", help="scenes of the synthetic world as TUM RGB-D downloads"))


def run(args: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], int] = args.prepare
    return command(args)


def _source_and_out(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("source", type=named_path, metavar="SRC", help=what)
    parser.add_argument(
        "--out", type=named_path, metavar="DST", help="write DST/<sequence>/ (default: beside the source)"
    )


def _choice(parser: argparse.ArgumentParser, frames: int) -> None:
    parser.add_argument("--frames", type=whole(), default=frames, help="frames to keep (default: %(default)s)")
    parser.add_argument("--allow-fewer", action="store_true", help="accept sequences with fewer frames than asked")
    parser.add_argument("--tolerant", action="store_true", help="accept stamps that repeat or go back in time")


def _tum(parser: argparse.ArgumentParser) -> None:
    _source_and_out(parser, "a sequence, or the folder that holds several")
    _choice(parser, frames=90)
    parser.add_argument("--stride", type=whole(), default=3, help="every n-th matched frame (default: %(default)s)")
    parser.set_defaults(prepare=_prepare_tum)


def _prepare_tum(args: argparse.Namespace) -> int:
    from page4d.prepare.tum import TUMPlanOptions, plan_tum, tum_sequences

    options = TUMPlanOptions(args.frames, args.stride, allow_fewer=args.allow_fewer, tolerant=args.tolerant)
    return _write_all(plan_tum(s, _target(s, args.out), options) for s in tum_sequences(args.source))


def _bonn(parser: argparse.ArgumentParser) -> None:
    _source_and_out(parser, "a sequence, or the folder that holds several")
    _choice(parser, frames=110)
    parser.add_argument("--first", type=whole(0), default=30, help="first colour image, from 0 (default: %(default)s)")
    parser.add_argument(
        "--protocol",
        choices=("public", "time"),
        default="public",
        help="pair depth and poses by position, as published numbers do, or by time stamp (default: %(default)s)",
    )
    parser.set_defaults(prepare=_prepare_bonn)


def _prepare_bonn(args: argparse.Namespace) -> int:
    from page4d.prepare.bonn import BonnPlanOptions, bonn_sequences, plan_bonn

    options = BonnPlanOptions(
        args.protocol, args.first, args.frames, allow_fewer=args.allow_fewer, tolerant=args.tolerant
    )
    return _write_all(plan_bonn(s, _target(s, args.out), options) for s in bonn_sequences(args.source))


def _kubric(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=named_path, metavar="SRC", help="a .tfrecord file, or a folder of them")
    parser.add_argument("--out", type=named_path, metavar="DST", required=True, help="write DST/<split>_<video>/")
    parser.add_argument("--first", type=whole(0), default=0, help="number of the first video (default: %(default)s)")
    parser.add_argument("--scenes", type=whole(), help="number of videos (default: all)")
    parser.set_defaults(prepare=_prepare_kubric)


def _prepare_kubric(args: argparse.Namespace) -> int:
    from page4d.prepare.kubric_tfrecord import plan_record, read_scenes, scene_folder
    from page4d.prepare.plans import write_plan

    for record in read_scenes(args.source, args.first, args.scenes):
        plan = plan_record(record, args.out)
        written = f"{len(plan.files)} files written" if plan is not None and write_plan(plan) else "already complete"
        print(f"{scene_folder(record, args.out)}: {written}")
    return 0


def _tracks(parser: argparse.ArgumentParser) -> None:
    _source_and_out(parser, "a scene folder, or the folder that holds several")
    parser.add_argument("--step", type=whole(), default=8, help="pixels between tracks (default: %(default)s)")
    parser.add_argument("--offset", type=whole(0), default=4, help="first pixel of the grid (default: %(default)s)")
    parser.set_defaults(prepare=_prepare_tracks)


def _prepare_tracks(args: argparse.Namespace) -> int:
    from page4d.prepare.kubric_tracks import TrackOptions, plan_scene, scenes

    options = TrackOptions(args.step, args.offset)
    return _write_all((plan_scene(s, _target(s, args.out), options) for s in scenes(args.source)), "scene")


def _synthetic(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SPLIT", help="static-train, dynamic-train, dynamic-val or dynamic-test")
    parser.add_argument("--out", type=named_path, metavar="DST", required=True, help="write DST/<sequence>/")
    parser.add_argument("--scenes", type=whole(), default=4, help="number of sequences (default: %(default)s)")
    parser.add_argument("--first", type=whole(0), default=0, help="number of the first scene (default: %(default)s)")
    parser.add_argument("--frames", type=whole(), default=90, help="frames of each (default: %(default)s)")
    parser.add_argument("--height", type=whole(), default=240, help="in pixels (default: %(default)s)")
    parser.add_argument("--width", type=whole(), default=320, help="in pixels (default: %(default)s)")
    parser.set_defaults(prepare=_prepare_synthetic)


def _prepare_synthetic(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from page4d.prepare.plans import write_plan
    from page4d.prepare.synthetic import SyntheticOptions, plan_scenes

    names = ("scenes", "first", "frames", "height", "width")
    options = SyntheticOptions(split=args.source, **{name: getattr(args, name) for name in names})
    scenes = plan_scenes(args.out, options)
    for folder, plan in tqdm(scenes, "rendering", args.scenes, unit="scene", disable=None, file=sys.stderr):
        changed = plan is not None and write_plan(plan)
        tqdm.write(f"{folder}: {args.frames} frames {'written' if changed else 'already complete'}")
    return 0


def _target(sequence: Path, out: Path | None) -> Path:
    return sequence if out is None else out / sequence.resolve().name


def _write_all(plans: Iterable[Plan], unit: str = "sequence") -> int:
    """Plan every sequence before the first is written, so that one broken download leaves all others untouched."""
    from tqdm import tqdm

    from page4d.prepare.plans import write_plan

    for plan in list(tqdm(plans, desc="reading", unit=unit, disable=None, file=sys.stderr, leave=False)):
        with tqdm(
            total=len(plan.files), desc=plan.manifest.sequence, unit="file", disable=None, file=sys.stderr
        ) as bar:
            changed = write_plan(plan, lambda bar=bar: bar.update() and None)  # type: ignore[misc]
        print(f"{plan.folder}: {plan.what} {'written' if changed else 'already complete'} ({plan.manifest_name})")
        for note in plan.notes:
            print(f"  {note}")
    return 0
