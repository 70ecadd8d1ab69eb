"""Scores of small networks on real pictures, for their model cards and the book.

Run:     python benchmarks/real_pictures.py [--rgbd FOLDER] [--cards] [name ...]
Needs:   scikit-image for the stereo pair; --rgbd names a folder of RGB-D frames (`rgbd_frames`; focal lengths 518 and
         519 px, centre 325.5, 253.5), which the project does not ship.
Note:    writes book/results/real/<name>.json; a clip that is not at hand keeps what is stored of it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from page4d.evaluate.cards import update_real_part
from page4d.evaluate.real_pictures import Original, real_rows, rgbd_frames, stereo_pair
from page4d.io.weight_files import BUILTIN_FOLDER
from page4d.model import PAGE4D
from page4d.schema import atomic_write
from page4d.version import provenance

RESULTS = Path("book/results/real")
NAMES = ("vggt-tiny", "page4d-tiny", "page4d-tiny-mask")
TOLD = {
    "motorcycle": "stereo pair of the Middlebury 2014 data as scikit-image carries it, depth of the left picture; both "
    "cameras look the same way, so a still camera's rotation is right",
    "rgbd5": "five RGB-D frames of a room with their poses, not shipped",
}
BEDROOM = "bedroom: eight photographs of two dancers on a bed, not shipped, of which nothing is known; only looked at."
SEEN = {
    "vggt-tiny": "Both dancers stand before the wall in depth, but the front one's upper body and arms sink into it, "
    "and outlines are soft. The geometric mask is brightest on the dancers, arms included, and glows on curtain, wall "
    "or bed in some frames.",
    "page4d-tiny": "Both dancers stand before the wall in depth, but the front one's upper body and arms sink into it "
    "in most frames, and the other grows together with bed and pillows. The geometric mask is brightest on the "
    "dancers, arms included, and in some frames on still pillows beside them.",
    "page4d-tiny-mask": "Both dancers stand before the wall in depth, but the front one's upper body and arms sink "
    "into it in most frames, and the other grows together with bed and pillows. The geometric mask is brightest on "
    "the dancers, arms included, and in some frames on still pillows beside them. The network's own mask marks the "
    "dancers patch by patch, and in every frame as strongly the furniture at the lower right, which stands still.",
}
"""What the depth maps, geometric masks and masks of the networks look like on pictures without a truth."""


def main() -> None:
    """Score, store, and write the cards if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rgbd", type=Path)
    parser.add_argument("--cards", action="store_true")
    parser.add_argument("names", nargs="*", default=list(NAMES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = [stereo_pair()]
    if args.rgbd is not None:
        clips.append(rgbd_frames(args.rgbd, (518.0, 519.0), (325.5, 253.5)))
    for name in args.names:
        document = scored(name, clips)
        with atomic_write(RESULTS / f"{name}.json", "w") as stream:
            json.dump(document, stream, indent=1)
        if args.cards:
            update_real_part(BUILTIN_FOLDER / f"{name}.md", document)
        print(name, json.dumps(document["clips"], indent=1), flush=True)


def scored(name: str, clips: list[Original]) -> dict[str, Any]:
    """The document of one network: new scores, and stored ones of clips that are not at hand."""
    path = RESULTS / f"{name}.json"
    before = json.loads(path.read_text())["clips"] if path.is_file() else {}
    model = PAGE4D.from_pretrained(name)
    found = before | {clip.name: real_rows(model, clip) for clip in clips}
    told = {clip: TOLD[clip] for clip in found}
    seen = [f"{BEDROOM} {SEEN[name]}"] if name in SEEN else []
    return {"format": 1, "label": name, "clips": found, "told": told, "seen": seen, "provenance": provenance()}


if __name__ == "__main__":
    main()
