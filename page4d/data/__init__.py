"""Moving scenes with ground truth: readers of the real datasets, mixes of them, and pictures to try a network on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from page4d.doors import door

if TYPE_CHECKING:
    from page4d.data.configured import (
        dataset_from as dataset_from,
        ingredient_from as ingredient_from,
        mix_from as mix_from,
    )
    from page4d.data.datasets import (
        DATASETS as DATASETS,
        Folder as Folder,
        SceneDataset as SceneDataset,
        dataset_class as dataset_class,
    )
    from page4d.data.mixing import Mix as Mix
    from page4d.data.views import Views as Views, open_views as open_views
    from page4d.io.depth_png import read_depth_png as read_depth_png, write_depth_png as write_depth_png
else:
    __getattr__, __dir__, __all__ = door(__name__, __file__)
