"""Changes of colour in training: jitter, grey, blur, from torchvision's v2 transforms.

Only colours change, never geometry. `co_jitter` is the share of clips in which all frames get the same jitter, as
the option is documented; the public code does the opposite and gives that share frame-by-frame jitter.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from page4d.schema import UserError


@dataclass(frozen=True)
class ColourAugmentation:
    """Ranges and chances; the defaults are the public training's. All chances are per clip but the jitter's own.

    Note:    brightness, contrast, saturation are the largest relative changes, hue is in turns of the colour circle;
             jitter is the chance that a clip (or frame) is jittered at all; co_jitter the share of clips with one
             jitter for all frames; grey and blur the chances of those two, the same for all frames of a clip.
    """

    brightness: float = 0.5
    contrast: float = 0.5
    saturation: float = 0.5
    hue: float = 0.1
    jitter: float = 0.9
    co_jitter: float = 0.3
    grey: float = 0.05
    blur: float = 0.0
    blur_sigma: tuple[float, float] = (0.1, 1.0)

    def __post_init__(self) -> None:
        for name in ("jitter", "co_jitter", "grey", "blur"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"augmentation {name} is {getattr(self, name)}; it is a chance, expected 0 to 1")
        if not 0 <= self.hue <= 0.5 or min(self.brightness, self.contrast, self.saturation) < 0:
            raise UserError("augmentation: expected 0 <= hue <= 0.5 and no negative brightness, contrast or saturation")

    def __call__(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Augment the frames of a clip: float (S, 3, H, W) in [0, 1] -> the same, a new tensor unless nothing changes.

        Note:    every draw comes from `rng`, torch's global state is left as it was.
        """
        grey, blur = rng.random() < self.grey, rng.random() < self.blur
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed, which reseeds the GPUs as well.
            torch.default_generator.manual_seed(int(rng.integers(2**62)))
            images = self._jittered(images, together=rng.random() < self.co_jitter, rng=rng)
            if grey:
                images = v2.functional.rgb_to_grayscale(images, num_output_channels=3)
            if blur:
                images = v2.GaussianBlur(5, self.blur_sigma)(images)
        return images

    def _jittered(self, images: Tensor, together: bool, rng: np.random.Generator) -> Tensor:
        if max(self.brightness, self.contrast, self.saturation, self.hue) == 0:
            return images
        change = v2.ColorJitter(self.brightness, self.contrast, self.saturation, self.hue)
        groups = [images] if together else list(images.split(1))
        return torch.cat([_changed(change, group) if rng.random() < self.jitter else group for group in groups])


def _changed(change: v2.ColorJitter, images: Tensor) -> Tensor:
    """What `change(images)` gives, with the same draws, but hue by OpenCV: a third of the time at full size."""
    params = change.make_params([images])
    adjust = (
        v2.functional.adjust_brightness,
        v2.functional.adjust_contrast,
        v2.functional.adjust_saturation,
        turn_hue,
    )
    names = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
    for index in params["fn_idx"]:
        if params[names[index]] is not None:
            images = adjust[index](images, float(params[names[index]]))
    return images


def turn_hue(images: Tensor, turns: float) -> Tensor:
    """Turn the hue of float RGB images (S, 3, H, W) by a part of the colour circle, as torchvision's adjust_hue."""
    frames = np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())  # no copy where colours lie together
    turned = np.empty_like(frames)
    for frame, out in zip(frames, turned, strict=True):
        hsv = cv2.cvtColor(frame, cv2.COLOR_RGB2HSV)
        hsv[..., 0] += 360 * (turns % 1.0)  # OpenCV takes hues of 360 and more as they are, but not negative ones
        cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB, dst=out)
    return torch.from_numpy(turned).permute(0, 3, 1, 2)
