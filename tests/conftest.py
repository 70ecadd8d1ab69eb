"""Settings of every test: one torch thread a process, no time limits in hypothesis, no GPU tests without a GPU."""

from __future__ import annotations

import os

# Before torch or numpy are imported: two pytest workers with two threads each would fight over two cores.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

import hypothesis
import pytest
import torch

torch.set_num_threads(1)

# A deadline measures the machine, not the code; a fixed choice of examples keeps a failure repeatable.
hypothesis.settings.register_profile("page4d", deadline=None, derandomize=True, max_examples=50)
hypothesis.settings.load_profile("page4d")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs CUDA where there is none."""
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs CUDA")
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(skip)
