"""Dynamic Replica: rendered stereo videos of people and animals in Replica rooms.

Official layout:

    <root>/{train,valid,test}/
      frame_annotations_<split>.jgz            gzip JSON list, one entry for each frame and camera
      <id>_obj_source_left/, ..._right/
        images/<dir>-0000.png                  hyphen before the index
        depths/<dir>_0000.geometric.png        underscore; 16-bit PNG whose bits are half floats, metres, z-depth
        masks/<dir>_0000.png                   white where a person or an animal is, optional: the moving mask
        trajectories/000000.pth                traj_2d (N, 3) px, verts_inds_vis (N,), optional, left camera only

Only people and animals move in these rooms, so the foreground is what moves. `instance_id_maps/` is not read: how ids
are encoded there is not documented. Which files belong to a frame, and its camera, is read from the annotation;
nothing is taken from directory names. The quantum of the half float is 2^-11 of the depth (0.05 %).
Cameras count pixels from the corner of the first one and are moved to its centre; from where `traj_2d` counts is not
documented, so tracks are taken as they are.

Differs from the public loader: it raises holes to 1e-5 m, which then count as points at the camera; here they are
0. It looks for annotations at the authors' own path, chosen by a substring of the root, wants `val` for the official
`valid`, and swallows a failure to read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from page4d.data.datasets.base import DepthOptions, Frame, SceneDataset, Source, Tracks
from page4d.data.datasets.formats import read_half_png, read_json, read_mask, read_rgb, reading
from page4d.data.datasets.pytorch3d_camera import opencv_camera
from page4d.schema import UserError


@dataclass(frozen=True)
class Entry:
    """What an annotation says of one frame; paths are relative to the split's folder."""

    image: str
    size_hw: tuple[int, int]
    depth: str
    depth_scale: float
    viewpoint: Mapping[str, Any]
    mask: str | None
    trajectories: str | None


class DynamicReplica(SceneDataset):
    """Dynamic Replica; `camera` is left, right or both. `val` is accepted for `valid`."""

    name = "dynamic_replica"
    splits = ("train", "valid", "test")
    source = Source(
        "Dynamic Replica",
        "the train, valid or test split with its links.json script",
        "1.8 TB, 106 GB or 328 GB after extraction",
        "https://github.com/facebookresearch/dynamic_stereo",
    )

    def __init__(
        self,
        root: Path | str,
        split: str = "train",
        *,
        sequences: Sequence[str] | None = None,
        min_frames: int = 8,
        depth: DepthOptions | None = None,
        camera: Literal["left", "right", "both"] = "both",
        tracks: bool = True,
    ) -> None:
        if camera not in ("left", "right", "both"):
            raise UserError(f"dynamic_replica: camera={camera!r}; choose left, right or both")
        self.camera = camera
        self.with_tracks = tracks
        self._entries: dict[str, dict[int, Entry]] = {}
        wanted = "valid" if split == "val" else split
        super().__init__(root, wanted, sequences=sequences, min_frames=min_frames, depth=depth)

    def _scan(self) -> dict[str, list[int]]:
        folder = self.folder
        file = f"frame_annotations_{self.split}.jgz"
        path = next((p for p in (folder / file, self.root / file) if p.is_file()), None)
        if path is None:
            raise self._missing(folder, f"no {file}")
        for stored in read_json(path):
            if self.camera in ("both", stored.get("camera_name", "left")):
                entry = _entry(stored, path)
                self._entries.setdefault(Path(entry.image).parts[0], {})[int(stored["frame_number"])] = entry
        present = {name: self._present(folder / name) for name in self._entries}
        return {
            name: sorted(n for n, entry in entries.items() if Path(entry.image).name in present[name])
            for name, entries in self._entries.items()
        }

    @staticmethod
    def _present(folder: Path) -> set[str]:
        """Names of the images that were extracted; a split may be downloaded in parts."""
        images = folder / "images"
        return {path.name for path in images.iterdir()} if images.is_dir() else set()

    def _frame(self, sequence: str, number: int) -> Frame:
        folder, entry = self.folder, self._entries[sequence][number]
        image = read_rgb(folder / entry.image)
        pose, K = opencv_camera(entry.viewpoint, entry.size_hw)
        depth = self._empty_depth(image)
        if self.depth_options.load:
            depth = read_half_png(folder / entry.depth) * np.float32(entry.depth_scale)
        mask = folder / entry.mask if entry.mask else None
        moving = read_mask(mask) if mask is not None and mask.is_file() else None
        return Frame(image, depth, pose, K, moving)

    def _tracks(self, sequence: str, numbers: Sequence[int]) -> Tracks | None:
        paths = [self._entries[sequence][n].trajectories for n in numbers]
        if not self.with_tracks or any(path is None for path in paths):
            return None
        files = [self.folder / str(path) for path in paths]
        if not all(file.is_file() for file in files):
            return None
        stored = [_read_trajectories(file) for file in files]
        counts = sorted({len(xy) for xy, _ in stored})
        if len(counts) > 1:
            raise UserError(
                f"{files[0].parent}: frames have {counts[0]} to {counts[-1]} points; they do not belong together"
            )
        xy = np.stack([xy for xy, _ in stored])
        finite = np.isfinite(xy).all(-1)
        visible = np.stack([seen for _, seen in stored]) & finite
        return Tracks(np.where(finite[..., None], xy, 0).astype(np.float32), visible)


def _entry(stored: Mapping[str, Any], path: Path) -> Entry:
    try:
        image = str(stored["image"]["path"])
        height, width = stored["image"]["size"]
        depth: Mapping[str, Any] = stored.get("depth") or {}
        return Entry(
            image=image,
            size_hw=(int(height), int(width)),
            depth=str(depth.get("path") or _depth_beside(image)),
            depth_scale=float(depth.get("scale_adjustment") or 1.0),
            viewpoint=stored["viewpoint"],
            mask=(stored.get("mask") or {}).get("path"),
            trajectories=(stored.get("trajectories") or {}).get("path"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: an entry has no usable {error}; download the annotation again") from error


def _depth_beside(image: str) -> str:
    """`<dir>/depths/<dir>_0000.geometric.png` for `<dir>/images/<dir>-0000.png`."""
    folder, name = Path(image).parts[0], Path(image).stem
    return f"{folder}/depths/{folder}_{name.rsplit('-', 1)[1]}.geometric.png"


def _read_trajectories(path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with reading(path, "trajectories"):
        try:
            stored = torch.load(path, map_location="cpu", weights_only=True)
            return stored["traj_2d"][:, :2].numpy(), stored["verts_inds_vis"].numpy().astype(bool)
        except Exception as error:  # torch raises pickle, zip and runtime errors for damaged files
            raise UserError(f"{path} holds no trajectories ({error}); extract it again") from error
