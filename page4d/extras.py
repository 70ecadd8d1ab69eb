"""Optional packages: what an absent one costs is one line that says which extra brings it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from page4d.schema import UserError

# Package as it is imported -> the extras of pyproject.toml that bring it; a test holds the two to each other.
EXTRAS_OF = {
    "IPython": ("book",),
    "OpenEXR": ("exr",),
    "accelerate": ("train",),
    "docutils": ("book",),
    "evo": ("evaluate",),
    "gradio": ("demo",),
    "h5py": ("data",),
    "hydra": ("train", "evaluate"),
    "jupyter_book": ("book",),
    "jupytext": ("book",),
    "matplotlib": ("view", "train"),
    "nbclient": ("book",),
    "omegaconf": ("train", "evaluate"),
    "onnx": ("onnx",),
    "onnxruntime": ("onnx",),
    "onnxscript": ("onnx",),
    "pandas": ("evaluate",),
    "papermill": ("book",),
    "pillow_heif": ("heic",),
    "plotly": ("view",),
    "playwright": ("pdf",),
    "pyarrow": ("data",),
    "pycolmap": ("colmap",),
    "pypdf": ("pdf",),
    "rerun": ("rerun",),
    "tensorboard": ("train",),
}


@contextmanager
def extras_named(purpose: str = "this") -> Iterator[None]:
    """Imports inside the block, also those of imported modules, may be of optional packages.

    Raises:  UserError naming the package and the extra that brings it, if such a package is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS_OF:
            raise
        ways = " or ".join(f'pip install "page4d[{extra}]"' for extra in EXTRAS_OF[package])
        raise UserError(f"{purpose} needs the package {package}, which is not installed: {ways}") from error
