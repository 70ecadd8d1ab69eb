"""What is there for a mask to give? The networks that ship, told which patches move, on clips of the synthetic world.

    python benchmarks/true_mask.py                           both splits: some twenty minutes of one core
    python benchmarks/true_mask.py --splits dynamic-hard --clips 16 --leaks 0
    python benchmarks/true_mask.py --out FILE.json           elsewhere than benchmarks/results/true_mask.json

Nothing is trained. The true moving mask takes the place of the learned one at inference: on the rows of the special
tokens or on all rows, in the masked pairs or in all of them. "unheard" is the strongest cut: in no block, of a frame or
of all frames, does any token hear a moving patch, and as the encoder sees one patch at a time nothing of what moves
reaches another token. "unheard_elsewhere" is its control: the same mask, half a picture further down and to the right.
Two worlds say what motion itself costs: "standing" is the same clip with every body as it stands in its middle frame,
"absent" the same clip without the moving bodies.

Beside the scores of every clip it stores how much of its attention to patches each frame's camera token spends on
moving ones, in every global pair, the mean over frames; and "leaks", how far the predicted rotations turn when the
moving patches show another clip: what of them still reaches the cameras under a cut.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from stored import store
from torch import Tensor, nn

from page4d.evaluate.exam import Exam, network_rows
from page4d.evaluate.exam_results import Rows, round_stored
from page4d.features import camera_attention
from page4d.geometry import pose_encoding_to_extri_intri, relative_to_first, rotation_angle_deg
from page4d.model import PAGE4D
from page4d.model.fingerprint import weights_sha256
from page4d.model.mask import key_bias, true_mask
from page4d.world import Batch, Scene, render_scenes, sample_scene, split_config, split_seeds

RESULTS = Path(__file__).parent / "results" / "true_mask.json"
WEIGHTS = ("page4d-tiny", "page4d-tiny-mask", "vggt-tiny")
SPLITS = ("dynamic-test", "dynamic-hard")
SCORES = (
    "abs_rel", "abs_rel_still", "abs_rel_moving", "relative_rotation", "relative_rotation_identity", "direction",
)  # fmt: skip
FAR_BELOW_M = 1000.0


@dataclass(frozen=True)
class Cut:
    """Who no longer hears the patches of a mask: which rows, in which global pairs, and whether in frames as well."""

    every_row: bool = False
    every_pair: bool = False
    within_frames: bool = False
    elsewhere: bool = False


CUTS = {
    "special_masked": Cut(),
    "special_all": Cut(every_pair=True),
    "every_masked": Cut(every_row=True),
    "every_all": Cut(every_row=True, every_pair=True),
    "unheard": Cut(every_row=True, every_pair=True, within_frames=True),
    "unheard_elsewhere": Cut(every_row=True, every_pair=True, within_frames=True, elsewhere=True),
}


@contextmanager
def given(model: PAGE4D, m: Tensor, cut: Cut) -> Iterator[None]:
    """While it lasts, m (B, S, h, w) acts in place of the learned mask wherever the cut says."""
    frames, aggregator = m.shape[1], model.aggregator
    over_frames = key_bias(m.flatten(2), 1.0)
    in_a_frame = over_frames.unflatten(1, (frames, -1)).flatten(0, 1)
    pairs = range(model.config.depth) if cut.every_pair else model.config.masked_pairs
    biased: list[tuple[nn.Module, Tensor]] = [(aggregator.global_blocks[pair], over_frames) for pair in pairs]
    if cut.within_frames:
        biased += [(block, in_a_frame) for block in aggregator.frame_blocks]
    with ExitStack() as stack:
        for block, bias in biased:
            attention = block.get_submodule("attn")
            stack.enter_context(patch.object(attention, "bias_all_rows", cut.every_row))
            hook = attention.register_forward_pre_hook(with_bias(bias))
            stack.callback(hook.remove)
        yield


def with_bias(bias: Tensor) -> Any:
    """A hook that gives an attention this bias in place of its own."""

    def hook(attention: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*inputs[:2], bias, *inputs[3:])

    return hook


def standing(scene: Scene) -> Scene:
    """The scene with every body as it stands in the middle of the clip; which pixels are called moving stays."""
    middle = len(scene.times) // 2
    still = scene.world_from_local[middle : middle + 1].expand_as(scene.world_from_local)
    return replace(scene, world_from_local=still.clone())


def absent(scene: Scene) -> Scene:
    """The scene without the bodies that move: they are far below the ground."""
    moved = scene.world_from_local.clone()
    moved[:, scene.moving.bool(), 1, 3] += FAR_BELOW_M
    return replace(scene, world_from_local=moved)


WORLDS = {"standing": standing, "absent": absent}


def scenes_of(exam: Exam, split: str, first: int) -> list[Scene]:
    """A batch's scenes, those of the exam."""
    config = split_config(split, frames=exam.frames, height=exam.height, width=exam.width, version=exam.world)
    return [sample_scene(seed, config) for seed in split_seeds(split, exam.batch_size, first)]


def answers(model: PAGE4D, batch: Batch, worlds: dict[str, Batch]) -> dict[str, Rows]:
    """A network's scores on a batch, under every condition."""
    found = {"shipped": network_rows(model, batch)}
    if model.aggregator.alpha > 0:
        with patch.object(model.aggregator, "mask_step", model.config.mask_hold_end):
            found["own_off"] = network_rows(model, batch)
    moves = true_mask(batch.moving, model.config.patch_size)
    for name, cut in CUTS.items():
        m = moves.roll([side // 2 for side in moves.shape[2:]], (2, 3)) if cut.elsewhere else moves
        with given(model, m, cut):
            found[name] = network_rows(model, batch)
    return found | {name: network_rows(model, other) for name, other in worlds.items()}


@torch.no_grad()
def rotations(model: PAGE4D, images: Tensor) -> Tensor:
    """Rotations of all frames relative to the first, (B, S, 3, 3); no depth is made."""
    with patch.object(model, "depth_head", None):
        encoding = model(images)["pose_enc"].double()
    hw = int(images.shape[-2]), int(images.shape[-1])
    cameras, _ = pose_encoding_to_extri_intri(encoding, hw, build_intrinsics=False)
    return relative_to_first(cameras)[..., :3]


def leaks(model: PAGE4D, images: Tensor, moves: Tensor) -> dict[str, list[float]]:
    """Degrees by which the rotations of each clip turn when its moving patches show the clip before it.

    Shapes:  images (B, S, 3, H, W), moves (B, S, h, w), the mask m that says which patches move.
    """
    side = model.config.patch_size
    pixels = moves.repeat_interleave(side, 2).repeat_interleave(side, 3)[:, :, None] < 0
    other = torch.where(pixels, images.roll(1, 0), images)
    found = {}
    for name, cut in {"shipped": None, **CUTS}.items():
        if cut is not None and cut.elsewhere:
            continue
        with given(model, moves, cut) if cut is not None else nullcontext():
            before, after = rotations(model, images), rotations(model, other)
        turned = rotation_angle_deg(before.mT @ after)[:, 1:].mean(1)
        found[name] = [round(value, 4) for value in turned.tolist()]
    return found


def attention_on_moving(model: PAGE4D, images: Tensor, moves: Tensor) -> list[float]:
    """The share of the camera tokens' attention to patches that is on moving ones, pair by pair, of one clip."""
    seen = torch.from_numpy(camera_attention(model, images))
    on_moving = (seen * moves).sum((-3, -2, -1)) / seen.sum((-3, -2, -1))
    return [round(value, 4) for value in on_moving.mean(1).tolist()]


def add(part: dict[str, Any], models: dict[str, PAGE4D], scenes: Sequence[Scene], first: tuple[int, int]) -> None:
    """Add to a part what all networks say about some more clips, attention and leaks of so many first ones."""
    attention, leaking = first
    batch = render_scenes(scenes)
    worlds = {name: render_scenes([change(scene) for scene in scenes]) for name, change in WORLDS.items()}
    some = next(iter(models.values()))
    moves = true_mask(batch.moving, some.config.patch_size) < 0
    part["moving_share"] += [round(v, 4) for v in batch.moving.float().mean((1, 2, 3)).tolist()]
    part["moving_patches"] += [round(v, 4) for v in moves.float().mean((1, 2, 3)).tolist()]
    for name, model in models.items():
        here = part["networks"][name]
        for condition, rows in answers(model, batch, worlds).items():
            columns = here["answers"].setdefault(condition, {score: [] for score in SCORES})
            for score, column in columns.items():
                column += [round_stored(row[score]) for row in rows]
        for index in range(max(0, min(len(scenes), attention - part["clips"]))):
            here["attention"].append(attention_on_moving(model, batch.images[index], moves[index].float()))
        if part["clips"] < leaking:
            for condition, turned in leaks(model, batch.images, -0.5 * moves.float()).items():
                here["leaks"].setdefault(condition, []).extend(turned)
    part["clips"] += len(scenes)


def main() -> None:
    """Measure split after split; what is there is stored after every batch."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--splits", nargs="+", default=list(SPLITS))
    parser.add_argument("--clips", type=int, default=128)
    parser.add_argument(
        "--first", type=int, default=0, help="the first clip, so that a split can be measured in pieces"
    )
    parser.add_argument("--attention", type=int, default=64, help="so many clips for shares of attention")
    parser.add_argument("--leaks", type=int, default=32, help="so many clips for leaks")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    models = {name: PAGE4D.from_pretrained(name).eval() for name in WEIGHTS}
    hashes = {name: weights_sha256(model) for name, model in models.items()}
    for model in models.values():
        # Nothing reads its points.
        model.point_head = None
    exam = Exam(sequences=args.clips).at_side(models[WEIGHTS[0]].config.img_size)
    for split in args.splits:
        networks = {
            name: {"weights_sha256": hashes[name], "answers": {}, "attention": [], "leaks": {}} for name in models
        }
        part = {"clips": 0, "frames": exam.frames, "moving_share": [], "moving_patches": [], "networks": networks}
        for first in range(args.first, args.first + args.clips, exam.batch_size):
            add(part, models, scenes_of(exam, split, first), (args.attention, args.leaks))
            store(args.out, split, part, indent=None)


if __name__ == "__main__":
    main()
