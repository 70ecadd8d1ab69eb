"""How a score changes with how much is seen: the same sequences at several numbers of frames and frame rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from page4d.evaluate.density_settings import Density
from page4d.evaluate.harness import Report, Study
from page4d.evaluate.statistics import interval_of
from page4d.evaluate.tables import cost_of, write_tables
from page4d.metrics import METRICS
from page4d.model import PAGE4D
from page4d.schema import Scores, atomic_write
from page4d.viz.scores import Curve, density_panels


def study_at(study: Study, frames: int, every: int, sequences: tuple[str, ...]) -> Study:
    """The study of the first `frames` frames of every `every`-th."""
    benchmark = study.benchmark
    variant = "-".join(part for part in (benchmark.variant, f"first{frames}", f"every{every}") if part)
    stride = benchmark.stride * every
    # Lists of the public protocol name sequences, too; here all settings are measured on the same ones.
    thinned = replace(benchmark, variant=variant, first=frames, stride=stride, sequences=sequences)
    return replace(study, benchmark=replace(thinned, left_out_by_public=()), root=study.folder())


def measure_density(
    study: Study, model: PAGE4D, label: str, density: Density, report: Report | None = None
) -> dict[tuple[int, int], Scores]:
    """Both loops at every density; by (frames, every).

    Raises:  UserError for a density that is not one, or that no sequence holds.
    """
    lengths = {sequence.name: len(sequence.images) for sequence in study.sequences()}
    held, names = density.of(lengths)
    found = {}
    for frames, every in held:
        found[frames, every] = study_at(study, frames, every, names).run(model, label, report)
    return found


def density_table(found: Mapping[tuple[int, int], Scores]) -> pd.DataFrame:
    """One row for each density: every headline score with its interval, and what it cost."""
    rows = []
    for (frames, every), scores in found.items():
        row = {"frames": frames, "every": every, "n": f"{scores.n}/{scores.of}"}
        cost = {name: value for name, value in cost_of(scores).items() if name != "frames"}
        values: dict[str, float | None] = {}
        for metric in scores.better:
            low, high = interval_of(scores, metric)
            title = METRICS[metric].heading
            values |= {title: scores.mean.get(metric), f"{title} low": low, f"{title} high": high}
        rows.append(row | values | cost)
    return pd.DataFrame(rows)


def write(found: Mapping[tuple[int, int], Scores], stem: Path) -> list[Path]:
    """The table as Markdown, CSV and LaTeX, and the picture `stem.png`."""
    paths = write_tables(density_table(found), stem)
    first = next(iter(found.values()))
    metric = next(iter(first.better))
    panels: dict[str, list[Curve]] = {}
    panels[METRICS[metric].title] = curves(found, lambda s: (s.mean[metric], *interval_of(s, metric)))
    panels["seconds"] = curves(found, lambda s: (cost_of(s)["seconds"],) * 3)
    panels["peak memory (GiB)"] = curves(found, lambda s: (cost_of(s)["GiB"],) * 3)
    picture = stem.with_name(f"{stem.name}.png")
    with atomic_write(picture) as stream:
        density_panels(panels).savefig(stream, format="png", dpi=150)
    return [*paths, picture]


BEST_GUESS = {"abs_rel": "rows", "relative_rotation": "still", "direction": "still", "ate": "line"}
"""What a network's scores over the number of frames are drawn beside: the best answer that sees no picture."""


def lengths_figure(exams: Sequence[Mapping[str, Any]]) -> Figure:
    """Scores of stored exams over the number of frames: a panel a score, a curve a network, and the best guess.

    Note:    bands are 95 % intervals over the few clips; an ATE is defined for eight frames or more. The guesses are
             those of `BEST_GUESS`.
    """
    panels: dict[str, list[Curve]] = {}
    for score, guess in BEST_GUESS.items():
        metric = METRICS[score]
        made = [_over_frames(str(exam["about"]["label"]), exam["frames"], score) for exam in exams]
        guessed = {count: part["yardsticks"][guess] for count, part in exams[0]["frames"].items()}
        panels[f"{metric.heading} (degrees)" if metric.unit == "deg" else metric.heading] = [
            *made,
            _over_frames("no network", guessed, score),
        ]
    return density_panels(panels)


def _over_frames(name: str, frames: Mapping[str, Mapping[str, Any]], score: str) -> Curve:
    having = {int(count): part for count, part in frames.items() if score in part["mean"]}
    points = [(part["mean"][score], *part["interval"][score]) for part in having.values()]
    return Curve(name, list(having), points)


def curves(
    found: Mapping[tuple[int, int], Scores], value: Callable[[Scores], tuple[float, float, float]]
) -> list[Curve]:
    """One curve over the number of frames for each frame rate."""
    rates: Sequence[int] = list(dict.fromkeys(every for _, every in found))
    made = []
    for rate in rates:
        counts = [frames for frames, every in found if every == rate]
        points = [value(found[count, rate]) for count in counts]
        name = "every frame" if rate == 1 else f"one frame of {rate}"
        made.append(Curve(name, counts, points))
    return made
