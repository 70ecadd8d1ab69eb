"""`page4d export`: a prediction in the formats of other tools."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from page4d.cli.prediction_input import add_prediction_arguments
from page4d.cli.values import OUT_HELP, named_path, whole
from page4d.places import no_file
from page4d.result.formats import WRITERS
from page4d.schema import Prediction, UserError, notice

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MARKER = "export.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d export`."""
    add_prediction_arguments(parser)
    add = parser.add_argument
    add("--format", nargs="+", required=True, choices=WRITERS, metavar="FORMAT", help=", ".join(WRITERS))
    add("--out", type=named_path, required=True, help=OUT_HELP)
    add("--overwrite", action="store_true", help="replace an earlier export in --out")
    add(
        "--size",
        choices=("original", "input"),
        help="size of K, depth, masks (default: original; input for COLMAP models of a video without --images)",
    )
    add(
        "--images",
        type=named_path,
        help="folder of the original images, or the film: copied beside COLMAP's and nerfstudio's cameras",
    )
    add("--camera", choices=("each", "single"), default="each", help="one shared camera (the median), or each its own")
    add(
        "--refine",
        choices=("poses", "cameras"),
        help="bundle adjustment first (extra: colmap): of the poses, or of poses and focal lengths",
    )
    add(
        "--up",
        choices=("opencv", "y", "z"),
        default="opencv",
        help="axes of PLY files: OpenCV's (y down), y up or z up",
    )
    add("--max-points", type=whole(), default=500_000, help="points in point files (default: %(default)s)")
    add("--points-from", choices=("depth", "points"), default="depth", help="lifted depth or the point head")
    add("--keep-moving", action="store_true", help="keep moving points in formats for still scenes")


def run(args: argparse.Namespace) -> int:
    """Write all formats into one new folder; 0 when it stands."""
    import json

    from page4d.cli.outfolder import check_out, whole_folder
    from page4d.cli.prediction_input import check_prediction, moving_of, read_prediction

    check_out(args.out, args.overwrite, MARKER)
    if args.size == "input" and args.images is not None:
        raise UserError(f"--size input writes the network's own pictures and --images {args.images} others; give one")
    with_pictures = [name for name in args.format if WRITERS[name].reads_pictures]
    if args.images is not None:
        _check_images(args.images, with_pictures)
    check_prediction(args)
    # torch comes with them, so they wait until there is something to write.
    from page4d.result.cloud import CloudOptions, unit_of
    from page4d.result.exports import ExportOptions, export

    cloud = CloudOptions(args.points_from, args.drop, args.max_points)
    prediction = read_prediction(args)
    moving = moving_of(prediction, args.moving)
    if args.refine:
        prediction = _refine(prediction, moving, args)
    lacks_pictures = bool(with_pictures) and args.images is None
    own_pictures = lacks_pictures and not have_files(prediction)
    size: Literal["original", "input"] = args.size or ("input" if own_pictures else "original")
    options = ExportOptions(
        size=size,
        cloud=cloud,
        moving=moving,
        keep_moving=args.keep_moving,
        images=args.images,
        camera=args.camera,
        up=args.up,
    )
    with whole_folder(args.out, args.overwrite, MARKER) as folder:
        written = export(prediction, folder, list(dict.fromkeys(args.format)), options)
        listing = {name: _below(folder, paths) for name, paths in written.items()}
        record = {"source": str(args.prediction), "unit": unit_of(prediction), "size": size, "files": listing}
        text = json.dumps(record | {"scale": prediction.meta.get("scale")}, indent=1)
        (folder / MARKER).write_text(text, encoding="utf-8")
    for name, paths in listing.items():
        more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        print(f"{name}: {args.out / paths[0]}{more}")
    if lacks_pictures and size == "original":
        places = sorted({str(args.out / WRITERS[name].pictures) for name in with_pictures})
        print(f"put the original images into {' and '.join(places)} (or pass --images FOLDER, or --size input)")
    elif lacks_pictures and args.size is None:
        print("all at the network's size: frames of a video have no image files (or pass --images FOLDER with them)")
    return 0


def _check_images(images: Path, with_pictures: Sequence[str]) -> None:
    """Refuse pictures that are not there, and tell of some that no format takes.

    Raises:  UserError.
    """
    if not images.is_dir() and not images.is_file():
        raise UserError(f"--images: {no_file(images)}; expected a folder of the original images, or the film")
    if not with_pictures:
        takers = ", ".join(name for name, place in WRITERS.items() if place.reads_pictures)
        notice(f"--images {images} is not used; of the formats only {takers} take pictures")


def _refine(prediction: Prediction, moving: NDArray[np.bool_] | None, args: argparse.Namespace) -> Prediction:
    from page4d.result.bundle_adjustment import refined

    better, about = refined(prediction, moving=moving, camera=args.camera, focal=args.refine == "cameras")
    print(about.words())
    return better


def _below(folder: Path, paths: Sequence[Path]) -> list[str]:
    return [str(path.relative_to(folder)) for path in paths]


def have_files(prediction: Prediction) -> bool:
    """Whether the frames are named like image files; those of a video or a tensor are not."""
    return all(Path(name).suffix for name in prediction.frame_names)
