"""How networks are trained: one optimizer step an iteration, resumable at any of them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from page4d.doors import door

# accelerate imports tqdm's bars of widgets, which complain in a notebook without ipywidgets; bars here are text.
warnings.filterwarnings("ignore", message="IProgress not found")

if TYPE_CHECKING:
    from page4d.train.batch import stack as stack, targets_of as targets_of
    from page4d.train.loop import Outcome as Outcome, Trainer as Trainer
    from page4d.train.publish import changes_text as changes_text
    from page4d.train.record import read_scalars as read_scalars
    from page4d.train.results import last_doubling as last_doubling, pictures_seen as pictures_seen
    from page4d.train.setup import open_trainer as open_trainer, trainer_from as trainer_from
else:
    __getattr__, __dir__, __all__ = door(__name__, __file__)
