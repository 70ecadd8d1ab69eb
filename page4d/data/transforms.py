"""Crop, resize, pad and mirror clips so that cameras, depth, tracks and flow keep telling the truth.

Convention for all of them: pixel (0, 0) is centred at (0, 0), so a resize by s maps `c' = (c + 0.5) s - 0.5`; what
leaves the image is invisible; depth, masks and ids are never interpolated, because a mean of two depths at an edge
is the depth of nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from page4d.geometry import resize_intrinsics
from page4d.measured import is_measured
from page4d.schema import Clip, UserError
from page4d.settings import check_values

DepthResize = Literal["nearest", "sparse"]


@dataclass(frozen=True)
class Box:
    """A part of an image in whole pixels: columns left ... left + width - 1, rows top ... top + height - 1."""

    left: int
    top: int
    width: int
    height: int


def image_hw(clip: Clip) -> tuple[int, int]:
    """Height and width of a clip's images."""
    return int(clip.images.shape[-2]), int(clip.images.shape[-1])


def float_images(clip: Clip) -> Clip:
    """The clip with float images in [0, 1], whatever `SceneDataset.read` left them as."""
    if clip.images.dtype != torch.uint8:
        return clip
    return replace(clip, images=clip.images.contiguous().float().div_(255.0))


def _shifted_centre(K: Tensor, x: float, y: float) -> Tensor:
    moved = K.clone()
    moved[..., :2, 2] += K.new_tensor([x, y])
    return moved


_MAPS = ("images", "depth", "moving", "instances")


def _changed_maps(clip: Clip, change: Callable[[Tensor], Tensor], names: Sequence[str] = _MAPS) -> dict[str, Any]:
    """`change` applied to everything of the clip whose last two axes are rows and columns."""
    return {name: change(value) for name in names if (value := getattr(clip, name)) is not None}


def _changed_flow(clip: Clip, change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """`change` applied to the flow (S - 1, H, W, 2), whose rows and columns are not its last axes."""
    return {} if clip.flow is None else {"flow": change(clip.flow)}


def _moved_tracks(clip: Clip, move: Callable[[Tensor], Tensor], height: int, width: int) -> dict[str, Any]:
    """Tracks moved with the pixels; what leaves the image of this size is invisible from then on."""
    if clip.tracks is None or clip.tracks_visible is None:
        return {}
    tracks = move(clip.tracks)
    x, y = tracks.unbind(-1)
    inside = (x >= -0.5) & (y >= -0.5) & (x < width - 0.5) & (y < height - 0.5)
    return {"tracks": tracks, "tracks_visible": clip.tracks_visible & inside}


def crop(clip: Clip, box: Box) -> Clip:
    """Keep a part of every frame.

    Raises:  UserError if the box is empty or reaches outside the images.
    """
    height, width = image_hw(clip)
    across = 0 <= box.left < box.left + box.width <= width
    down = 0 <= box.top < box.top + box.height <= height
    if not (across and down):
        raise UserError(f"crop {box} does not lie inside images of {width} x {height} pixels (width x height)")
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    corner = clip.K.new_tensor([box.left, box.top])
    changes = _changed_maps(clip, lambda x: x[..., rows, columns])
    changes |= _changed_flow(clip, lambda flow: flow[:, rows, columns])
    changes |= _moved_tracks(clip, lambda xy: xy - corner, box.height, box.width)
    # The same ray now meets a pixel whose number is smaller by the corner.
    return replace(clip, K=_shifted_centre(clip.K, -box.left, -box.top), **changes)


def pad(clip: Clip, left: int = 0, top: int = 0, right: int = 0, bottom: int = 0) -> Clip:
    """Add black pixels without depth around every frame.

    Raises:  UserError for a negative margin.
    """
    if min(left, top, right, bottom) < 0:
        raise UserError(f"pad by {(left, top, right, bottom)}: margins cannot be negative; crop instead")
    height, width = image_hw(clip)
    corner = clip.K.new_tensor([left, top])
    changes = _changed_maps(clip, lambda x: F.pad(x, (left, right, top, bottom)))
    changes |= _changed_flow(clip, lambda flow: F.pad(flow, (0, 0, left, right, top, bottom)))
    changes |= _moved_tracks(clip, lambda xy: xy + corner, height + top + bottom, width + left + right)
    return replace(clip, K=_shifted_centre(clip.K, left, top), **changes)


def nearest_index(source: int, target: int, device: torch.device | str = "cpu") -> Tensor:
    """For each of `target` pixels the one of `source` pixels that its centre falls on, in exact integer arithmetic."""
    return (2 * torch.arange(target, device=device) + 1) * source // (2 * target)


def _splat_nearest(depth: Tensor, height: int, width: int) -> Tensor:
    """Every measurement to the target pixel that its centre falls on; of several the nearest to the camera stays."""
    frames, rows, columns = depth.shape
    y = nearest_index(height, rows, depth.device)
    x = nearest_index(width, columns, depth.device)
    target = (y[:, None] * width + x).flatten().expand(frames, -1)
    values = torch.where(is_measured(depth), depth, torch.full_like(depth, torch.inf)).flatten(1)
    out = torch.full((frames, height * width), torch.inf, dtype=depth.dtype, device=depth.device)
    out.scatter_reduce_(1, target, values, "amin")
    return torch.where(out.isfinite(), out, torch.zeros_like(out)).reshape(frames, height, width)


def _resize_images(images: Tensor, height: int, width: int) -> Tensor:
    resized: Tensor = F.interpolate(images, (height, width), mode="bicubic", antialias=True, align_corners=False)
    # Antialiased bicubic overshoots at edges, so it is cut back to the range of colours; torch does so for uint8.
    return resized if resized.dtype == torch.uint8 else resized.clamp_(0, 1)


def resize(clip: Clip, height: int, width: int, depth: DepthResize = "nearest") -> Clip:
    """Resize every frame; the two axes may be scaled differently, K follows.

    Note:    depth is taken from the pixel whose centre is nearest; with `depth="sparse"` (LiDAR, multi-view stereo)
             every measurement is kept and moved instead, the nearest to the camera where several meet.
    Raises:  UserError for an empty target size.
    """
    if min(height, width) < 1:
        raise UserError(f"resize to {width} x {height} pixels: expected at least 1 x 1")
    old_height, old_width = image_hw(clip)
    if (old_height, old_width) == (height, width):
        return clip
    rows = nearest_index(old_height, height, clip.depth.device)[:, None]
    columns = nearest_index(old_width, width, clip.depth.device)
    factor = clip.K.new_tensor([width / old_width, height / old_height])
    nearest = ("moving", "instances") if depth == "sparse" else ("depth", "moving", "instances")
    changes = _changed_maps(clip, lambda x: x[..., rows, columns], nearest)
    changes |= {"images": _resize_images(clip.images, height, width)}
    if depth == "sparse":
        changes |= {"depth": _splat_nearest(clip.depth, height, width)}
    changes |= _changed_flow(clip, lambda flow: flow[:, rows, columns] * factor)
    # Pixel centres are whole numbers: (x + 0.5) counts from the image's edge, which is what a resize scales.
    changes |= _moved_tracks(clip, lambda xy: (xy + 0.5) * factor - 0.5, height, width)
    return replace(clip, K=resize_intrinsics(clip.K, width / old_width, height / old_height), **changes)


def mirror(clip: Clip) -> Clip:
    """Left-right mirror image of the whole scene: the world is mirrored in x too, so poses stay rigid motions."""
    height, width = image_hw(clip)
    sign = clip.K.new_tensor([-1.0, 1.0, 1.0])
    # Both sides are mirrored, M R M and M t, so that the determinant stays 1.
    poses = clip.cam_from_world * sign[:, None] * torch.cat((sign, sign.new_ones(1)))
    K = clip.K.clone()
    K[..., 0, 1] = -clip.K[..., 0, 1]
    K[..., 0, 2] = width - 1 - clip.K[..., 0, 2]
    edge = clip.K.new_tensor([width - 1.0, 0.0])
    flip = clip.K.new_tensor([-1.0, 1.0])
    changes = _changed_maps(clip, lambda x: x.flip(-1))
    changes |= _changed_flow(clip, lambda flow: flow.flip(2) * flip)
    changes |= _moved_tracks(clip, lambda xy: edge + xy * flip, height, width)
    return replace(clip, K=K, cam_from_world=poses, **changes)


@dataclass(frozen=True)
class Framing:
    """How a clip of any size is brought to the size of its batch.

    Note:    mode "crop" keeps the aspect of pixels: the largest box of the target's shape, centred on the principal
             point, is cut out and resized; "stretch" is the public way: the whole image, or a `zoom` part of it, is
             squeezed to the target (fx and fy then differ).
             zoom is the range of the share of the box that is kept per clip, cut at 1; (1, 1) keeps all. Of the
             public range (0.8, 1.2) half of the draws keep all. In "stretch" the two axes draw independently.
             centred shrinks the box until the principal point is in its middle, because the pose encoding knows
             only fields of view; it never shrinks to less than half.
             depth is how depth maps are resized, see `resize`.
    Raises:  UserError for an unknown mode or a zoom out of order.
    """

    mode: Literal["crop", "stretch"] = "crop"
    zoom: tuple[float, float] = (1.0, 1.0)
    centred: bool = True
    depth: DepthResize = "nearest"

    def __post_init__(self) -> None:
        check_values(self, "framing ")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise UserError(f"framing zoom is {self.zoom}; expected 0 < low <= high")

    def box(
        self,
        size_hw: tuple[int, int],
        target_hw: tuple[int, int],
        centre: tuple[float, float],
        zoom: tuple[float, float],
    ) -> Box:
        """The part of an image that is kept, for a principal point (x, y) and zoom factors (x, y).

        Note:    the middle of a box of width w is taken to be w / 2, as the pose decoding puts it.
        """
        (height, width), (x, y) = size_hw, centre
        room_x, room_y = float(width), float(height)
        if self.centred:
            room_x = max(width / 2, min(room_x, 2 * x, 2 * (width - x)))
            room_y = max(height / 2, min(room_y, 2 * y, 2 * (height - y)))
        kept_x, kept_y = min(zoom[0], 1.0), min(zoom[1], 1.0)
        if self.mode == "crop":
            scale = min(room_x / target_hw[1], room_y / target_hw[0]) * kept_x
            box_w, box_h = target_hw[1] * scale, target_hw[0] * scale
        else:
            box_w, box_h = room_x * kept_x, room_y * kept_y
        w = max(1, min(width, round(box_w)))
        h = max(1, min(height, round(box_h)))
        left = min(max(0, round(x - w / 2)), width - w)
        top = min(max(0, round(y - h / 2)), height - h)
        return Box(left, top, w, h)

    def apply(self, clip: Clip, target_hw: tuple[int, int], zoom: tuple[float, float] = (1.0, 1.0)) -> Clip:
        """Crop and resize all frames of a clip with one box, taken about the mean principal point."""
        x, y = clip.K[:, :2, 2].mean(0).tolist()
        box = self.box(image_hw(clip), target_hw, (x, y), zoom)
        return resize(crop(clip, box), *target_hw, depth=self.depth)
