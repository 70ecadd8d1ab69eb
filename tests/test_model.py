"""The network against the public implementation's numbers (tests/golden/model_small.npz, state_dict_keys.json)."""

from __future__ import annotations

import copy
import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from page4d.model import PAGE4D, PAGE4DConfig
from page4d.model.encoder import DinoEncoder
from page4d.model.layers import NUM_SPECIAL, Attention, rope_2d, rotate
from page4d.model.mask import MASK_STRENGTH, SpatialMaskHead, key_bias, mask_alpha, true_mask

GOLDEN = Path(__file__).parent / "golden"
SMALL = PAGE4DConfig(
    img_size=56,
    embed_dim=64,
    num_heads=4,
    patch_embed="conv",
    camera_heads=4,
    dpt_features=32,
    dpt_channels=(16, 32, 64, 64),
    track_features=32,
    track_hidden=96,
)


def weight_from_name(name: str, shape: tuple[int, ...]) -> Tensor:
    """The golden rule: every tensor is drawn from its own name."""
    t = torch.randn(shape, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))
    if name.endswith("gamma"):
        return 0.2 + 0.05 * t
    if t.ndim <= 1 and name.endswith("weight"):
        return 1 + 0.1 * t
    if name.endswith("bias"):
        return 0.05 * t
    if name.endswith("weight"):
        return t * (shape[0] / t.numel()) ** 0.5
    return 0.5 * t


def fill(module: nn.Module, prefix: str = "") -> None:
    module.load_state_dict({k: weight_from_name(prefix + k, tuple(v.shape)) for k, v in module.state_dict().items()})


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    with np.load(GOLDEN / "model_small.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


@pytest.fixture(scope="module", params=["nomask", "mask"])
def run(request: pytest.FixtureRequest, golden: dict[str, Tensor]) -> tuple[str, PAGE4D, Any, dict[str, Any]]:
    on = request.param == "mask"
    model = PAGE4D(SMALL, mask_hold_start=int(on), mask_hold_end=int(on)).eval()
    fill(model)
    with torch.no_grad():
        out = model.aggregator.run(golden["images"])
        return request.param, model, out, model(golden["images"], golden["query_points"])


def close(actual: Tensor, expected: Tensor, atol: float = 1e-4) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=atol)


def test_full_model_has_exactly_the_public_names_and_shapes() -> None:
    with torch.device("meta"):
        model = PAGE4D()
    expected = {name: tuple(shape) for name, shape in json.loads((GOLDEN / "state_dict_keys.json").read_text()).items()}
    assert {name: tuple(t.shape) for name, t in model.state_dict().items()} == expected
    assert list(dict(model.named_buffers())) == []


def test_heads_switched_off_take_their_keys_along() -> None:
    with torch.device("meta"):
        model = PAGE4D(enable_track=False, enable_point=False)
    assert not [name for name in model.state_dict() if name.startswith(("track_head", "point_head"))]


def test_tokens(run: Any, golden: dict[str, Tensor]) -> None:
    name, _, out, _ = run
    for pair in (0, 4, 9, 10, 11, 17, 19, 20, 23):
        close(out.tokens[pair][:, :, ::11, ::9], golden[f"{name}.tokens{pair}"])


def test_mask_values(run: Any, golden: dict[str, Tensor]) -> None:
    name, _, out, _ = run
    if name == "nomask":
        assert out.mask is None
        return
    bias = key_bias(out.mask.flatten(2), 1.0) / MASK_STRENGTH
    close(bias, golden["mask.key"][:, 0])
    row = torch.zeros(2, 3, 115)
    row[:, :, :NUM_SPECIAL] = MASK_STRENGTH
    close(row.flatten(1), golden["mask.row"])


def test_heads(run: Any, golden: dict[str, Tensor]) -> None:
    name, _, _, predictions = run
    close(torch.stack(predictions["pose_enc_list"]), golden[f"{name}.pose_enc_list"])
    for key in ("depth", "depth_conf", "world_points", "world_points_conf"):
        close(predictions[key][:, :, ::9, ::9], golden[f"{name}.{key}"])


def test_tracks_free_running(run: Any, golden: dict[str, Tensor]) -> None:
    name, _, _, predictions = run
    for actual, expected, atol in zip(
        predictions["track_list"], golden[f"{name}.track_list"], (1e-4, 5e-3, 0.2, 1.5), strict=True
    ):
        torch.testing.assert_close(actual, expected, rtol=0, atol=atol)
    for key in ("vis", "conf"):
        torch.testing.assert_close(predictions[key], golden[f"{name}.{key}"], rtol=0, atol=0.1)


@torch.no_grad()
def test_tracks_teacher_forced(run: Any, golden: dict[str, Tensor]) -> None:
    """Each iteration starts from the golden coordinates, which takes the chaos out of the comparison."""
    name, model, out, _ = run
    tracker, images = model.track_head.tracker, golden["images"]
    maps = model.track_head.feature_extractor.raw_maps(out.tokens, images, out.patch_start, 8)
    maps = tracker.fmap_norm(maps.movedim(2, -1)).movedim(-1, 2)
    queries = golden["query_points"] / 2
    coords = queries[:, None].expand(-1, 3, -1, -1)
    from page4d.model.heads.track import sample

    features = sample(maps[:, 0], queries[:, None], "border").squeeze(2).mT[:, None].expand(-1, 3, -1, -1)
    pyramid = tracker.build_pyramid(maps.flatten(0, 1))
    for expected in golden[f"{name}.track_list"]:
        coords, features = tracker.update(pyramid, coords, features, maps[:, 0])
        coords = torch.cat((queries[:, None], coords[:, 1:]), 1)
        torch.testing.assert_close(2 * coords, expected, rtol=0, atol=5e-5)
        coords = expected / 2
    for key, predictor in (("vis", tracker.vis_predictor), ("conf", tracker.conf_predictor)):
        actual = predictor(features).squeeze(-1).sigmoid()
        torch.testing.assert_close(actual, golden[f"{name}.{key}"], rtol=0, atol=1e-5)


@torch.no_grad()
def test_encoder(golden: dict[str, Tensor]) -> None:
    encoder = DinoEncoder(384, 12, 6, 518, 14)
    fill(encoder, "patch_embed.")
    small = encoder(golden["vit.images"])
    close(small[:, ::3, ::16], golden["vit.x_norm_patchtokens"])
    full = encoder(torch.rand(1, 3, 518, 518, generator=torch.Generator().manual_seed(3)))
    close(full[:, ::71, ::16], golden["vit518.x_norm_patchtokens"])


def test_mask_schedule() -> None:
    rows = json.loads((GOLDEN / "mask_alpha.json").read_text())["rows"]
    for step, start, end, alpha in rows:
        assert mask_alpha(step, start, end) == pytest.approx(alpha, abs=1e-12)


def test_mask_is_detached_and_bounded() -> None:
    head = SpatialMaskHead(8)
    tokens = torch.randn(2, 12, 8, requires_grad=True)
    m = head(tokens, 3, 4)
    assert m.abs().max() < 0.5
    m.sum().backward()
    assert tokens.grad is None
    assert head.head0[0].weight.grad is not None
    assert head(torch.ones(1, 12, 8), 3, 4).isfinite().all()  # a flat map has no deviation to divide by


def test_mask_changes_special_rows_only() -> None:
    torch.manual_seed(0)
    attention = Attention(16, 2, qk_norm=True)
    x, frames, patches = torch.randn(1, 2 * (NUM_SPECIAL + 6), 16), 2, 6
    bias = key_bias(torch.rand(1, frames, patches) - 0.5, 1.0)
    plain, masked = attention(x), attention(x, None, bias, frames)
    changed = (plain - masked).abs().amax(-1).view(frames, -1) > 1e-6
    assert changed[:, :NUM_SPECIAL].all()
    assert not changed[:, NUM_SPECIAL:].any()


@pytest.mark.parametrize("all_rows", [False, True])
def test_masked_attention_equals_the_formula(all_rows: bool) -> None:
    torch.manual_seed(0)
    attention = Attention(16, 2, qk_norm=True, bias_all_rows=all_rows)
    frames, patches = 2, 6
    x = torch.randn(1, frames * (NUM_SPECIAL + patches), 16)
    m = torch.rand(1, frames, patches) - 0.5
    q, k, v = attention.queries_keys_values(x, None)
    r = torch.zeros(1, frames, NUM_SPECIAL + patches)
    r[:, :, : None if all_rows else NUM_SPECIAL] = 64.0
    key = torch.nn.functional.pad(m, (NUM_SPECIAL, 0)).flatten(1)
    logits = q @ k.mT / 8**0.5 + r.flatten(1)[:, None, :, None] * key[:, None, None]
    expected = attention.proj((logits.softmax(-1) @ v).transpose(1, 2).flatten(2))
    torch.testing.assert_close(attention(x, None, key_bias(m, 1.0), frames), expected, rtol=1e-4, atol=1e-5)


def test_true_mask_marks_patches_that_move_by_a_quarter() -> None:
    moving = torch.zeros(1, 2, 8, 16, dtype=torch.bool)
    moving[0, 1, :4, 8:12] = True  # 16 of the 64 pixels of the second patch
    moving[0, 0, 0, :7] = True
    assert true_mask(moving, 8).tolist() == [[[[0.0, 0.0]], [[0.0, -0.5]]]]


def test_a_given_mask_acts_in_place_of_the_learned_one() -> None:
    torch.manual_seed(0)
    model = PAGE4D(replace(SMALL, enable_track=False, mask_hold_start=1, mask_hold_end=1)).eval()
    images = torch.rand(1, 2, 3, 28, 42)
    with torch.no_grad():
        learned = model(images)
        same = model(images, given_mask=learned["mask"])
        other = model(images, given_mask=torch.zeros_like(learned["mask"]))
    torch.testing.assert_close(same["pose_enc"], learned["pose_enc"])
    assert torch.equal(other["mask"], learned["mask"]), "what the head says is returned all the same"
    assert not torch.allclose(other["pose_enc"], learned["pose_enc"], atol=1e-7)
    for mask in (learned["mask"][:, :1], learned["mask"].flatten(2)):
        with pytest.raises(ValueError, match=r"given_mask has shape .*, expected \(1, 2, "):
            model(images, given_mask=mask)


def test_rope_is_relative_and_leaves_special_tokens() -> None:
    rope = rope_2d(3, 4, 8, torch.zeros(()))
    q, k = torch.randn(8), torch.randn(8)
    turned_q, turned_k = (rotate(t.expand(NUM_SPECIAL + 12, 8), rope) for t in (q, k))
    torch.testing.assert_close(turned_q[:NUM_SPECIAL], q.expand(NUM_SPECIAL, 8))
    dots = (turned_q @ turned_k.T)[NUM_SPECIAL:, NUM_SPECIAL:].view(3, 4, 3, 4)
    torch.testing.assert_close(dots[0, 0, 1, 1], dots[1, 2, 2, 3])
    assert not torch.allclose(dots[0, 0, 1, 2], dots[0, 0, 2, 1])


def test_first_frame_is_special_and_the_rest_commute() -> None:
    torch.manual_seed(0)
    model = PAGE4D(SMALL, depth=4, mask_source=0, masked_pairs=(), dpt_pairs=(0, 1, 2, 3), enable_track=False).eval()
    fill(model)
    images = torch.rand(1, 4, 3, 28, 42)
    with torch.no_grad():
        pose = model(images)["pose_enc"]
        swapped = model(images[:, [0, 2, 1, 3]])["pose_enc"]
        other_first = model(images[:, [1, 0, 2, 3]])["pose_enc"]
    torch.testing.assert_close(pose[:, [0, 2, 1, 3]], swapped, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(pose[:, [1, 0, 2, 3]], other_first, atol=1e-3)


def test_frames_in_chunks_give_the_same_maps(run: Any, golden: dict[str, Tensor]) -> None:
    _, model, out, predictions = run
    with torch.no_grad():
        depth, _ = model.depth_head(out.tokens, golden["images"], out.patch_start, frames_chunk_size=1)
    torch.testing.assert_close(depth, predictions["depth"], rtol=1e-4, atol=1e-5)


def test_the_aggregator_keeps_what_heads_read() -> None:
    model = PAGE4D(SMALL, depth=6, mask_source=0, masked_pairs=(), dpt_pairs=(0, 1, 2, 4), enable_track=False).eval()
    images = torch.rand(1, 2, 3, 28, 28)
    with torch.no_grad():
        tokens, start = model.aggregator(images)
        everything, _ = model.aggregator(images, keep=range(6))
    assert [pair is None for pair in tokens] == [False, False, False, True, False, False]
    assert start == NUM_SPECIAL
    for few, each in zip(tokens, everything, strict=True):
        assert each.shape == (1, 2, NUM_SPECIAL + 4, 128)
        assert few is None or torch.equal(few, each)


def relative(actual: Tensor, expected: Tensor) -> float:
    return float((actual.detach() - expected.detach()).norm() / expected.detach().norm())


@pytest.fixture(scope="module", params=[0, 1], ids=["mask off", "mask on"])
def lean(request: pytest.FixtureRequest) -> tuple[PAGE4D, Tensor, dict[str, Any]]:
    """A network, images, and what it predicts where gradients are recorded and everything stays in float32."""
    model = PAGE4D(SMALL, mask_hold_start=request.param, mask_hold_end=request.param, enable_track=False).eval()
    fill(model)
    images = torch.rand(1, 5, 3, 56, 70, generator=torch.Generator().manual_seed(1))
    return model, images, model(images)


OUTPUTS = ("pose_enc", "depth", "depth_conf", "world_points", "world_points_conf")


def test_without_gradients_float32_gives_the_same(lean: tuple[PAGE4D, Tensor, dict[str, Any]]) -> None:
    model, images, expected = lean
    with torch.inference_mode():
        actual = model(images)
    for name in OUTPUTS:
        torch.testing.assert_close(actual[name], expected[name].detach(), rtol=1e-5, atol=1e-5)


def test_lean_bfloat16_is_as_near_to_float32_as_plain_bfloat16(lean: tuple[PAGE4D, Tensor, dict[str, Any]]) -> None:
    model, images, expected = lean
    with torch.autocast("cpu", torch.bfloat16):
        plain = model(images)
        with torch.inference_mode():
            pairs = model.aggregator.run(images).tokens
            actual = model(images)
    assert {pair.dtype for pair in pairs if pair is not None} == {torch.bfloat16}
    for name in OUTPUTS:
        far = relative(plain[name], expected[name])
        assert 1e-5 < relative(actual[name], expected[name]) < max(2 * far, 0.01), name


def test_held_matrices_give_what_autocast_gives(lean: tuple[PAGE4D, Tensor, dict[str, Any]]) -> None:
    model, images, _ = lean
    held = copy.deepcopy(model).hold_matrices(torch.bfloat16)
    kinds = {name: weight.dtype for name, weight in held.named_parameters()}
    assert kinds["aggregator.global_blocks.3.attn.qkv.weight"] == torch.bfloat16
    assert kinds["aggregator.global_blocks.3.norm1.weight"] == torch.float32
    assert kinds["camera_head.embed_pose.weight"] == torch.float32
    with torch.inference_mode():
        actual = held(images)
        with torch.autocast("cpu", torch.bfloat16):
            expected = model(images)
    for name in OUTPUTS:
        torch.testing.assert_close(actual[name], expected[name], rtol=0, atol=0)


def test_training_under_autocast_keeps_float32_between_products() -> None:
    model = PAGE4D(SMALL, enable_track=False).train()
    with torch.autocast("cpu", torch.bfloat16):
        pairs = model.aggregator.run(torch.rand(1, 2, 3, 28, 28)).tokens
    assert {pair.dtype for pair in pairs if pair is not None} == {torch.float32}


def test_gradient_checkpointing_gives_the_same_gradients() -> None:
    gradients = []
    for on in (False, True):
        model = PAGE4D(SMALL, enable_track=False, mask_hold_start=1, mask_hold_end=1).train()
        fill(model)
        model.aggregator.gradient_checkpointing = on
        model(torch.rand(1, 2, 3, 28, 28, generator=torch.Generator().manual_seed(0)))["pose_enc"].sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    assert any("spatial_mask_head" in name for name in gradients[0])
    for name, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"img_size": 100}, "img_size is 100"),
        ({"embed_dim": 100}, "embed_dim is 100"),
        ({"patch_embed": "resnet"}, "patch_embed is 'resnet'"),
        ({"embed_dim": 512}, "embed_dim is 512, expected 1024, the width of dinov2_vitl14_reg"),
        ({"dpt_pairs": (1, 2, 3)}, "dpt_pairs"),
        ({"masked_pairs": (8,)}, "pairs from mask_source 9 on"),
        ({"mask_hold_start": 5, "mask_hold_end": 3}, "mask_hold_start is 5"),
    ],
)
def test_impossible_configurations_name_both_values(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        PAGE4DConfig(**fields)


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 1, 1, 28, 28), (1, 3, 28, 30), (0, 3, 28, 28)])
def test_impossible_images_are_refused(shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        model = PAGE4D(SMALL)
    with pytest.raises(ValueError, match="expected"):
        model(torch.zeros(shape))


def test_track_head_refuses_small_images_and_missing_heads() -> None:
    model = PAGE4D(SMALL, depth=4, mask_source=0, masked_pairs=(), dpt_pairs=(0, 1, 2, 3))
    with pytest.raises(ValueError, match="140 px"):
        model(torch.zeros(1, 3, 56, 56), query_points=torch.zeros(1, 2))
    without = PAGE4D(model.config, enable_track=False)
    with pytest.raises(ValueError, match="no track head"):
        without(torch.zeros(1, 3, 56, 56), query_points=torch.zeros(1, 2))
