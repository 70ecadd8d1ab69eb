"""From raw downloads to benchmark folders, each with a manifest that says which files belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from page4d.doors import door

if TYPE_CHECKING:
    from page4d.prepare import bonn as bonn, tum as tum
    from page4d.prepare.plans import Plan as Plan, write_plan as write_plan
    from page4d.prepare.synthetic import SyntheticOptions as SyntheticOptions, plan_scenes as plan_scenes
else:
    __getattr__, __dir__, __all__ = door(__name__, __file__)
