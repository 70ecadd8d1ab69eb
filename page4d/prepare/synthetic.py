"""Scenes of the synthetic world in the layout of a TUM RGB-D download, for trying everything without real data.

Each sequence holds rgb.txt, depth.txt, groundtruth.txt, rgb/ and depth/ as an official download does, so that
`page4d prepare tum`, `page4d prepare bonn` and evaluation scripts of other projects read it, and what no real
download has: calibration.json with the exact intrinsics, and moving/ with exact masks (255 = moving).
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from page4d.data.datasets.tum import SYNTHETIC
from page4d.data.manifest import FrameRow, Manifest
from page4d.geometry import invert, matrix_to_quaternion
from page4d.io.checksums import sha256_of
from page4d.prepare.plans import Content, Plan
from page4d.schema import Clip
from page4d.settings import Between, Count, CountOrZero, check_values
from page4d.world import render_clip, sample_scene, split_config, split_seeds

DEPTH_PER_METRE = 5000
START_S = 1_700_000_000.0
MANIFEST = "manifest_synthetic.json"


@dataclass(frozen=True)
class SyntheticOptions:
    """Which scenes of which split, and how they are filmed. The depth of a pixel farther than 13.1 m is left out."""

    split: str = "dynamic-test"
    scenes: Count = 4
    first: CountOrZero = 0
    frames: Annotated[int, Between(1, 100_000)] = 90
    height: Annotated[int, Between(1, 16_384)] = 240
    width: Annotated[int, Between(1, 16_384)] = 320
    frame_rate_hz: Annotated[float, Between(1e-3, 1e6)] = 30.0

    def __post_init__(self) -> None:
        check_values(self)

    def world_values(self) -> dict[str, Any]:
        """The knobs of the world that are set here."""
        values = {"frames": self.frames, "height": self.height, "width": self.width}
        return values | {"frame_rate": self.frame_rate_hz, "frame_stride": 1.0}


def _png(pixels: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "png", compress_level=4)
    return stream.getvalue()


def _pose_rows(clip: Clip) -> list[str]:
    """tx ty tz qx qy qz qw of the camera in the world, with the digits that float32 has."""
    world_from_cam = invert(clip.cam_from_world.double())
    quaternions = matrix_to_quaternion(world_from_cam[:, :, :3])
    rows = torch.cat((world_from_cam[:, :, 3], quaternions), -1)
    return [_digits(row) for row in rows.tolist()]


def _digits(numbers: list[float]) -> str:
    return " ".join(f"{value:.7f}" for value in numbers)


def _files(clip: Clip, stamps: list[str], options: SyntheticOptions) -> tuple[dict[str, Content], list[FrameRow]]:
    files, rows = _pictures(clip, stamps), []
    for stamp, pose in zip(stamps, _pose_rows(clip), strict=True):
        seconds, name = float(stamp), f"{stamp}.png"
        rows.append(FrameRow(f"rgb/{name}", seconds, seconds, pose, f"depth/{name}", seconds))
    for kind in ("rgb", "depth"):
        files[f"{kind}.txt"] = _text("timestamp filename", [f"{stamp} {kind}/{stamp}.png" for stamp in stamps])
    poses = [f"{stamp} {row.pose}" for stamp, row in zip(stamps, rows, strict=True)]
    files["groundtruth.txt"] = _text("timestamp tx ty tz qx qy qz qw (world from camera, OpenCV axes)", poses)
    files["calibration.json"] = _calibration(clip, options)
    return files, rows


def _pictures(clip: Clip, stamps: list[str]) -> dict[str, Content]:
    """Colour, depth, and what moves."""
    pixels = (clip.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    depth = (clip.depth.double() * DEPTH_PER_METRE).round()
    # What 16 bits cannot hold is left out, as a sensor leaves out what is too far.
    depth_u16 = torch.where(depth < 2**16, depth, 0.0).numpy().astype(np.uint16)
    files: dict[str, Content] = {}
    for i, stamp in enumerate(stamps):
        files[f"rgb/{stamp}.png"] = _png(pixels[i])
        files[f"depth/{stamp}.png"] = _png(depth_u16[i])
        if clip.moving is not None:
            files[f"moving/{stamp}.png"] = _png(clip.moving[i].to(torch.uint8).mul(255).numpy())
    return files


def _calibration(clip: Clip, options: SyntheticOptions) -> bytes:
    (fx, _, cx), (_, fy, cy), _ = clip.K[0].tolist()
    camera = {"width": options.width, "height": options.height, "fx": fx, "fy": fy, "cx": cx, "cy": cy}
    return json.dumps(camera | {"depth_per_metre": DEPTH_PER_METRE}, indent=1).encode()


def _text(header: str, lines: list[str]) -> bytes:
    return "\n".join([f"# {header}", *lines, ""]).encode()


def sequence_name(split: str, number: int) -> str:
    """Folder name of a scene; the TUM loader finds folders that begin with rgbd_dataset_."""
    return f"{SYNTHETIC}{split.replace('-', '_')}_{number:06d}"


def is_complete(folder: Path, options: dict[str, Any]) -> bool:
    """Whether an earlier run has written this very sequence and nothing of it was changed since."""
    if not (folder / MANIFEST).is_file():
        return False
    manifest = Manifest.load(folder / MANIFEST)
    digests = manifest.sha256.items()
    return manifest.options == options and all(_holds(folder / name, digest) for name, digest in digests)


def _holds(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def plan_scenes(out: Path, options: SyntheticOptions | None = None) -> Iterator[tuple[Path, Plan | None]]:
    """Each sequence's folder with what is to be written there, None if it is there already and need not be rendered.

    Raises:  UserError for an unknown split or a size the world cannot have.
    """
    options = options or SyntheticOptions()
    config = split_config(options.split, **options.world_values())
    for number in range(options.first, options.first + options.scenes):
        name = sequence_name(options.split, number)
        described = asdict(options) | {"scenes": 1, "first": number}
        if is_complete(out / name, described):
            yield out / name, None
            continue
        (seed,) = split_seeds(options.split, 1, number)
        clip = render_clip(sample_scene(seed, config))
        stamps = [f"{START_S + i / options.frame_rate_hz:.6f}" for i in range(options.frames)]
        files, rows = _files(clip, stamps, options)
        yield out / name, Plan(out / name, MANIFEST, Manifest("synthetic", name, tuple(rows), described), files)
