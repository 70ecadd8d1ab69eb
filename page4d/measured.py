"""What counts as a measurement in a depth map; of numpy arrays and of tensors alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


@overload
def is_measured(depth: Tensor) -> Tensor: ...
@overload
def is_measured(depth: NDArray[np.floating[Any]]) -> NDArray[np.bool_]: ...
def is_measured(depth: Any) -> Any:
    """Where a depth is known: finite and above 0, for 0, negative numbers, NaN and infinity all stand for none."""
    return (depth > 0) & (depth < float("inf"))
