"""`page4d export-model`: a network as ONNX or torch.export program, for programs without this package."""

from __future__ import annotations

import argparse

from page4d.cli.values import WEIGHTS_HELP, named_path, weights, whole
from page4d.schema import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d export-model`."""
    add = parser.add_argument
    add("weights", type=weights, help=WEIGHTS_HELP)
    add(
        "--out", type=named_path, required=True, help="file to write: .onnx (needs page4d[onnx]) or .pt2 (torch.export)"
    )
    add("--overwrite", action="store_true", help="replace an earlier file of that name")
    add("--height", type=whole(), help="height of the pictures in px (default: the network's size)")
    add("--width", type=whole(), help="width of the pictures in px (default: the network's size)")
    add("--mask", action=argparse.BooleanOptionalAction, default=None, help="with or without the mask")
    parser.epilog = (
        "Input: images, float32 (1, frames, 3, height, width) in [0, 1], two or more frames; the size is fixed. "
        "Tracing takes about a minute, ONNX a few more."
    )


def run(args: argparse.Namespace) -> int:
    """Load, trace and write; 0 when the file stands."""
    if args.out.exists() and not (args.overwrite and args.out.is_file()):
        raise UserError(f"{args.out} exists; choose another --out, or pass --overwrite to replace a file")
    from page4d.cli.outfolder import check_place
    from page4d.model import PAGE4D
    from page4d.model.exported import check_target, save_exported

    check_target(args.out)
    check_place(args.out.parent, "the folder of --out")
    model = PAGE4D.from_pretrained(args.weights, mask=args.mask)
    height, width = (side or model.config.img_size for side in (args.height, args.width))
    patch = model.config.patch_size
    if height % patch or width % patch:
        raise UserError(f"{height} x {width} px, expected sides that are multiples of the network's patch size {patch}")
    print(f"tracing {args.weights} at {height} x {width} px", flush=True)
    names = save_exported(model, args.out, height, width)
    size = sum(file.stat().st_size for file in args.out.parent.glob(f"{args.out.name}*"))
    print(f"{args.out}: {size / 1e6:.1f} MB; images (1, frames, 3, {height}, {width}) -> {', '.join(names)}")
    return 0
