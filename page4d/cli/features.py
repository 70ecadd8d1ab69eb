"""`page4d features`: the paper's Figure 2, feature maps of every layer and frame as pictures."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from page4d.schema import UserError

if TYPE_CHECKING:
    from page4d.io.images import LoadedImages
    from page4d.model import PAGE4D

MARKER = "features.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d features`."""
    add = parser.add_argument
    add(
        "--images", nargs="+", type=Path, required=True, metavar="FILE|FOLDER|VIDEO", help="images, a folder or a video"
    )
    add("--weights", default="tiny", help="tiny, nomask, mask, vggt, owner/name[/file], a file or a run's folder")
    add("--out", type=Path, required=True, help="folder to make; it appears only when everything in it is written")
    add("--overwrite", action="store_true", help="replace earlier feature maps in --out")
    add("--device", default=None, help="cpu, cuda or mps (default: cuda where there is one, else cpu)")
    add("--mask", action=argparse.BooleanOptionalAction, default=None, help="run with or without the mask")
    add("--initial-num", "--initial_num", type=int, help="number of the first frame, of a numbered folder or a video")
    add("--gap", type=int, help="take every so many-th frame from there (default: 1)")
    add(
        "--num-frames",
        "--num_frames",
        type=int,
        help="at most so many frames (default: 4 with --initial-num, else all)",
    )


def run(args: argparse.Namespace) -> int:
    """Write all pictures; 0 when the folder stands."""
    import json

    import torch

    from page4d.cli.outfolder import check_out, whole_folder
    from page4d.features import feature_maps
    from page4d.inference import autocast_for, provenance, resolve_device
    from page4d.model import PAGE4D
    from page4d.viz.feature_maps import write_feature_pictures

    check_out(args.out, args.overwrite, MARKER)
    device = resolve_device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    options = {} if args.mask is None else {"mask": args.mask}
    model = PAGE4D.from_pretrained(args.weights, device=device, **options).eval()
    frames = load_chosen(args, model)
    with autocast_for(device):
        maps = feature_maps(model, frames.images)
    names = [Path(name).stem for name in frames.names]
    with whole_folder(args.out, args.overwrite, MARKER) as folder:
        written = write_feature_pictures(maps.frame, maps.global_, names, folder)
        record = {"weights": str(args.weights), "frames": names, "layers": maps.depth, **provenance(model, device)}
        (folder / MARKER).write_text(json.dumps(record, indent=1, default=str))
    print(
        f"{args.out}: {len(written)} pictures, {len(names)} frames x {maps.depth} layers x frame and global attention"
    )
    return 0


def load_chosen(args: argparse.Namespace, model: PAGE4D) -> LoadedImages:
    """The frames that `--initial-num`, `--gap` and `--num-frames` choose, at the network's size."""
    from page4d.io.images import list_images, load_images
    from page4d.io.video import FrameOptions, is_video, load_frames

    size, patch = model.config.img_size, model.config.patch_size
    gap = 1 if args.gap is None else args.gap
    if gap < 1 or (args.num_frames is not None and args.num_frames < 1):
        raise UserError(f"--gap {gap} and --num-frames {args.num_frames} must be 1 or more")
    if args.initial_num is None and args.gap is None:
        return load_frames(args.images, FrameOptions("crop", size, patch, None, args.num_frames))
    first, count = args.initial_num or 0, args.num_frames or (4 if args.initial_num is not None else None)
    if len(args.images) == 1 and is_video(args.images[0]):
        from page4d.io.images import collate, fit_image
        from page4d.io.video import read_video

        wanted = [f for f in read_video(args.images[0]) if f.number >= first and (f.number - first) % gap == 0][:count]
        if not wanted:
            raise UserError(f"{args.images[0]} has no frame {first}")
        stem = args.images[0].stem
        fitted = [fit_image(frame.image, "crop", size, patch) for frame in wanted]
        return collate(fitted, [f"{stem}_{f.number:06d}" for f in wanted], [f.time_s for f in wanted])
    files = list_images(args.images[0]) if len(args.images) == 1 and args.images[0].is_dir() else list(args.images)
    chosen = numbered(files, args.initial_num, gap, count)
    return load_images(chosen, "crop", size, patch)


def numbered(files: list[Path], first: int | None, gap: int, count: int | None) -> list[Path]:
    """Files whose number is first, first + gap, ...; without `first` every gap-th file in order.

    Raises:  UserError if a wanted number does not exist or exists twice.
    """
    if first is None:
        return files[::gap][:count]
    from page4d.io.trajectories import last_number

    by_number: dict[int, Path] = {}
    for path in files:
        number = last_number(path.stem) if any(c.isdigit() for c in path.stem) else -1
        if number in by_number and number >= 0:
            raise UserError(f"{path.name} and {by_number[number].name} have one number; name the images one by one")
        by_number[int(number)] = path
    chosen: list[Path] = []
    number = first
    while number in by_number and (count is None or len(chosen) < count):
        chosen.append(by_number[number])
        number += gap
    if not chosen:
        known = sorted(n for n in by_number if n >= 0)
        span = f"{known[0]} to {known[-1]}" if known else "none"
        raise UserError(f"no image has the number {first}; numbers found: {span}")
    return chosen
