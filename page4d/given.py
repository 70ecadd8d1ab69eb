"""Arrays as users bring them, as the arithmetic takes them: whole numbers and masks of numbers pass for something else.

An array of integers would cut a scale of 0.5 to 0, and as a mask it picks rows by number, without an error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from torch import Tensor


def as_real(values: ArrayLike) -> NDArray[Any]:
    """Numbers with fractions in this machine's byte order: floats as they are, half and whole ones in the next wider.

    Raises:  ValueError for anything but real numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"got an array of {array.dtype}; expected real numbers")
    return array.astype(np.result_type(array, np.float32), copy=False)


def as_real_tensor(values: Any) -> Tensor:
    """A tensor of numbers with fractions: a floating one as it is, others and numpy's arrays made to one.

    Note:    shares its memory with `values` where that can be.
    """
    import torch

    if isinstance(values, torch.Tensor):
        return values if values.is_floating_point() else values.to(torch.get_default_dtype())
    array = np.asarray(values)
    kind = array.dtype if array.dtype.kind == "f" else np.result_type(array, np.float32)
    # torch takes neither another byte order nor backward strides, and warns of what may not be written.
    return torch.from_numpy(np.require(array, kind.newbyteorder("="), ["C", "W"]))


def as_mask(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    """A mask as bool: of whole numbers, such as 0 and 255 of a picture, all but 0 are true.

    Raises:  ValueError for fractions, of which nobody knows where true begins.
    """
    array = np.asarray(values)
    if array.dtype.kind == "b":
        return array
    if array.dtype.kind not in "iu" and not (array.dtype.kind == "f" and np.isin(array, (0, 1)).all()):
        raise ValueError(
            f"{name}: a mask of {array.dtype}, expected bool; compare it with a threshold, such as mask > 0"
        )
    return np.asarray(array != 0)
