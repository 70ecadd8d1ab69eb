"""`page4d download`: released weights into the hub's cache, with size and SHA-256."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from page4d.cli.values import weights
from page4d.io.checksums import sha256_of
from page4d.schema import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d download`."""
    parser.add_argument(
        "weights",
        nargs="+",
        type=weights,
        help="nomask, mask, vggt, vggt-commercial, vggt-tracker or [datasets/]owner/name[/file]",
    )
    parser.add_argument("--revision", help="branch, tag or commit of the repository")
    parser.epilog = (
        "Files go to the Hugging Face cache (HF_HOME); HF_ENDPOINT names another server, HF_HUB_OFFLINE=1 only looks "
        "into the cache. A broken connection is resumed where it stopped."
    )


def run(args: argparse.Namespace) -> int:
    """Fetch each file and print where it is, its size and its hash; 0 when all are there."""
    from page4d.io.weight_files import RELEASED, builtin_file, fetch_any, parse_hub_name

    for name in args.weights:
        if builtin_file(name) is not None:
            raise UserError(f"{name} comes with the package and needs no download; use it as --weights {name}")
    candidates = [[RELEASED[name]] if name in RELEASED else parse_hub_name(name) for name in args.weights]
    for name, files in zip(args.weights, candidates, strict=True):
        print(describe_download(name, fetch_any(files, name, revision=args.revision).path), flush=True)
    return 0


def describe_download(name: str, path: Path) -> str:
    """Four lines on a fetched file.

    Raises:  UserError if the hub says another SHA-256: the hub names its large files by their hash.
    """
    size, digest = path.stat().st_size, sha256_of(path, progress=True)
    said = path.resolve().name
    if re.fullmatch("[0-9a-f]{64}", said) and said != digest:
        raise UserError(f"{path} has SHA-256 {digest}, the hub says {said}; delete it and download again")
    return f"{name}\n  file    {path}\n  size    {size} bytes ({size / 1e9:.3f} GB)\n  sha256  {digest}"
