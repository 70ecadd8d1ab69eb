"""`page4d features`: the paper's Figure 2, feature maps of every layer and frame as pictures."""

from __future__ import annotations

import argparse
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from page4d.cli.frame_input import INPUTS, INPUTS_HELP, add_reading_arguments
from page4d.cli.values import DEVICE_HELP, OUT_HELP, WEIGHTS_HELP, device, named_path, weights, whole
from page4d.counted import counted
from page4d.schema import UserError

if TYPE_CHECKING:
    from page4d.io.frames import FrameOptions
    from page4d.io.images import LoadedImages
    from page4d.model import PAGE4D

MARKER = "features.json"
DEFAULT_FRAMES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d features`."""
    add = parser.add_argument
    add("--images", nargs="+", type=named_path, required=True, metavar=INPUTS, help=INPUTS_HELP)
    add_reading_arguments(parser)
    add("--weights", type=weights, default="tiny", help=WEIGHTS_HELP)
    add("--out", type=named_path, required=True, help=OUT_HELP)
    add("--overwrite", action="store_true", help="replace earlier feature maps in --out")
    add("--device", type=device, default=None, help=DEVICE_HELP)
    add("--mask", action=argparse.BooleanOptionalAction, default=None, help="run with or without the mask")
    add("--initial-num", "--initial_num", type=whole(0), help="number of the first frame in a folder or video")
    add("--gap", type=whole(), help="take every so many-th frame from there (default: 1)")
    add(
        "--num-frames",
        "--num_frames",
        type=whole(),
        help=f"at most so many frames (default: {DEFAULT_FRAMES} with --initial-num, else all)",
    )


def run(args: argparse.Namespace) -> int:
    """Write all pictures; 0 when the folder stands."""
    import json

    from page4d.cli.outfolder import check_out, whole_folder

    check_out(args.out, args.overwrite, MARKER)
    # torch comes with them, so they wait until there is something to draw.
    from page4d.features import feature_maps
    from page4d.inference import model_provenance, products_dtype, resolve_device
    from page4d.io.safe_names import safe_stems
    from page4d.model import PAGE4D
    from page4d.model.precision import products_in
    from page4d.viz.feature_maps import write_feature_pictures

    chosen_files(args)  # a typing mistake must not cost the download of weights
    device = resolve_device(args.device)
    model = PAGE4D.from_pretrained(args.weights, device=device, mask=args.mask)
    frames = load_chosen(args, model)
    with products_in(products_dtype(model, device), device.type):
        maps = feature_maps(model, frames.images)
    names = safe_stems(frames.names)
    with whole_folder(args.out, args.overwrite, MARKER) as folder:
        written = write_feature_pictures(maps.frame, maps.global_, names, folder)
        record = {
            "weights": str(args.weights),
            "frames": names,
            "layers": maps.depth,
            **model_provenance(model, device),
        }
        (folder / MARKER).write_text(json.dumps(record, indent=1, default=str), encoding="utf-8")
    pictures, of_frames = counted(len(written), "picture"), counted(len(names), "frame")
    print(f"{args.out}: {pictures}, {of_frames} x {maps.depth} layers x frame and global attention")
    return 0


def load_chosen(args: argparse.Namespace, model: PAGE4D) -> LoadedImages:
    """The frames that `--initial-num`, `--gap` and `--num-frames` choose, at the network's size."""
    from page4d.io.frames import FrameOptions, load_frames
    from page4d.io.inputs import is_film

    # A feature map has a value for every patch, so nothing is left out where a picture is transparent.
    options = FrameOptions(
        mode=args.mode,
        size=model.config.img_size,
        patch=model.config.patch_size,
        max_frames=_count(args),
        pages=args.pages,
        bits=args.bits,
        alpha=False,
    )
    files = chosen_files(args)
    if is_film(files[0]) and not (args.initial_num is None and args.gap is None):
        return _frames_of_video(files[0], args, options)
    return load_frames(files, options)


def chosen_files(args: argparse.Namespace) -> list[Path]:
    """The video, or the images that the options choose; nothing is opened.

    Raises:  UserError for what does not exist and for numbers that no image has.
    """
    from page4d.io.inputs import find_inputs, is_film

    files = [Path(str(source)) for source in find_inputs(args.images)]
    if is_film(files[0]):
        return files
    if args.initial_num is None and args.gap is None:
        return files[: args.num_frames]
    return numbered(files, args.initial_num, args.gap or 1, _count(args))


def _count(args: argparse.Namespace) -> int | None:
    """At most so many frames; None = all."""
    count: int | None = args.num_frames
    return DEFAULT_FRAMES if count is None and args.initial_num is not None else count


def _frames_of_video(path: Path, args: argparse.Namespace, options: FrameOptions) -> LoadedImages:
    """Frame `--initial-num` and every gap-th after it; decoding ends with the last one, each is fitted at once."""
    from page4d.io.fitting import fit_image
    from page4d.io.images import collate
    from page4d.io.video import read_video

    first, gap = args.initial_num or 0, args.gap or 1
    wanted = (f for f in read_video(path) if f.number >= first and (f.number - first) % gap == 0)
    fitted, names, times = [], [], []
    for frame in islice(wanted, options.max_frames):
        fitted.append(fit_image(frame.image, options.mode, options.size, options.patch))
        names.append(f"{path.stem}_{frame.number:06d}")
        times.append(frame.time_s)
    if not fitted:
        raise UserError(f"{path} has no frame {first}; numbers start at 0")
    return collate(fitted, names, times)


def numbered(files: list[Path], first: int | None, gap: int, count: int | None) -> list[Path]:
    """Files whose number is first, first + gap, ...; without `first` every gap-th file in order.

    Raises:  UserError if a wanted number exists twice, or does not exist although higher ones do.
    """
    if first is None:
        return files[::gap][:count]
    from page4d.io.names import frame_number

    by_number: dict[int, Path] = {}
    for path in files:
        number = frame_number(path) if any(c.isdigit() for c in path.stem) else -1
        if number in by_number and number >= 0:
            raise UserError(f"{path.name} and {by_number[number].name} have one number; name the images one by one")
        by_number[int(number)] = path
    chosen: list[Path] = []
    number = first
    while number in by_number and (count is None or len(chosen) < count):
        chosen.append(by_number[number])
        number += gap
    known = sorted(n for n in by_number if n >= 0)
    if not chosen or (number < known[-1] and (count is None or len(chosen) < count)):
        span = f"{known[0]} to {known[-1]}" if known else "none"
        raise UserError(
            f"no image has the number {number}; numbers found: {span}. Choose another --gap or first number"
        )
    return chosen
