"""The benchmark folders of the evaluation scripts: what `prepare` and MonST3R's scripts leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from page4d.evaluate.track_truth import lifted
from page4d.schema import Clip
from writers import co3d as co3d_release
from writers import dycheck as dycheck_release
from writers import dynamic_replica as dynamic_replica_release
from writers import kubric as kubric_release
from writers import pointodyssey as pointodyssey_release
from writers import sintel as sintel_release
from writers import spring as spring_release
from writers.scene import images_u8, poses_4x4, save_image

START_S = 1548266530.25
KITTI_DATE = "2011_09_26_drive_0002_sync"


def _stamps(clip: Clip) -> list[str]:
    return [f"{START_S + i / 30:.5f}" for i in range(len(clip))]


def _tum_rows(path: Path, clip: Clip, stamps: list[str]) -> None:
    rows = []
    for stamp, pose in zip(stamps, np.linalg.inv(poses_4x4(clip)), strict=True):
        values = [*pose[:3, 3], *Rotation.from_matrix(pose[:3, :3]).as_quat()]
        rows.append(f"{stamp} " + " ".join(f"{v:.9f}" for v in values))
    path.write_text("\n".join(rows) + "\n")


def _u16(depth: np.ndarray, units: float) -> np.ndarray:
    return np.rint(depth.astype(np.float64) * units).astype(np.uint16)


def _stamped(folder: Path, clip: Clip, n: int) -> None:
    stamps = _stamps(clip)
    for i, stamp in enumerate(stamps):
        save_image(folder / f"rgb_{n}" / f"{stamp}.png", images_u8(clip)[i])
        save_image(folder / f"depth_{n}" / f"{float(stamp) + 0.004:.5f}.png", _u16(clip.depth[i].numpy(), 5000))
    _tum_rows(folder / f"groundtruth_{n}.txt", clip, stamps)


def bonn(root: Path, clips: Mapping[str, Clip]) -> None:
    """rgbd_bonn_<name>/{rgb_110,depth_110,groundtruth_110.txt}, depth 4 ms after colour."""
    for name, clip in clips.items():
        _stamped(root / f"rgbd_bonn_{name}", clip, 110)


def tum(root: Path, clips: Mapping[str, Clip]) -> None:
    """<name>/{rgb_90,depth_90,groundtruth_90.txt}."""
    for name, clip in clips.items():
        _stamped(root / name, clip, 90)


def kitti(root: Path, clips: Mapping[str, Clip]) -> None:
    """image_gathered and groundtruth_depth_gathered with the long names of the depth selection."""
    for name, clip in clips.items():
        for i, pixels in enumerate(images_u8(clip)):
            stem = f"{KITTI_DATE}_{{}}_{i * 5:010d}_image_02.png"
            save_image(root / "image_gathered" / name / stem.format("image"), pixels)
            depth = _u16(clip.depth[i].numpy(), 256)
            save_image(root / "groundtruth_depth_gathered" / name / stem.format("groundtruth_depth"), depth)


def nyu(root: Path, clips: Mapping[str, Clip]) -> None:
    """One list of images and one of depth arrays."""
    count = 0
    (root / "nyu_depths").mkdir(parents=True)
    for clip in clips.values():
        for i, pixels in enumerate(images_u8(clip)):
            save_image(root / "nyu_images" / f"{count:05d}.png", pixels)
            np.save(root / "nyu_depths" / f"{count:05d}.npy", clip.depth[i].numpy())
            count += 1


def scannet(root: Path, clips: Mapping[str, Clip]) -> None:
    """<name>/{color_90/*.jpg,pose_90.txt}."""
    for name, clip in clips.items():
        for i, pixels in enumerate(images_u8(clip)):
            save_image(root / name / "color_90" / f"frame_{i * 3:04d}.jpg", pixels)
        np.savetxt(root / name / "pose_90.txt", np.linalg.inv(poses_4x4(clip)).reshape(len(clip), 16))


def davis(root: Path, clips: Mapping[str, Clip]) -> None:
    """JPEGImages/480p/<name>/00000.jpg and, as DAVIS 2017 has them, palette images of object numbers."""
    for name, clip in clips.items():
        for i, pixels in enumerate(images_u8(clip)):
            save_image(root / "JPEGImages" / "480p" / name / f"{i:05d}.jpg", pixels)
            number = np.where(clip.moving[i].numpy(), clip.instances[i].numpy() % 5 + 1, 0)
            palette(root / "Annotations" / "480p" / name / f"{i:05d}.png", number)


def palette(path: Path, number: np.ndarray) -> None:
    """An image of object numbers, each a row of the palette."""
    image = Image.fromarray(number.astype(np.uint8), "P")
    image.putpalette([17 * k % 256 for k in range(768)])
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)


def synthetic(root: Path, clips: Mapping[str, Clip]) -> None:
    """Sintel's layout with masks of what moves."""
    sintel_release.write(root, clips)
    for name, clip in clips.items():
        for i, moving in enumerate(clip.moving.numpy()):
            save_image(root / "training" / "moving" / name / f"frame_{i + 1:04d}.png", moving.astype(np.uint8) * 255)


def co3d(root: Path, clips: Mapping[str, Clip]) -> None:
    """One category, every frame in the test list of fewview_dev."""
    co3d_release.write(root, {f"toy/{name}": clip for name, clip in clips.items()})
    lists = root / "toy" / "set_lists"
    stored = json.loads((lists / "set_lists_fewview_train.json").read_text())
    everything = {"train": [], "val": [], "test": stored["train"] + stored["test"]}
    (lists / "set_lists_fewview_dev.json").write_text(json.dumps(everything))


def realestate10k(root: Path, clips: Mapping[str, Clip]) -> None:
    """test/<name>.txt and frames/<name>/<microseconds>.png."""
    for name, clip in clips.items():
        height, width = clip.depth.shape[1:]
        rows = [f"https://www.youtube.com/watch?v={name}"]
        for i, (pixels, pose) in enumerate(zip(images_u8(clip), poses_4x4(clip), strict=True)):
            stamp, K = 33_366 * (i + 1), clip.K[i].numpy()
            save_image(root / "frames" / name / f"{stamp}.png", pixels)
            lens = [K[0, 0] / width, K[1, 1] / height, (K[0, 2] + 0.5) / width, (K[1, 2] + 0.5) / height, 0, 0]
            rows.append(f"{stamp} " + " ".join(f"{value:.9f}" for value in [*lens, *pose[:3].ravel()]))
        (root / "test").mkdir(exist_ok=True)
        (root / "test" / f"{name}.txt").write_text("\n".join(rows) + "\n")


def seven_scenes(root: Path, clips: Mapping[str, Clip]) -> None:
    """<scene>/TestSplit.txt and <scene>/seq-01/frame-000000.{color.png,depth.proj.png,pose.txt}; a scene a clip."""
    for name, clip in clips.items():
        folder = root / name / "seq-01"
        poses = np.linalg.inv(poses_4x4(clip))
        for i, pixels in enumerate(images_u8(clip)):
            save_image(folder / f"frame-{i:06d}.color.png", pixels)
            save_image(folder / f"frame-{i:06d}.depth.proj.png", _u16(clip.depth[i].numpy(), 1000))
            np.savetxt(folder / f"frame-{i:06d}.pose.txt", poses[i])
        (root / name / "TestSplit.txt").write_text("sequence1\nsequence9\n")


def nrgbd(root: Path, clips: Mapping[str, Clip]) -> None:
    """<name>/{images/img0.png,depth/depth0.png,poses.txt}; poses are camera to world with OpenGL axes."""
    for name, clip in clips.items():
        for i, pixels in enumerate(images_u8(clip)):
            save_image(root / name / "images" / f"img{i}.png", pixels)
            save_image(root / name / "depth" / f"depth{i}.png", _u16(clip.depth[i].numpy(), 1000))
        poses = np.linalg.inv(poses_4x4(clip)) * np.array([1, -1, -1, 1])
        np.savetxt(root / name / "poses.txt", poses.reshape(-1, 4))


def tracked_synthetic(root: Path, clips: Mapping[str, Clip]) -> None:
    """Sintel's layout with masks, and tracks where the clips have them."""
    synthetic(root, clips)
    (root / "training" / "tracks").mkdir()
    for name, clip in clips.items():
        if clip.tracks is not None:
            stored = {"xy": clip.tracks.numpy(), "seen": clip.tracks_visible.numpy()}
            np.savez(root / "training" / "tracks" / f"{name}.npz", **stored)


def tapvid3d(root: Path, clips: Mapping[str, Clip]) -> None:
    """<name>.npz with points in each frame's camera, and frames/<name>/00000.png."""
    for name, clip in clips.items():
        truth, poses, K = lifted(clip), poses_4x4(clip), clip.K[0].double().numpy()
        for i, pixels in enumerate(images_u8(clip)):
            save_image(root / "frames" / name / f"{i:05d}.png", pixels)
        in_camera = np.einsum("sij,snj->sni", poses[:, :3, :3], truth.points) + poses[:, None, :3, 3]
        lens = np.array([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])
        arrays = {"tracks_XYZ": in_camera, "visibility": truth.seen, "fx_fy_cx_cy": lens, "extrinsics_w2c": poses}
        np.savez(root / f"{name}.npz", **arrays)


def pointodyssey(root: Path, clips: Mapping[str, Clip]) -> None:
    """The release's layout, split test."""
    pointodyssey_release.write(root, clips, "test")


def kubric(root: Path, clips: Mapping[str, Clip]) -> None:
    """Worker folders of the validation split."""
    kubric_release.write(root / "validation", clips)


def dynamic_replica(root: Path, clips: Mapping[str, Clip]) -> None:
    """The release's layout, split test."""
    dynamic_replica_release.write(root, clips, "test")


WRITERS: dict[str, Callable[[Path, Mapping[str, Clip]], None]] = {
    "sintel": sintel_release.write,
    "synthetic": tracked_synthetic,
    "bonn": bonn,
    "tum": tum,
    "dycheck": dycheck_release.write,
    "kitti": kitti,
    "nyu": nyu,
    "scannet": scannet,
    "davis": davis,
    "co3d": co3d,
    "tapvid3d": tapvid3d,
    "spring": spring_release.write,
    "pointodyssey": pointodyssey,
    "kubric": kubric,
    "dynamic_replica": dynamic_replica,
    "7scenes": seven_scenes,
    "nrgbd": nrgbd,
    "realestate10k": realestate10k,
}
