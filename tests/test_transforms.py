"""After every transform the cameras must still explain depth, tracks, flow and pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from plane_clip import NORMAL, OFFSET, plane_clip, plane_depth

from page4d.data.transforms import Box, Framing, crop, image_hw, mirror, nearest_index, pad, resize
from page4d.geometry import invert, pixel_grid, project, transform, unproject, world_points
from page4d.schema import Clip, UserError

seeds = st.integers(0, 10_000)
EXACT: dict[str, Callable[[Clip], Clip]] = {
    "crop": lambda clip: crop(clip, Box(5, 3, 23, 19)),
    "pad": lambda clip: pad(clip, left=3, top=1, right=2, bottom=4),
    "mirror": mirror,
    "all": lambda clip: mirror(pad(crop(clip, Box(2, 4, 30, 20)), left=1, top=7)),
}
MIRRORED = {"mirror", "all"}


def check_tracks(before: Clip, after: Clip, mirrored: bool) -> None:
    """The cameras of `after` project the points behind the tracks of `before` onto the tracks of `after`."""
    assert before.tracks is not None
    assert after.tracks is not None
    assert after.tracks_visible is not None
    first = before.tracks[0]
    # Lift the first frame's tracks onto the wall by its closed form.
    ray = torch.cat((first, torch.ones(len(first), 1)), -1) @ torch.linalg.inv(before.K[0]).T
    camera = invert(before.cam_from_world[0])
    direction = ray @ camera[:, :3].T
    points = camera[:, 3] + ((OFFSET - camera[:, 3] @ NORMAL) / (direction @ NORMAL))[:, None] * direction
    if mirrored:
        points = points * torch.tensor([-1.0, 1.0, 1.0])
    pixels, _ = project(transform(after.cam_from_world, points.expand(len(after), -1, -1)), after.K)
    torch.testing.assert_close(pixels, after.tracks, atol=2e-3, rtol=1e-4)
    height, width = image_hw(after)
    seen = after.tracks[after.tracks_visible]
    assert ((seen >= -0.5) & (seen < torch.tensor([width - 0.5, height - 0.5]))).all()


@pytest.mark.parametrize("name", EXACT)
@given(seed=seeds)
def test_reprojection_holds_exactly(name: str, seed: int) -> None:
    before = plane_clip(seed)
    after = EXACT[name](before)
    check_tracks(before, after, name in MIRRORED)
    height, width = image_hw(after)
    valid = after.valid
    assert valid.any()
    expected = plane_depth(after.K, after.cam_from_world, height, width, name in MIRRORED)
    torch.testing.assert_close(after.depth[valid], expected[valid], atol=1e-4, rtol=1e-4)
    rotations = after.cam_from_world[:, :, :3]
    torch.testing.assert_close(rotations @ rotations.mT, torch.eye(3).expand_as(rotations), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(rotations), torch.ones(len(after)))


@pytest.mark.parametrize("name", EXACT)
def test_flow_still_leads_to_the_same_point(name: str) -> None:
    after = EXACT[name](plane_clip(5))
    assert after.flow is not None
    grid = pixel_grid(*image_hw(after), like=after.depth)
    world = transform(invert(after.cam_from_world), unproject(after.depth, after.K).flatten(1, 2))
    following, _ = project(transform(after.cam_from_world[1:], world[:-1]), after.K[1:])
    expected = following.reshape(after.flow.shape) - grid
    valid = after.valid[:-1]
    torch.testing.assert_close(after.flow[valid], expected[valid], atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("name", EXACT)
def test_pictures_masks_and_ids_move_together(name: str) -> None:
    """The picture holds each pixel's old place, the mask and the ids are functions of it."""
    before = plane_clip(2)
    after = EXACT[name](before)
    assert after.moving is not None
    assert after.instances is not None
    valid = after.valid
    x, y = (after.images[:, 0] * 44 - 0.5).round(), (after.images[:, 1] * 30 - 0.5).round()
    assert torch.equal(after.moving[valid], (x > 22)[valid])
    assert torch.equal(after.instances[valid], (x // 8 + 10 * (y // 8)).long()[valid])


@given(seed=seeds, height=st.integers(7, 70), width=st.integers(9, 90))
def test_resized_cameras_explain_resized_tracks_and_depth(seed: int, height: int, width: int) -> None:
    before = plane_clip(seed)
    after = resize(before, height, width)
    check_tracks(before, after, mirrored=False)
    # Depth comes from the nearest pixel: at most half a source pixel away, so this far from the wall at most.
    points = world_points(after.depth, after.K, after.cam_from_world).flatten(0, 2)
    depth_per_pixel = (before.depth.diff(dim=1).abs().max() + before.depth.diff(dim=2).abs().max()).item()
    error = (points @ NORMAL - OFFSET).abs().max().item()
    assert error < 1.5 * (0.5 * depth_per_pixel + 1e-4)


@given(height=st.integers(7, 70), width=st.integers(9, 90))
def test_the_picture_is_where_the_resized_intrinsics_say(height: int, width: int) -> None:
    before = plane_clip()
    after = resize(before, height, width)
    grid = pixel_grid(height, width, after.depth)
    expected = (grid + 0.5) / torch.tensor([width, height])
    # The filter reaches two pixels; nearer to the border it has to invent what lies outside.
    inner = slice(2, -2)
    shown = after.images[0, :2].permute(1, 2, 0)
    torch.testing.assert_close(shown[inner, inner], expected[inner, inner], atol=3e-3, rtol=0)


def test_the_public_intrinsics_would_be_off() -> None:
    before = plane_clip()
    after = resize(before, 15, 22)
    public = before.K[0, 0, 2] * 0.5
    assert (public - after.K[0, 0, 2]).item() == pytest.approx((1 - 0.5) / 2)


def test_resize_to_the_same_size_is_the_same_clip() -> None:
    clip = plane_clip()
    assert resize(clip, *image_hw(clip)) is clip


@given(source=st.integers(1, 60), target=st.integers(1, 60))
def test_nearest_index_is_the_nearest_centre(source: int, target: int) -> None:
    index = nearest_index(source, target)
    position = (torch.arange(target, dtype=torch.float64) + 0.5) * source / target - 0.5
    assert (index - position).abs().max() <= 0.5 + 1e-9
    assert 0 <= index.min() <= index.max() < source


def test_depth_is_never_mixed_across_an_edge() -> None:
    clip = plane_clip()
    step = torch.where(torch.arange(44) < 20, 1.0, 9.0).expand(3, 30, 44).clone()
    step[:, ::4] = 0
    for size in ((13, 17), (61, 97)):
        for mode in ("nearest", "sparse"):
            small = resize(replace(clip, depth=step), *size, depth=mode)  # type: ignore[arg-type]
            assert set(small.depth.unique().tolist()) <= {0.0, 1.0, 9.0}


def test_sparse_depth_keeps_every_measurement_and_the_nearest_of_many() -> None:
    clip = plane_clip()
    points = torch.zeros(3, 30, 44)
    points[:, 3, 5], points[:, 2, 4], points[:, 20, 40] = 4.0, 2.0, 7.0
    points[:, 10, 10] = torch.nan
    small = resize(replace(clip, depth=points), 10, 11, depth="sparse")
    expected = torch.zeros(3, 10, 11)
    # (5, 3) and (4, 2) fall on (1, 1) and (1, 0); scales 1/4 and 1/3.
    expected[:, 1, 1], expected[:, 0, 1], expected[:, 6, 10] = 4.0, 2.0, 7.0
    assert torch.equal(small.depth, expected)
    merged = resize(replace(clip, depth=points), 3, 4, depth="sparse")
    assert merged.depth[0, 0, 0] == 2.0
    assert torch.equal(merged.depth > 0, resize(replace(clip, depth=points), 3, 4, depth="sparse").valid)
    nearest = resize(replace(clip, depth=points), 10, 11)
    assert nearest.valid.sum() < small.valid.sum()


def test_mirroring_twice_changes_nothing() -> None:
    clip = plane_clip(7)
    back = mirror(mirror(clip))
    for name in ("images", "depth", "K", "cam_from_world", "flow", "tracks", "moving", "instances"):
        torch.testing.assert_close(getattr(back, name), getattr(clip, name), atol=1e-5, rtol=1e-5)


def test_what_cannot_be_done_is_refused() -> None:
    clip = plane_clip()
    for box in (Box(0, 0, 45, 10), Box(-1, 0, 10, 10), Box(0, 0, 0, 10), Box(0, 25, 10, 6)):
        with pytest.raises(UserError, match="does not lie inside"):
            crop(clip, box)
    with pytest.raises(UserError, match="cannot be negative"):
        pad(clip, left=-1)
    with pytest.raises(UserError, match="at least 1 x 1"):
        resize(clip, 0, 5)


# --- framing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["crop", "stretch"])
@given(seed=seeds, height=st.integers(8, 60), zoom=st.floats(0.5, 1.2))
def test_framing_gives_the_size_and_keeps_the_geometry(mode: str, seed: int, height: int, zoom: float) -> None:
    before = plane_clip(seed)
    after = Framing(mode=mode).apply(before, (height, 40), (zoom, zoom))  # type: ignore[arg-type]
    assert image_hw(after) == (height, 40)
    check_tracks(before, after, mirrored=False)


@given(x=st.floats(200, 440), y=st.floats(150, 330), aspect=st.floats(0.33, 1.0))
def test_crop_centres_the_principal_point_and_keeps_square_pixels(x: float, y: float, aspect: float) -> None:
    target = (max(14, int(518 * aspect) // 14 * 14), 518)
    box = Framing().box((480, 640), target, (x, y), (1.0, 1.0))
    assert abs(x - box.left - box.width / 2) <= 1
    assert abs(y - box.top - box.height / 2) <= 1
    assert box.width / box.height == pytest.approx(target[1] / target[0], rel=2 / box.height)
    # It is the largest such box: one of its sides touches the room there is around the principal point.
    assert box.width >= 2 * min(x, 640 - x) - 2 or box.height >= 2 * min(y, 480 - y) - 2


def test_a_principal_point_far_off_does_not_shrink_the_box_below_half() -> None:
    box = Framing(mode="stretch").box((480, 640), (100, 100), (10.0, 240.0), (1.0, 1.0))
    assert box == Box(0, 0, 320, 480)


def test_stretching_without_centring_keeps_the_whole_image() -> None:
    framing = Framing(mode="stretch", centred=False)
    assert framing.box((480, 640), (392, 518), (300.0, 100.0), (1.2, 1.0)) == Box(0, 0, 640, 480)
    assert framing.box((480, 640), (392, 518), (320.0, 240.0), (0.5, 0.25)) == Box(160, 180, 320, 120)


def test_framing_refuses_other_words() -> None:
    with pytest.raises(UserError, match="'crop', 'stretch'"):
        Framing(mode="squash")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="0 < low <= high"):
        Framing(zoom=(1.0, 0.5))
