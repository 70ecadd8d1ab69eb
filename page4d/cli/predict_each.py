"""`page4d predict --each`: many clips in one start, a folder each; weights are loaded once."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from page4d.processes import process, wait_for_others
from page4d.schema import UserError


def run_each(args: argparse.Namespace) -> int:
    """Predict each input into a folder of its own in --out; 0 when all are there.

    Note:    what is there already is left alone without --overwrite, so that a run that was cut off goes on; a clip
             that fails is named, and the next one is taken.
    """
    try:
        _predict_each(args)
    except Exception:
        wait_for_others()
        raise
    wait_for_others()
    return 0


def _predict_each(args: argparse.Namespace) -> None:
    from page4d.cli.outfolder import LISTING, resolved
    from page4d.cli.predict import check_words, load_network, predict_one

    check_words(args)
    if resolved(args.out).exists() and not args.out.is_dir():
        raise UserError(f"{args.out} is a file; with --each, --out names the folder for the clips' folders")
    clips = of_this_process(list(zip(args.inputs, clip_folders(args.inputs, args.out), strict=True)), args.shard)
    _tell_whose_is_which(clips)
    wanted = [clip for clip in clips if args.overwrite or not (clip[1] / LISTING).is_file()]
    for clip in clips:
        if clip not in wanted:
            _check_same(clip[1], args)
    if len(wanted) < len(clips):
        print(f"{len(clips) - len(wanted)} of {len(clips)} clips are there already")
    if not wanted:
        return
    network = load_network(args)
    failed = []
    for source, folder in wanted:
        try:
            predict_one(argparse.Namespace(**vars(args) | {"inputs": [source], "out": folder}), network)
        except Exception as error:  # of any kind: the other clips are not to blame for it
            _tell_failure(source, error)
            failed.append(str(source))
    print(f"{len(wanted) - len(failed)} of {len(wanted)} clips predicted")
    if failed:
        others = "; the others are written" if len(failed) < len(wanted) else ""
        raise UserError(f"{len(failed)} of {len(wanted)} clips failed: {', '.join(failed)}{others}")


def _tell_failure(source: Path, error: Exception) -> None:
    """What went wrong with a clip: in words where it was foreseen, else also where in the program."""
    words = str(error)
    if not isinstance(error, UserError | OSError):
        traceback.print_exception(error)
        words = f"{type(error).__name__}: {error}"
    print(f"page4d: error: {source}: {words}", file=sys.stderr, flush=True)


def _check_same(folder: Path, args: argparse.Namespace) -> None:
    """Refuse a clip that is there and was asked for otherwise: it would be taken for one of this run.

    Raises:  UserError.
    """
    from page4d.cli.predict import asked
    from page4d.cli.prediction_input import stored_path
    from page4d.stored import StoredPrediction

    before = StoredPrediction.open(stored_path(folder)).about
    for name, now in asked(args).items():
        if before.get(name) != now:
            raise UserError(
                f"{folder} was made with {name} {before.get(name)!r}, now it is {now!r}; choose another --out, or pass "
                "--overwrite to make all anew"
            )


def _tell_whose_is_which(clips: Sequence[tuple[Path, Path]]) -> None:
    """Say where the results of inputs go that have one name, for the numbers behind it say nothing."""
    stems = [_stem(source) for source, _ in clips]
    for (source, folder), stem in zip(clips, stems, strict=True):
        if stems.count(stem) > 1 or folder.name != stem:
            print(f"{source} goes to {folder}", flush=True)


def _stem(source: Path) -> str:
    return Path(os.path.realpath(source)).stem or "clip"


def clip_folders(inputs: Sequence[Path], out: Path) -> list[Path]:
    """A folder for each input, named after it; numbered where two would share one, whoever else takes part."""
    folders: list[Path] = []
    for source in inputs:
        stem = _stem(source)
        names = [stem, *(f"{stem}_{number}" for number in range(2, len(inputs) + 1))]
        folders.append(next(out / name for name in names if out / name not in folders))
    return folders


def of_this_process(clips: list[tuple[Path, Path]], shard: tuple[int, int] | None) -> list[tuple[Path, Path]]:
    """The clips of a shard I/N, and of these the ones of this process where a launcher started several."""
    number, count = shard or (1, 1)
    mine = clips[number - 1 :: count]
    rank, world = process()
    return mine[rank::world]
