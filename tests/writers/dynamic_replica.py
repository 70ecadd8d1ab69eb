"""Dynamic Replica: PNG pairs for two cameras, one gzipped annotation for a split."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from page4d.schema import Clip
from writers.pytorch3d import half_bits, viewpoint
from writers.scene import images_u8, poses_4x4, save_image


def write(
    root: Path, clips: Mapping[str, Clip], split: str = "train", kind: str = "ndc_isotropic", camera: str = "left"
) -> None:
    """Write sequences `<name>_source_<camera>`; a name such as 009850-3_obj is the annotation's sequence_name."""
    entries = [entry for name, clip in clips.items() for entry in _sequence(root / split, name, clip, kind, camera)]
    path = root / split / f"frame_annotations_{split}.jgz"
    path.write_bytes(gzip.compress(json.dumps(entries).encode()))


def _sequence(base: Path, name: str, clip: Clip, kind: str, camera: str) -> list[dict[str, Any]]:
    folder, entries = f"{name}_source_{camera}", []
    _, height, width = clip.depth.shape
    for i, (pixels, pose) in enumerate(zip(images_u8(clip), poses_4x4(clip), strict=True)):
        image, depth = f"{folder}/images/{folder}-{i:04d}.png", f"{folder}/depths/{folder}_{i:04d}.geometric.png"
        alpha = np.full((height, width, 1), 255, np.uint8)
        save_image(base / image, np.concatenate((pixels, alpha), -1))
        save_image(base / depth, half_bits(clip.depth[i].numpy()))
        mask = None
        if clip.moving is not None:
            mask = {"path": f"{folder}/masks/{folder}_{i:04d}.png", "mass": None}
            save_image(base / mask["path"], np.uint8(255) * clip.moving[i].numpy())
        trajectories = None
        if clip.tracks is not None and clip.tracks_visible is not None:
            trajectories = {"path": f"{folder}/trajectories/{i:06d}.pth"}
            (base / folder / "trajectories").mkdir(exist_ok=True)
            xyz = torch.cat((clip.tracks[i], torch.ones(clip.tracks.shape[1], 1)), -1)
            torch.save({"traj_2d": xyz, "verts_inds_vis": clip.tracks_visible[i]}, base / trajectories["path"])
        entries.append(
            {
                "sequence_name": name,
                "camera_name": camera,
                "frame_number": i,
                "frame_timestamp": i / 30,
                "image": {"path": image, "size": [height, width]},
                "depth": {"path": depth, "scale_adjustment": 1.0, "mask_path": None},
                "mask": mask,
                "viewpoint": viewpoint(pose, clip.K[i].double().numpy(), height, width, kind),
                "trajectories": trajectories,
            }
        )
    return entries
