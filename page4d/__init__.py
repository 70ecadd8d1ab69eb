"""PAGE-4D: cameras, depth and points of moving scenes from plain images.

    import page4d
    model = page4d.PAGE4D.from_pretrained("tiny")
    prediction = page4d.predict(model, ["a.jpg", "b.jpg"])

The names below are imported on first use, so that `import page4d` and the command line's help stay quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from page4d.version import __version__

if TYPE_CHECKING:
    from page4d.geometry import (
        extri_intri_to_pose_encoding,
        pose_encoding_to_extri_intri,
        unproject_depth_map_to_point_map,
    )
    from page4d.inference import predict, track
    from page4d.io.images import load_and_preprocess_images, load_images
    from page4d.model import PAGE4D, PAGE4DConfig
    from page4d.schema import Clip, Prediction

_HOME = {
    "Clip": "page4d.schema",
    "PAGE4D": "page4d.model",
    "PAGE4DConfig": "page4d.model",
    "Prediction": "page4d.schema",
    "extri_intri_to_pose_encoding": "page4d.geometry",
    "load_and_preprocess_images": "page4d.io.images",
    "load_images": "page4d.io.images",
    "pose_encoding_to_extri_intri": "page4d.geometry",
    "predict": "page4d.inference",
    "track": "page4d.inference",
    "unproject_depth_map_to_point_map": "page4d.geometry",
}

__all__ = [
    "PAGE4D",
    "Clip",
    "PAGE4DConfig",
    "Prediction",
    "__version__",
    "extri_intri_to_pose_encoding",
    "load_and_preprocess_images",
    "load_images",
    "pose_encoding_to_extri_intri",
    "predict",
    "track",
    "unproject_depth_map_to_point_map",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'page4d' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
