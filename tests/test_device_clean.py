"""Nothing is left on the CPU and nothing waits for the device: the network on fake CUDA tensors, no GPU needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from fake_cuda import fake_cuda, on_device, stray
from little_model import LITTLE, little_model
from torch._subclasses.fake_tensor import DataDependentOutputException
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from page4d.features import channel_means
from page4d.inference import prediction_fields, ready_for
from page4d.io.images import LoadedImages
from page4d.model import PAGE4D
from page4d.model.weights import place
from page4d.train.batch import TrainBatch, given_mask, targets_of
from page4d.train.engine import Trainee, make_optimizer
from page4d.train.objective import objective
from page4d.train.settings import AidConfig, OptimConfig, Settings


@pytest.mark.parametrize(
    ("mask", "half"), [(False, False), (True, True)], ids=["mask off, float32", "mask on, bf16 autocast"]
)
def test_forward_stays_on_the_device(mask: bool, half: bool) -> None:
    model = little_model(mask_hold_start=int(mask), mask_hold_end=int(mask))
    with fake_cuda() as device, torch.inference_mode():
        images = torch.rand(1, 2, 3, 32, 64, device=device)
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            out = on_device(model)(images)
    assert ("mask" in out) == mask
    assert not stray(out)


@pytest.mark.parametrize(
    ("mask", "held"),
    [(False, torch.bfloat16), (True, torch.float32)],
    ids=["mask off, held", "mask on, autocast"],
)
def test_predictions_are_made_on_the_device(mask: bool, held: torch.dtype) -> None:
    model = little_model(mask_hold_start=int(mask), mask_hold_end=int(mask)).hold_matrices(held)
    nothing = np.zeros((2, 4))
    with fake_cuda() as device, torch.inference_mode():
        on_device(model)
        frames = LoadedImages(torch.rand(2, 3, 32, 64), nothing, nothing, ("a", "b"), nothing[:, 0])
        with ready_for(model, frames, torch.bfloat16) as images:
            with FromHost() as copies:
                out = model(images)
            kept = prediction_fields(model, out, frames.size_hw)
    assert copies.found == []
    assert not stray(kept)
    assert {tensor.device for tensor in kept.values()} == {device}
    assert set(kept) == {"cam_from_world", "K", "depth", "depth_conf", "points", "points_conf"} | (
        {"mask"} if mask else set()
    )


def test_feature_maps_are_made_on_the_device() -> None:
    model = little_model()
    with fake_cuda() as device, torch.inference_mode():
        maps = channel_means(on_device(model), torch.rand(2, 3, 32, 64, device=device))
    assert maps["frame"].shape == maps["global"].shape == (4, 2, 4, 8)
    assert not stray(maps)


@pytest.mark.parametrize("held", [torch.float32, torch.bfloat16])
def test_weights_go_straight_to_the_device(held: torch.dtype) -> None:
    model = little_model().hold_matrices(held)
    stored = {name: tensor.shape for name, tensor in model.state_dict().items()}
    with fake_cuda() as device:
        on_device(model, torch.device("cpu"))
        tensors = {name: torch.empty(shape, dtype=torch.float16) for name, shape in stored.items()}
        place(model, tensors, device)
    assert not stray(model.state_dict())
    assert model.aggregator.global_blocks[0].get_parameter("attn.qkv.weight").dtype == held
    assert model.aggregator.camera_token.dtype == torch.float32


def test_a_network_is_built_on_the_device_of_the_context() -> None:
    with fake_cuda() as device, torch.device(device):
        model = PAGE4D(LITTLE, enable_track=True, patch_embed="dinov2_vits14_reg", embed_dim=384, patch_size=8)
    assert not stray(model.state_dict())


@pytest.mark.slow
def test_tracks_stay_on_the_device() -> None:
    model = little_model(enable_track=True, patch_size=14, img_size=140)
    with fake_cuda() as device, torch.inference_mode():
        queries = torch.rand(3, 2, device=device)
        out = on_device(model)(torch.rand(2, 3, 140, 140, device=device), query_points=queries)
    assert out["track"].shape == (1, 2, 3, 2)
    assert not stray(out)


def test_training_pass_stays_on_the_device() -> None:
    model = little_model(mask_hold_start=1, mask_hold_end=1).train()
    with fake_cuda() as device:
        out = on_device(model)(torch.rand(1, 2, 3, 32, 64, device=device))
        (out["depth"].mean() + out["pose_enc"].mean() + out["world_points"].mean()).backward()
        missing = [name for name, weight in model.named_parameters() if weight.grad is None]
        assert not missing
        assert not stray([weight.grad for weight in model.parameters()])


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("mask", "half"),
    [
        pytest.param(False, False, id="mask off, float32", marks=SLOW),
        pytest.param(True, False, id="mask on, float32", marks=SLOW),
        pytest.param(False, True, id="mask off, bf16 autocast", marks=SLOW),
        pytest.param(True, True, id="mask on, bf16 autocast"),
    ],
)
def test_training_step_stays_on_the_device(mask: bool, half: bool) -> None:
    aid = AidConfig(enabled=True, width=8, mask_weight=1.0, true_mask=mask)
    chosen = Settings(aid=aid)
    trainee = Trainee(little_model(mask_hold_start=int(mask), mask_hold_end=int(mask)).train(), aid).train()
    with fake_cuda() as device:
        optimizer, _ = make_optimizer(on_device(trainee), OptimConfig(), fused=True)
        batch = fake_batch(device)
        targets = targets_of(batch, "corrected")
        with torch.autocast("cuda", torch.bfloat16, enabled=half):
            predictions = trainee(batch.images, None, given_mask(batch, aid, 8), slice(1, None, 2))
        terms = objective(predictions, targets, batch, chosen, slice(1, None, 2), 8, torch.ones((), device=device))
        assert not stray(terms)
        terms["objective"].backward()
        norms = [torch.nn.utils.clip_grad_norm_(group["params"], 1.0) for group in optimizer.param_groups]
        optimizer.step()
    assert ("aid_mask" in terms) == mask
    assert {"aid_matching", "loss_camera", "loss_reg_point"} <= terms.keys()
    assert not stray([norms, [weight.grad for weight in trainee.parameters()]])


class FromHost(TorchDispatchMode):
    """Notes every operation that copies a tensor from the host: a recorded step (CUDA graph) cannot hold one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        given = [t.device.type for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)]
        made = [t.device.type for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        if "cpu" in given and "cuda" in made:
            self.found.append(str(func))
        return out


@pytest.mark.parametrize("mask", [pytest.param(False, id="mask off", marks=SLOW), pytest.param(True, id="mask on")])
def test_a_training_step_copies_nothing_from_the_host(mask: bool) -> None:
    aid = AidConfig(enabled=True, width=8, mask_weight=1.0, true_mask=mask)
    trainee = Trainee(little_model(mask_hold_start=int(mask), mask_hold_end=int(mask)).train(), aid).train()
    with fake_cuda() as device:
        on_device(trainee)
        batch, weight = fake_batch(device), torch.zeros((), device=device)
        with FromHost() as copies:
            targets = targets_of(batch, "corrected")
            with torch.autocast("cuda", torch.bfloat16):
                predictions = trainee(batch.images, None, given_mask(batch, aid, 8), slice(1, None, 2))
            terms = objective(predictions, targets, batch, Settings(aid=aid), slice(1, None, 2), 8, weight)
            terms["objective"].backward()
        assert copies.found == []
        with FromHost() as copies:
            batch.images.new_tensor([1.0, 2.0])
        assert copies.found, "the watch sees what it is for"


def fake_batch(device: torch.device) -> TrainBatch:
    """Two clips of three frames with all truth."""
    pose = torch.zeros(2, 3, 3, 4, device=device)
    return TrainBatch(
        images=torch.rand(2, 3, 3, 32, 64, device=device),
        depth=torch.rand(2, 3, 32, 64, device=device),
        cam_from_world=pose,
        K=torch.rand(2, 3, 3, 3, device=device),
        names=("a", "b"),
        dataset="fake",
        moving=torch.zeros(2, 3, 32, 64, dtype=torch.bool, device=device),
        flow=torch.rand(2, 2, 32, 64, 2, device=device),
    )


def test_the_stand_in_for_autograds_engine_gives_its_gradients() -> None:
    from fake_cuda import _backward

    torch.manual_seed(0)
    model = little_model(mask_hold_start=1, mask_hold_end=1).train()
    images, gradients = torch.rand(1, 2, 3, 32, 64), []
    for backward in (torch.Tensor.backward, _backward):
        model.zero_grad()
        out = model(images)
        backward(out["depth"].mean() + out["pose_enc"].square().mean())
        gradients.append({name: w.grad for name, w in model.named_parameters() if w.grad is not None})
    torch.testing.assert_close(gradients[0], gradients[1])


def test_the_fake_device_finds_what_it_is_for() -> None:
    with fake_cuda() as device:
        here = torch.rand(3, device=device)
        with pytest.raises(RuntimeError, match="device"):
            here + torch.rand(3)
        with pytest.raises(DataDependentOutputException):
            here.sum().item()
