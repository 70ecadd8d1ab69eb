"""Colour changes: the documented chances, the same from the same numbers, and colours only."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from page4d.data import augmentation
from page4d.data.augmentation import ColourAugmentation, turn_hue
from page4d.model.weights import _fresh_mask_head
from page4d.schema import UserError

STILL = ColourAugmentation(0, 0, 0, 0, grey=0.0)


def pictures(frames: int = 4) -> Tensor:
    one = torch.rand(1, 3, 9, 11, generator=torch.Generator().manual_seed(0)) * 0.6 + 0.2
    return one.expand(frames, -1, -1, -1).clone()


def share(augment: ColourAugmentation, trait: object, n: int = 200) -> float:
    assert callable(trait)
    return float(np.mean([bool(trait(augment(pictures(), np.random.default_rng(i)))) for i in range(n)]))


def frames_alike(images: Tensor) -> bool:
    return torch.equal(images[0], images[1]) and torch.equal(images[0], images[3])


@pytest.mark.parametrize("co_jitter", [0.0, 0.3, 1.0])
def test_co_jitter_is_the_share_of_clips_with_one_jitter(co_jitter: float) -> None:
    augment = ColourAugmentation(jitter=1.0, co_jitter=co_jitter, grey=0.0)
    assert share(augment, frames_alike) == pytest.approx(co_jitter, abs=0.09 if 0 < co_jitter < 1 else 0)


def test_the_chance_of_a_jitter() -> None:
    augment = ColourAugmentation(jitter=0.9, co_jitter=1.0, grey=0.0)
    assert share(augment, lambda x: not torch.equal(x, pictures())) == pytest.approx(0.9, abs=0.06)


def test_grey_is_grey_in_all_frames() -> None:
    augment = ColourAugmentation(co_jitter=0.0, grey=1.0)
    out = augment(pictures(), np.random.default_rng(0))
    torch.testing.assert_close(out[:, 0], out[:, 1])
    torch.testing.assert_close(out[:, 0], out[:, 2])
    assert share(ColourAugmentation(0, 0, 0, 0, grey=0.25), lambda x: torch.equal(x[:, 0], x[:, 1])) == pytest.approx(
        0.25, abs=0.08
    )


def test_blur_smooths_and_keeps_the_mean() -> None:
    augment = ColourAugmentation(0, 0, 0, 0, grey=0.0, blur=1.0, blur_sigma=(1.0, 1.0))
    out = augment(pictures(), np.random.default_rng(0))
    assert out.std() < 0.8 * pictures().std()
    torch.testing.assert_close(out, reference.gaussian_blur(pictures(), [5, 5], [1.0, 1.0]))


@pytest.mark.parametrize("trait", ["brightness", "contrast", "saturation", "hue"])
def test_each_range_alone(trait: str) -> None:
    """A jitter of one trait is that trait's torchvision function at some factor of the range."""
    augment = ColourAugmentation(
        **{"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, trait: 0.1}, jitter=1.0, grey=0.0
    )
    out = augment(pictures(), np.random.default_rng(3))
    centre = 0.0 if trait == "hue" else 1.0
    change = getattr(reference, f"adjust_{trait}")
    factors = np.linspace(centre - 0.1, centre + 0.1, 401)
    errors = [float((change(pictures()[:1], float(f)) - out[:1]).abs().max()) for f in factors]
    assert min(errors) < 1e-3
    assert float((out - pictures()).abs().max()) > 1e-3


def test_hue_and_draws_equal_torchvision() -> None:
    images = torch.rand(2, 3, 13, 17, generator=torch.Generator().manual_seed(1))
    for turns in (-0.4, -0.05, 0.0, 0.1, 0.5):
        torch.testing.assert_close(turn_hue(images, turns), reference.adjust_hue(images, turns), atol=2e-5, rtol=0)
    change = v2.ColorJitter(0.5, 0.5, 0.5, 0.1)
    for seed in range(5):
        torch.manual_seed(seed)
        theirs = change(images)
        torch.manual_seed(seed)
        torch.testing.assert_close(augmentation._changed(change, images), theirs, atol=5e-5, rtol=0)


def test_the_same_numbers_give_the_same_colours_and_leave_torch_alone() -> None:
    augment = ColourAugmentation(grey=0.2, blur=0.5)
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = augment(pictures(), np.random.default_rng(9))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert torch.equal(augment(pictures(), np.random.default_rng(9)), first)
    assert not torch.equal(augment(pictures(), np.random.default_rng(10)), first)
    assert first.shape == pictures().shape
    assert 0 <= first.min() <= first.max() <= 1


def test_nothing_to_do_changes_nothing() -> None:
    assert torch.equal(STILL(pictures(), np.random.default_rng(0)), pictures())


def test_impossible_settings_are_refused() -> None:
    for bad in ({"jitter": 1.5}, {"co_jitter": -0.1}, {"grey": 2.0}, {"hue": 0.6}, {"contrast": -1.0}):
        with pytest.raises(UserError, match="augmentation"):
            ColourAugmentation(**bad)


@pytest.mark.parametrize(
    "draw",
    [lambda: ColourAugmentation(blur=0.5)(pictures(), np.random.default_rng(1)), lambda: _fresh_mask_head(16)],
)
def test_the_generators_of_gpus_are_left_alone(draw: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    draw()
    assert seeded == []
