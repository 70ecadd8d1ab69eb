"""Scenes made ready for rendering: padded to one layout, every map precomputed in float64, then cast and moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from page4d.world.scenes import Scene
from page4d.world.solids import KINDS, PLANE, Solids, bounding_cone

# An empty slot is a solid far away and immense: no ray meets it before the world ends.
_NOTHING = ((1e6, 0.0, 0.0, -3e6), (0.0, 1e6, 0.0, -3e6), (0.0, 0.0, 1e6, -3e6))


@dataclass(frozen=True)
class Tables:
    """B scenes of equal size and length as F = B S frames of N solids of every kind, and the sky as solid N.

    Shapes:  local_from_cam, cam_from_local, next_from_local (F, N + 1, 3, 4); local_from_light (F, N, 3, 4);
             light (F, 3) in the camera; camera_cone, light_cone (F, N, 4); length, kind, instance, moving (F, N + 1);
             look (F, N + 1, 27): paint matrix, colours, pattern; air (F, 10); K (F, 3, 3); cam_from_world (F, 3, 4).
    Note:    next_from_local leads to the camera of the next frame (of the same frame in each clip's last). The sky is
             at infinity: its local coordinates are world directions, its maps have no translation.
             A Tables is made on the CPU, pickles, and may travel: workers sample, the process with the GPU renders.
             shadows is false where no scene casts any, so that the renderer need not ask the device.
    """

    local_from_cam: Tensor
    cam_from_local: Tensor
    next_from_local: Tensor
    local_from_light: Tensor
    light: Tensor
    camera_cone: Tensor
    light_cone: Tensor
    length: Tensor
    kind: Tensor
    instance: Tensor
    moving: Tensor
    look: Tensor
    air: Tensor
    K: Tensor
    cam_from_world: Tensor
    counts: tuple[int, ...]
    frames: int
    height: int
    width: int
    seeds: tuple[int, ...]
    shadows: bool

    @property
    def solids(self) -> int:
        """N, without the sky."""
        return sum(self.counts)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Tables:
        """The tables with every tensor changed."""
        changed: dict[str, Any] = {k: change(v) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **changed)

    def rows(self, index: slice | Tensor) -> Tables:
        """Some of the frames."""
        return self._each(lambda value: value[index])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Tables:
        """The tables on a device; `non_blocking` overlaps the copy with work if they were pinned."""
        return self._each(lambda value: value.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Tables:
        """The tables in page-locked memory; a DataLoader with pin_memory calls this by itself."""
        return self._each(Tensor.pin_memory)

    def from_camera(self) -> Solids:
        """The solids as the cameras' rays meet them."""
        n = self.solids
        return Solids(self.local_from_cam[:, :n], self.length[:, :n], self.camera_cone, self.counts)

    def from_light(self) -> Solids:
        """The solids as rays from the light, in camera coordinates, meet them."""
        return Solids(self.local_from_light, self.length[:, : self.solids], self.light_cone, self.counts)


def affine_inverse(pose: Tensor) -> Tensor:
    """Inverse of affine maps (*, 3, 4), by the adjugate: faster than LAPACK for thousands of 3 x 3."""
    a, b, c = pose[..., :3].unbind(-1)
    cross = torch.linalg.cross
    rows = torch.stack((cross(b, c), cross(c, a), cross(a, b)), -2)
    inverse = rows / (a * rows[..., 0, :]).sum(-1)[..., None, None]
    return torch.cat((inverse, -inverse @ pose[..., 3:]), -1)


def affine_compose(first: Tensor, second: Tensor) -> Tensor:
    """`first` after `second` for affine maps (*, 3, 4)."""
    out = first[..., :3] @ second
    out[..., 3] += first[..., 3]
    return out


class _Layout:
    """Which solid of each scene stands in which slot: slots are ordered by kind, as many as the fullest scene has."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = scenes
        counts = torch.tensor([scene.counts for scene in scenes])
        self.counts: tuple[int, ...] = tuple(counts.amax(0).tolist())
        rows = []
        for scene in scenes:
            start, row = 0, []
            for have, wanted in zip(scene.counts, self.counts, strict=True):
                row += [*range(start, start + have), *[-1] * (wanted - have)]
                start += have
            rows.append(row)
        self.slot = torch.tensor(rows)

    def gather(self, name: str, axis: int = 0) -> Tensor:
        """A per-solid field of all scenes (B, ...); empty slots read zeros."""
        padded = []
        for scene, row in zip(self.scenes, self.slot, strict=True):
            value: Tensor = getattr(scene, name)
            blank = value.new_zeros(*value.shape[:axis], 1, *value.shape[axis + 1 :])
            # Index -1 wraps to the blank that stands last.
            padded.append(torch.cat((value, blank), axis).index_select(axis, row % (value.shape[axis] + 1)))
        return torch.stack(padded)

    def stack(self, name: str) -> Tensor:
        """A field of all scenes that has no solid axis."""
        return torch.stack([getattr(scene, name) for scene in self.scenes])


def _maps(layout: _Layout, cam_from_world: Tensor) -> tuple[Tensor, Tensor]:
    """cam_from_local and local_from_cam (B, S, N + 1, 3, 4), the sky last."""
    world_from_local = layout.gather("world_from_local", 1)
    nothing = world_from_local.new_tensor(_NOTHING)
    world_from_local = torch.where((layout.slot < 0)[:, None, :, None, None], nothing, world_from_local)
    sky = torch.eye(3, 4, dtype=world_from_local.dtype).expand(*world_from_local.shape[:2], 1, 3, 4)
    world_from_local = torch.cat((world_from_local, sky), 2)
    world_from_cam = affine_inverse(cam_from_world)
    cam_from_local = affine_compose(cam_from_world[:, :, None], world_from_local)
    local_from_cam = affine_compose(affine_inverse(world_from_local), world_from_cam[:, :, None])
    # Without translation the sky does not come nearer, however far the camera goes.
    cam_from_local[:, :, -1, :, 3] = 0.0
    local_from_cam[:, :, -1, :, 3] = 0.0
    return cam_from_local, local_from_cam


def _light(
    layout: _Layout, cam_from_world: Tensor, cam_from_local: Tensor, local_from_cam: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The light in every camera (B, S, 3), and the maps of the solids from and to rays that start there."""
    # Shadow rays start at the light, so that one origin a frame serves all of them.
    world = layout.stack("light")[:, None, :, None]
    light = (cam_from_world[..., :3] @ world)[..., 0] + cam_from_world[..., 3]
    light_from_local = cam_from_local[:, :, :-1].clone()
    light_from_local[..., 3] -= light[:, :, None]
    local_from_light = local_from_cam[:, :, :-1].clone()
    local_from_light[..., 3] += (local_from_light[..., :3] @ light[:, :, None, :, None])[..., 0]
    return light, light_from_local, local_from_light


def _look(layout: _Layout) -> Tensor:
    """Paint matrix, colours and pattern of every solid and of the sky: (B, N + 1, 27)."""
    matrix, colours, pattern = (layout.gather(name) for name in ("paint_matrix", "colours", "pattern"))
    solids = torch.cat((matrix.flatten(2), colours, pattern), -1)
    matrix, colours, pattern = (layout.stack(f"sky_{name}") for name in ("matrix", "colours", "pattern"))
    sky = torch.cat((matrix.flatten(1), colours, pattern), -1)
    return torch.cat((solids, sky[:, None]), 1)


def tables(scenes: Sequence[Scene], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Tables:
    """Everything that rendering needs of every frame and solid of scenes of equal size and length."""
    layout = _Layout(scenes)
    first = scenes[0]
    b, s, n = len(scenes), len(first.times), sum(layout.counts)

    def per_frame(value: Tensor) -> Tensor:
        return value[:, None].expand(b, s, *value.shape[1:])

    cam_from_world = layout.stack("cam_from_world")
    cam_from_local, local_from_cam = _maps(layout, cam_from_world)
    light, light_from_local, local_from_light = _light(layout, cam_from_world, cam_from_local, local_from_cam)
    kinds = torch.repeat_interleave(torch.arange(KINDS), torch.tensor(layout.counts))
    kind, length, present = kinds.expand(b, s, n), per_frame(layout.gather("length")), per_frame(layout.slot >= 0)
    air = layout.stack("air")
    values = {"local_from_cam": local_from_cam, "cam_from_local": cam_from_local, "cam_from_world": cam_from_world}
    # The last frame of a clip has no next one; its own stands in, and the flow that comes of it is dropped.
    values["next_from_local"] = torch.cat((cam_from_local[:, 1:], cam_from_local[:, -1:]), 1)
    values |= {"local_from_light": local_from_light, "light": light}
    values["camera_cone"] = bounding_cone(cam_from_local[:, :, :-1], length, kind, present)
    values["light_cone"] = bounding_cone(light_from_local, length, kind, present)
    # One row more for the sky.
    values |= {"length": F.pad(length, (0, 1)), "kind": F.pad(kind, (0, 1), value=PLANE)}
    for name in ("instance", "moving"):
        values[name] = per_frame(F.pad(layout.gather(name), (0, 1)))
    values |= {"look": per_frame(_look(layout)), "air": per_frame(air), "K": per_frame(layout.stack("K"))}
    for name, value in values.items():
        values[name] = value.flatten(0, 1).to(device, dtype if value.is_floating_point() else value.dtype)
    seeds = tuple(scene.seed for scene in scenes)
    shadows = bool((air[:, 2] > 0).any())
    return Tables(
        **values, counts=layout.counts, frames=s, height=first.height, width=first.width, seeds=seeds, shadows=shadows
    )
