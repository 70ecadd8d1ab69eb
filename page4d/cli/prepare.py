"""`page4d prepare tum|bonn|kubric-tracks|synthetic`: raw downloads to benchmark folders."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from page4d.prepare.publish import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="tum|bonn|kubric-tracks|synthetic")
    _tum(kinds.add_parser("tum", help="TUM RGB-D: rgb_90, depth_90, groundtruth_90.txt with the public selection"))
    _bonn(kinds.add_parser("bonn", help="Bonn RGB-D Dynamic: rgb_110, depth_110, groundtruth_110.txt"))


def run(args: argparse.Namespace) -> int:
    command: Callable[[argparse.Namespace], int] = args.prepare
    return command(args)


def _source_and_out(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("source", type=Path, metavar="SRC", help=what)
    parser.add_argument("--out", type=Path, metavar="DST", help="write DST/<sequence>/ (default: beside the source)")


def _choice(parser: argparse.ArgumentParser, frames: int) -> None:
    parser.add_argument("--frames", type=_positive, default=frames, help="frames to keep (default: %(default)s)")
    parser.add_argument("--allow-fewer", action="store_true", help="accept sequences with fewer frames than asked")
    parser.add_argument("--tolerant", action="store_true", help="accept stamps that repeat or go back in time")


def _tum(parser: argparse.ArgumentParser) -> None:
    _source_and_out(parser, "a sequence, or the folder that holds several")
    _choice(parser, frames=90)
    parser.add_argument("--stride", type=_positive, default=3, help="every n-th matched frame (default: %(default)s)")
    parser.set_defaults(prepare=_prepare_tum)


def _prepare_tum(args: argparse.Namespace) -> int:
    from page4d.prepare.tum import TumOptions, plan_sequence, sequences

    options = TumOptions(args.frames, args.stride, allow_fewer=args.allow_fewer, tolerant=args.tolerant)
    return _publish_all(plan_sequence(s, _target(s, args.out), options) for s in sequences(args.source))


def _bonn(parser: argparse.ArgumentParser) -> None:
    _source_and_out(parser, "a sequence, or the folder that holds several")
    _choice(parser, frames=110)
    parser.add_argument("--first", type=int, default=30, help="first colour image, from 0 (default: %(default)s)")
    parser.add_argument(
        "--protocol",
        choices=("public", "time"),
        default="public",
        help="pair depth and poses by position, as published numbers do, or by time stamp (default: %(default)s)",
    )
    parser.set_defaults(prepare=_prepare_bonn)


def _prepare_bonn(args: argparse.Namespace) -> int:
    from page4d.prepare.bonn import BonnOptions, plan_sequence, sequences

    options = BonnOptions(args.protocol, args.first, args.frames, allow_fewer=args.allow_fewer, tolerant=args.tolerant)
    return _publish_all(plan_sequence(s, _target(s, args.out), options) for s in sequences(args.source))


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _target(sequence: Path, out: Path | None) -> Path:
    return sequence if out is None else out / sequence.resolve().name


def _publish_all(plans: Iterable[Plan]) -> int:
    """Plan every sequence before the first is written, so that one broken download leaves all others untouched."""
    from tqdm import tqdm

    from page4d.prepare.publish import publish

    for plan in list(plans):
        with tqdm(
            total=len(plan.files), desc=plan.manifest.sequence, unit="file", disable=None, file=sys.stderr
        ) as bar:
            changed = publish(plan, lambda bar=bar: bar.update() and None)  # type: ignore[misc]
        state = "written" if changed else "already complete"
        print(f"{plan.folder}: {len(plan.manifest.frames)} frames {state} ({plan.manifest_name})")
        for note in plan.notes:
            print(f"  {note}")
    return 0
