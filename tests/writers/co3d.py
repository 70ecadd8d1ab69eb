"""CO3D v2: JPEG, half-float depth with a scale, MVS masks, PyTorch3D annotations and set lists for a category."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from page4d.schema import Clip
from writers.pytorch3d import half_bits, viewpoint
from writers.scene import images_u8, poses_4x4, save_image

SCALE = 1.75
TRAIN = 0.75
CORNER = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])  # from pixel centres at integers to the first pixel's corner


def write(root: Path, clips: Mapping[str, Clip], kind: str = "ndc_isotropic") -> None:
    """Write sequences `<category>/<sequence>`; the first three quarters of the frames are `train`, the rest `test`.

    Files are numbered from 1, annotations and set lists from 0, as in the release.
    Stored depth is the clip's over SCALE, and where the clip has none, a wrong value that only the mask takes out.
    """
    entries: dict[str, list[dict[str, Any]]] = {}
    lists: dict[str, dict[str, list[Any]]] = {}
    for name, clip in clips.items():
        category, sequence = name.split("/")
        split = lists.setdefault(category, {"train": [], "val": [], "test": []})
        for i, entry in enumerate(_sequence(root, category, sequence, clip, kind)):
            entries.setdefault(category, []).append(entry)
            part = "train" if i < TRAIN * len(clip) else "test"
            split[part].append([sequence, entry["frame_number"], entry["image"]["path"]])
    for category, stored in entries.items():
        path = root / category / "frame_annotations.jgz"
        path.write_bytes(gzip.compress(json.dumps(stored).encode()))
        (root / category / "set_lists").mkdir()
        (root / category / "set_lists/set_lists_fewview_train.json").write_text(json.dumps(lists[category]))


def _sequence(root: Path, category: str, sequence: str, clip: Clip, kind: str) -> list[dict[str, Any]]:
    entries = []
    _, height, width = clip.depth.shape
    for i, (pixels, pose) in enumerate(zip(images_u8(clip), poses_4x4(clip), strict=True)):
        base, stem, depth = f"{category}/{sequence}", f"frame{i + 1:06d}", clip.depth[i].numpy()
        image, map_, mask = f"images/{stem}.jpg", f"depths/{stem}.jpg.geometric.png", f"depth_masks/{stem}.png"
        save_image(root / base / image, pixels, quality=100, subsampling=0)
        save_image(root / base / map_, half_bits(np.where(depth > 0, depth, 3.0) / SCALE))
        save_image(root / base / mask, np.where(depth > 0, 255, 0).astype(np.uint8))
        about = {"path": f"{base}/{map_}", "scale_adjustment": SCALE, "mask_path": f"{base}/{mask}"}
        entries.append(
            {
                "sequence_name": sequence,
                "frame_number": i,
                "frame_timestamp": i / 30,
                "image": {"path": f"{base}/{image}", "size": [height, width]},
                "depth": about,
                "viewpoint": viewpoint(pose, clip.K[i].double().numpy(), height, width, kind),
                "meta": {"frame_type": "train_known"},
            }
        )
    return entries


def write_vggt_annotations(folder: Path, clips: Mapping[str, Clip], split: str = "train") -> None:
    """The files published with VGGT: OpenCV cameras whose pixels start at the image's corner, no depth scale."""
    stored: dict[str, dict[str, list[Any]]] = {}
    for name, clip in clips.items():
        category, sequence = name.split("/")
        frames = [
            {"filepath": f"{name}/images/frame{i + 1:06d}.jpg", "extri": pose[:3].tolist(), "intri": K.tolist()}
            for i, (pose, K) in enumerate(zip(poses_4x4(clip), clip.K.double().numpy() + CORNER, strict=True))
        ]
        stored.setdefault(category, {})[sequence] = frames
    folder.mkdir(parents=True, exist_ok=True)
    for category, sequences in stored.items():
        (folder / f"{category}_{split}.jgz").write_bytes(gzip.compress(json.dumps(sequences).encode()))
