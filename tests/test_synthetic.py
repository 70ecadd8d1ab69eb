"""The synthetic world: what it promises of its truth, seen from outside."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from page4d.geometry import pixel_grid, project, transform
from page4d.schema import UserError
from page4d.world import (
    SPLITS,
    Batch,
    SyntheticDataset,
    WorldConfig,
    query_tracks,
    render_batch,
    render_clip,
    render_scenes,
    render_tables,
    sample_scene,
    scene_tables,
    split_clip,
    split_config,
    split_seeds,
)

# Every odd thing at once, so that a swapped axis or focal length shows.
ODD = WorldConfig(height=36, width=52, frames=3, anisotropy=0.3, centre_offset=(0.07, -0.05), frame_stride=1.0)
SEEDS = list(range(6))


@pytest.fixture(scope="module")
def odd() -> Batch:
    return render_batch(SEEDS, ODD, dtype=torch.float64, tracks=64)


def _pixels(batch: Batch) -> Tensor:
    h, w = batch.depth.shape[-2:]
    return pixel_grid(h, w, like=batch.depth)


def test_shapes_types_and_units(odd: Batch) -> None:
    assert odd.images.shape == (6, 3, 3, 36, 52)
    assert odd.flow.shape == (6, 2, 36, 52, 2)
    assert odd.moving.dtype == torch.bool
    assert odd.instances.dtype == torch.int64
    assert float(odd.images.min()) >= 0
    assert float(odd.images.max()) <= 1
    assert bool(odd.depth.isfinite().all())
    assert float(odd.depth.min()) >= 0
    focal = odd.K[:, 0, 0, 0] / odd.K[:, 0, 1, 1]
    assert float((focal - 1).abs().max()) > 0.05
    torch.testing.assert_close(odd.K[:, :, :2, 2], torch.tensor([0.57 * 52, 0.45 * 36]).double().expand(6, 3, 2))


def test_the_principal_point_is_where_the_pose_encoding_puts_it() -> None:
    K = render_clip(0, WorldConfig(height=16, width=24, frames=1)).K
    assert K[0, 0, 2] == 12
    assert K[0, 1, 2] == 8
    assert K[0, 0, 0] == K[0, 1, 1]


def test_same_seed_same_pixels_and_another_seed_other_pixels() -> None:
    config = WorldConfig(height=16, width=16, frames=2)
    first, again, other = (render_clip(seed, config) for seed in (5, 5, 6))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.depth, again.depth)
    assert (first.images - other.images).abs().mean() > 0.02


def test_a_batch_is_its_clips() -> None:
    config = WorldConfig(height=20, width=28, frames=2)
    batch = render_batch(SEEDS, config, tracks=10)
    for i, seed in enumerate(SEEDS):
        alone, together = render_clip(seed, config, tracks=10), batch.clip(i)
        assert together.tracks is not None
        assert alone.tracks is not None
        # Chunks and padding differ between the two; what a ray hits must not, but for a grazing ray at an edge.
        assert (alone.instances != together.instances).float().mean() < 1e-3
        same = (alone.depth - together.depth).abs() < 1e-4
        assert same.float().mean() > 0.999
        torch.testing.assert_close(alone.tracks, together.tracks, atol=1e-2, rtol=1e-4)


def test_tables_pickle_and_render_as_their_seeds_do(odd: Batch) -> None:
    sent = pickle.loads(pickle.dumps(scene_tables(SEEDS, ODD, torch.float64)))
    done = render_tables(sent, tracks=64)
    assert done.seeds == tuple(SEEDS)
    for name in ("images", "depth", "moving", "instances", "flow", "tracks", "tracks_visible", "cam_from_world", "K"):
        assert torch.equal(getattr(done, name), getattr(odd, name)), name


def test_static_pixels_reproject_into_the_next_frame(odd: Batch) -> None:
    points = odd.world_points[:, :-1].flatten(0, 1).flatten(1, 2)
    pose, K = odd.cam_from_world[:, 1:].flatten(0, 1), odd.K[:, 1:].flatten(0, 1)
    pixels, z = project(transform(pose, points), K)
    wanted = (odd.flow + _pixels(odd)).flatten(0, 1).flatten(1, 2)
    usable = ((odd.depth > 0) & ~odd.moving)[:, :-1].flatten(0, 1).flatten(1) & (z > 0.05)
    assert usable.float().mean() > 0.5
    assert (pixels - wanted)[usable].abs().max() < 1e-4


def test_moving_pixels_do_not_reproject(odd: Batch) -> None:
    points = odd.world_points[:, :-1].flatten(0, 1).flatten(1, 2)
    pixels, _ = project(transform(odd.cam_from_world[:, 1:].flatten(0, 1), points), odd.K[:, 1:].flatten(0, 1))
    wanted = (odd.flow + _pixels(odd)).flatten(0, 1).flatten(1, 2)
    moving = odd.moving[:, :-1].flatten(0, 1).flatten(1)
    gap = (pixels - wanted).norm(dim=-1)[moving]
    assert moving.any()
    assert gap.median() > 0.2


def test_a_static_surface_is_seen_at_its_depth_in_the_next_frame(odd: Batch) -> None:
    """Where a static point lands in the next frame, that frame's depth is its own or something nearer hides it."""
    points = odd.world_points[:, :-1].flatten(0, 1).flatten(1, 2)
    pixels, z = project(transform(odd.cam_from_world[:, 1:].flatten(0, 1), points), odd.K[:, 1:].flatten(0, 1))
    height, width = odd.depth.shape[-2:]
    x, y = pixels.round().long().unbind(-1)
    inside = (x >= 1) & (x < width - 1) & (y >= 1) & (y < height - 1) & (z > 0.05)
    inside &= ((odd.depth > 0) & ~odd.moving)[:, :-1].flatten(0, 1).flatten(1)
    after = odd.depth[:, 1:].flatten(0, 1)
    clip = torch.arange(len(after))[:, None].expand_as(x)
    # Within a pixel the surface spans a range of depths: the largest of the 3 x 3 around may not lie before the point.
    grown = torch.nn.functional.max_pool2d(torch.where(after > 0, after, 100.0)[:, None], 3, 1, 1)[:, 0]
    nearest = after[clip[inside], y[inside], x[inside]]
    assert ((grown[clip[inside], y[inside], x[inside]] >= z[inside] * 0.97) | (nearest < z[inside])).all()
    seen = (nearest - z[inside]).abs() < 0.05 * z[inside]
    assert seen.float().mean() > 0.8


@pytest.mark.parametrize("seed", [0, 3, 8])
def test_tracks_of_every_pixel_are_the_flow(seed: int) -> None:
    scene = sample_scene(seed, ODD)
    batch = render_scenes([scene], dtype=torch.float64)
    pixels = _pixels(batch).flatten(0, 1)
    for frame in range(2):
        tracks, visible = query_tracks(scene, frame, pixels)
        torch.testing.assert_close(tracks[frame], pixels, atol=1e-8, rtol=0)
        assert visible[frame].all()
        in_front = visible[frame + 1]
        flow = batch.flow[0, frame].flatten(0, 1)
        assert in_front.float().mean() > 0.3
        assert ((tracks[frame + 1] - pixels) - flow)[in_front].abs().max() < 1e-8


def test_visible_tracks_return_to_where_they_came_from() -> None:
    scene = sample_scene(11, ODD)
    pixels = torch.rand(200, 2, generator=torch.Generator().manual_seed(0)).double() * torch.tensor([51.0, 35.0])
    tracks, visible = query_tracks(scene, 0, pixels)
    back, seen = query_tracks(scene, 2, tracks[2][visible[2]])
    assert visible[2].sum() > 50
    torch.testing.assert_close(back[0], pixels[visible[2]], atol=1e-6, rtol=0)
    assert seen[0].all()


def test_hidden_tracks_have_something_nearer_in_front(odd: Batch) -> None:
    """Occlusion against the depth map: a hidden point inside the picture lies behind what the picture shows there."""
    hidden, shown = 0, 0
    for i, seed in enumerate(SEEDS):
        scene = sample_scene(seed, ODD)
        pixels = _pixels(odd)[::2, ::2].flatten(0, 1)
        tracks, visible = query_tracks(scene, 0, pixels)
        points = odd.world_points[i, 0][::2, ::2].flatten(0, 1)
        static = ((odd.depth[i, 0] > 0) & ~odd.moving[i, 0])[::2, ::2].flatten()
        z = transform(odd.cam_from_world[i, 2], points)[:, 2]
        x, y = tracks[2].round().long().unbind(-1)
        inside = static & (z > 0.05) & (x >= 1) & (x < 51) & (y >= 1) & (y < 35)
        around = torch.nn.functional.max_pool2d(
            -torch.where(odd.depth[i, 2] > 0, odd.depth[i, 2], 100.0)[None], 3, 1, 1
        )
        nearest = -around[0][y[inside], x[inside]]
        covered = ~visible[2][inside]
        assert (nearest[covered] < z[inside][covered]).all()
        hidden += int(covered.sum())
        shown += int((~covered).sum())
    assert hidden > 20
    assert shown > 200


def test_a_pixel_moves_if_and_only_if_its_material_moves(odd: Batch) -> None:
    for i, seed in enumerate(SEEDS):
        scene = sample_scene(seed, ODD)
        moves = (scene.world_from_local - scene.world_from_local[:1]).abs().amax((0, 2, 3)) > 0
        assert torch.equal(moves, scene.moving)
        ids = scene.instance[scene.moving].unique()
        assert torch.equal(odd.moving[i], torch.isin(odd.instances[i], ids))
    assert odd.moving.any()


def test_the_static_split_does_not_move_and_the_dynamic_ones_do() -> None:
    still = render_batch(split_seeds("static-train", 4), split_config("static-train", height=16, width=16))
    assert not still.moving.any()
    moving = render_batch(split_seeds("dynamic-test", 12), split_config("dynamic-test", height=16, width=16))
    assert moving.moving.flatten(1).any(1).float().mean() > 0.9


def test_outdoors_there_is_sky_at_infinity() -> None:
    batch = render_batch([1, 2, 3], replace(ODD, environment="outdoor"), dtype=torch.float64)
    sky = batch.depth == 0
    assert sky.any()
    assert not batch.moving[sky].any()
    assert (batch.instances[sky] == 0).all()
    # The flow of the sky is the homography K R K^-1 of the turn alone.
    turn = batch.cam_from_world[:, 1:, :, :3] @ batch.cam_from_world[:, :-1, :, :3].mT
    ray = torch.nn.functional.pad(_pixels(batch), (0, 1), value=1.0).flatten(0, 1)
    moved = ray @ (batch.K[:, 1:] @ turn @ batch.K[:, :-1].inverse()).mT
    wanted = (moved[..., :2] / moved[..., 2:]).unflatten(2, batch.depth.shape[-2:]) - _pixels(batch)
    torch.testing.assert_close(batch.flow[sky[:, :-1]], wanted[sky[:, :-1]], atol=1e-8, rtol=0)


def test_rooms_are_closed() -> None:
    batch = render_batch(SEEDS, replace(ODD, environment="room"))
    assert (batch.depth > 0).all()
    assert batch.depth.max() < 15


def test_textures_stick_to_moving_bodies() -> None:
    """Without light and fog a piece of material keeps its colour, moving or not."""
    plain = replace(ODD, height=64, width=64, lights=False, fog=0.0, frame_stride=0.3, moving_share=0.3, focal=1.0)
    for pick_moving in (False, True):
        before, after = [], []
        for seed in range(4):
            scene = sample_scene(seed, plain)
            clip = render_clip(scene)
            assert clip.moving is not None
            chosen = pixel_grid(64, 64, clip.depth)[(clip.moving[0] == pick_moving) & (clip.depth[0] > 0)]
            tracks, visible = query_tracks(scene, 0, chosen)
            grid = (tracks[1].float() * 2 + 1) / 64 - 1
            seen = torch.nn.functional.grid_sample(clip.images[1:2], grid[None, None], align_corners=False)[0, :, 0].T
            before.append(clip.images[0][:, chosen[:, 1].long(), chosen[:, 0].long()].T[visible[1]])
            after.append(seen[visible[1]])
        error = (torch.cat(before) - torch.cat(after)).abs()
        assert len(error) > 500
        assert error.median() < 0.02
        # Against the same pixels in another order, the match must be far better.
        shuffled = (torch.cat(before) - torch.cat(after).roll(997, 0)).abs()
        assert error.mean() < 0.35 * shuffled.mean()


def test_air_and_light_change_the_picture_only() -> None:
    config = replace(ODD, fog=0.0, environment="room")
    clear = render_batch(SEEDS, config)
    for change in ({"fog": 0.3}, {"shadows": False}, {"lights": False}):
        other = render_batch(SEEDS, replace(config, **change))
        assert torch.equal(clear.depth, other.depth), change
        assert torch.equal(clear.flow, other.flow), change
        assert (clear.images - other.images).abs().mean() > 1e-3, change


def test_fog_takes_contrast() -> None:
    def spread(fog: float) -> Tensor:
        return render_batch(SEEDS, replace(ODD, fog=fog)).images.std((1, 3, 4)).mean()

    assert spread(0.0) > spread(0.2) > spread(0.8)


def test_more_moving_share_means_more_moving_pixels() -> None:
    shares = []
    for wanted in (0.0, 0.05, 0.15, 0.4):
        config = WorldConfig(height=24, width=24, frames=3, moving_share=wanted, frame_stride=1.0)
        shares.append(float(render_batch(range(24), config).moving.float().mean()))
    assert shares[0] == 0
    assert shares == sorted(shares)
    assert 0.025 < shares[1] < 0.1
    assert 0.2 < shares[3] < 0.55


def _travel(**knobs: object) -> float:
    scenes = [
        sample_scene(seed, replace(WorldConfig(tripod_chance=0.0, frame_stride=1.0), **knobs)) for seed in range(16)
    ]
    pose = torch.stack([s.cam_from_world for s in scenes])
    centres = -(pose[..., :3].mT @ pose[..., 3:])[..., 0]
    return float((centres[:, 1:] - centres[:, :-1]).norm(dim=-1).mean())


def test_camera_speed_and_frame_rate_set_the_baseline() -> None:
    steps = [_travel(camera_speed=speed) for speed in (0.0, 0.5, 1.5, 3.0)]
    assert steps[0] == 0
    assert steps == sorted(steps)
    # 0.5 m/s at 10 Hz is 5 cm a frame along the path; bob and shake add a little.
    assert 0.03 < steps[1] < 0.08
    assert _travel(camera_speed=0.5, frame_rate=5.0) > 1.5 * steps[1]
    assert _travel(camera_speed=0.5, frame_stride=3.0) > 2 * steps[1]


def test_a_tripod_stands_still_and_sees_only_bodies_move() -> None:
    batch = render_batch(SEEDS, replace(ODD, camera_speed=0.0))
    assert torch.equal(batch.cam_from_world, batch.cam_from_world[:, :1].expand_as(batch.cam_from_world))
    assert batch.flow[~batch.moving[:, :-1]].abs().max() < 1e-3
    assert batch.flow[batch.moving[:, :-1]].norm(dim=-1).mean() > 0.1


def test_texture_detail_adds_fine_structure() -> None:
    def roughness(detail: float) -> Tensor:
        images = render_batch(range(12), WorldConfig(height=64, width=64, frames=1, texture_detail=detail)).images
        return (images[..., 1:] - images[..., :-1]).abs().mean()

    assert roughness(0.3) < roughness(1.0)


def test_splits_share_no_seed() -> None:
    ranges = {name: (split_seeds(name, 1)[0], split_seeds(name, 1, (1 << 29) - 1)[0]) for name in SPLITS}
    # The generator reads 32 bits of a seed: ranges apart only beyond them would be the same scenes.
    assert max(last for _, last in ranges.values()) < 1 << 32, "more than eight splits: SEEDS_PER_SPLIT is too large"
    ordered = sorted(ranges.values())
    assert all(last < first for (_, last), (first, _) in pairwise(ordered))
    assert split_seeds("dynamic-val", 3, 2) == [split_seeds("dynamic-val", 1)[0] + i for i in (2, 3, 4)]


@pytest.mark.parametrize(
    ("split", "solids", "moving", "far", "bright"),
    [
        ("static-test", [48, 30, 24, 23, 37], 0, 8.33002, 3.82076),
        ("dynamic-test", [38, 68, 42, 47, 86], 84, 10.89381, 3.63707),
        ("dynamic-hard", [38, 84, 59, 40, 124], 131, 10.60730, 3.96020),
    ],
)
def test_seeds_draw_the_scenes_that_stored_results_are_about(
    split: str, solids: list[int], moving: int, far: float, bright: float
) -> None:
    scenes = [sample_scene(seed, split_config(split)) for seed in split_seeds(split, 8)]
    found = torch.tensor([scene.counts for scene in scenes]).sum(0).tolist()
    places = [scene.world_from_local[..., 3].abs().mean().item() for scene in scenes]
    colours = [scene.colours.mean().item() for scene in scenes]
    asked = "seeds draw other scenes than before: raise WORLD_VERSION, and put the new numbers here"
    assert (found, sum(int(scene.moving.sum()) for scene in scenes)) == (solids, moving), asked
    assert (sum(places), sum(colours)) == pytest.approx((far, bright), abs=1e-4), asked


def test_split_clips_and_the_dataset() -> None:
    data = SyntheticDataset("dynamic-val", 3, height=16, width=20, frames=2)
    clip = data[2]
    assert len(data) == 3
    assert clip.images.shape == (2, 3, 16, 20)
    assert clip.name == "dynamic-val-000002"
    assert torch.equal(clip.images, split_clip("dynamic-val", 2, height=16, width=20, frames=2).images)
    assert not torch.equal(clip.images, split_clip("dynamic-test", 2, height=16, width=20, frames=2).images)
    with pytest.raises(IndexError):
        data[3]


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"frames": 0}, "frames=0"),
        ({"height": 7}, "at least 8"),
        ({"environment": "sea"}, "'room', 'outdoor', 'mixed'"),
        ({"moving_share": 0.95}, "at most 0.8"),
        ({"camera_speed": (2.0, 1.0)}, "low <= high"),
        ({"fog": -0.1}, "low <= high"),
        ({"frame_rate": 0.0}, "above 0"),
        ({"tripod_chance": 1.5}, "probability"),
        ({"hanging_share": -0.1}, "probability"),
        ({"camera_stops": 1.2}, "backwards"),
        ({"version": 1}, "version=1.*draws version 2"),
        ({"rigid_weight": 0.0, "deforming_weight": 0.0, "walker_weight": 0.0}, "weights"),
    ],
)
def test_impossible_worlds_are_refused(knobs: dict[str, object], says: str) -> None:
    with pytest.raises(UserError, match=says):
        WorldConfig(**knobs)  # type: ignore[arg-type]


def test_bad_requests_are_refused() -> None:
    scene = sample_scene(0, ODD)
    with pytest.raises(UserError, match="dynamic-train"):
        split_seeds("dynamic-tset", 1)
    with pytest.raises(UserError, match="seeds"):
        split_seeds("dynamic-test", 1, -1)
    with pytest.raises(UserError, match="2\\^32"):
        sample_scene(1 << 32)
    with pytest.raises(UserError, match="no seeds"):
        render_batch([])
    with pytest.raises(UserError, match="one size"):
        render_scenes([scene, sample_scene(0, replace(ODD, width=60))])
    with pytest.raises(UserError, match="frames 0 to 2"):
        query_tracks(scene, 3, torch.zeros(1, 2))
    with pytest.raises(UserError, match="needed"):
        query_tracks(scene, 0, torch.zeros(2))
    with pytest.raises(UserError, match="already has its config"):
        render_clip(scene, ODD)


@pytest.mark.gpu
def test_the_gpu_renders_what_the_cpu_renders() -> None:
    config = WorldConfig(height=56, width=72, frames=3)
    cpu, gpu = (render_batch(range(16), config, device, tracks=100) for device in ("cpu", "cuda"))
    assert torch.equal(cpu.cam_from_world, gpu.cam_from_world.cpu())
    # Rounding decides what a grazing ray hits at a silhouette; everywhere else pixels agree.
    assert (cpu.instances != gpu.instances.cpu()).float().mean() < 1e-3
    assert ((cpu.depth - gpu.depth.cpu()).abs() > 1e-3 * cpu.depth).float().mean() < 2e-3
    assert ((cpu.images - gpu.images.cpu()).abs().amax(2) > 2e-3).float().mean() < 5e-3
