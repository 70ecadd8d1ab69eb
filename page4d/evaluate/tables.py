"""Scores side by side: for the eye, for a spreadsheet and for a paper; measured and quoted never mixed up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from page4d.evaluate.statistics import interval_of
from page4d.metrics import METRICS
from page4d.schema import Scores, UserError, atomic_write

if TYPE_CHECKING:
    from page4d.evaluate.exact_scores import ClipScores

CHOICES = ("align", "moving", "icp", "followed")
"""Settings beyond the protocol that tables tell apart."""
COSTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "frames": ("frames_in", np.mean),
    "seconds": ("seconds", np.mean),
    "GiB": ("peak_gib", np.max),
}
LOW, HIGH = " low", " high"
"""What the columns of an interval add to the name of their score's."""
CLIP_TITLES = {
    "abs_rel": "error of depth",
    "abs_rel_constant": "the same of one value",
    "rotation_deg": "rotation error, degrees",
    "rotation_deg_still": "the same of a still camera",
    "direction_deg": "direction of motion, degrees off",
}
ARROWS = {"lower": "↓", "higher": "↑"}
LATEX = {"δ": r"$\delta$", "<": "$<$", "²": "$^2$", "³": "$^3$", "↓": r"$\downarrow$", "↑": r"$\uparrow$", "&": r"\&",
         "_": r"\_", "%": r"\%", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
         "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}  # fmt: skip


@dataclass(frozen=True)
class Quoted:
    """One published row: values as printed, where they stand, who wrote them down, and whether that was checked.

    Note:    `version` is that of the paper, `table` the one in it; both say so where nobody noted them.
    """

    task: str
    dataset: str
    method: str
    values: dict[str, float]
    source: str
    checked: bool
    version: str
    table: str
    transcriber: str
    align: str = ""
    variant: str = ""

    @property
    def status(self) -> str:
        """How far the row can be trusted: whose it is, where it stands, who wrote it down."""
        checked = "quoted" if self.checked else "quoted, unchecked"
        return f"{checked}: {self.source}, {self.version}, {self.table}, transcribed by {self.transcriber}"


def quoted_rows(task: str | None = None, dataset: str | None = None, align: str | None = None) -> list[Quoted]:
    """Published rows, from `quoted.yaml`; never typed into a chapter."""
    stored = yaml.safe_load((Path(__file__).parent / "quoted.yaml").read_text(encoding="utf-8"))
    common = {name: value for name, value in stored.items() if name != "rows"}
    rows = [Quoted(**(common | row)) for row in stored["rows"]]
    if task is not None:
        rows = [row for row in rows if row.task == task]
    if dataset is not None:
        rows = [row for row in rows if row.dataset == dataset]
    if align is not None:
        rows = [row for row in rows if row.align in ("", align)]
    return rows


def heading(metric: str, scores: Scores) -> str:
    """Name, unit and direction of better: `ATE (m) ↓`."""
    unit = scores.units.get(metric, "")
    arrow = ARROWS.get(scores.better.get(metric, ""), "")
    return " ".join(part for part in (METRICS[metric].heading, f"({unit})" if unit else "", arrow) if part)


def model_name(scores: Scores) -> str:
    """How tables call what was scored."""
    return str(scores.origin["label"]) + (" (external)" if scores.origin["source"] == "external" else "")


def chosen_words(scores: Scores) -> dict[str, str]:
    """The settings beyond the protocol that these Scores were made with."""
    return {name: scores.protocol[name] for name in CHOICES if name in scores.protocol}


def cost_of(scores: Scores) -> dict[str, float]:
    """Mean frames and seconds of a sequence and the largest peak memory; NaN where nobody measured it."""
    costs = {}
    for heading, (note, together) in COSTS.items():
        known = [q.notes[note] for q in scores.sequences if note in q.notes]
        costs[heading] = float(together(known)) if known else float("nan")
    return costs


def printed(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """A table as a page shows it: every real number with the same digits, and nothing where there is none."""

    def told(value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return "" if math.isnan(value) else f"{value:.{digits}f}"

    return table.map(told)


def scores_table(
    results: Sequence[Scores], metrics: Sequence[str] | None = None, *, intervals: bool = False
) -> pd.DataFrame:
    """One row for each Scores of one task; `n` says how many sequences the mean holds, out of how many.

    Note:    frames and seconds are means over sequences of what went into the network and how long it took, GiB is the
             largest peak memory. A length has a column for each unit, metres and the film's own. `intervals` adds to
             each score the 95 % bootstrap interval over its sequences, as `NAME low` and `NAME high`, which `markdown`
             and `latex` print as one cell.
    Raises:  UserError if the Scores are of different tasks.
    """
    if len({s.task for s in results}) != 1:
        raise UserError(f"a table holds one task; got {sorted({s.task for s in results})}")
    names = list(metrics or dict.fromkeys(name for scores in results for name in scores.better))
    titles = {name: _headings(name, results) for name in names}
    rows = []
    for s in results:
        row: dict[str, Any] = {
            "benchmark": f"{s.benchmark} v{s.version}",
            "model": model_name(s),
            "protocol": s.protocol["name"],
        }
        row |= chosen_words(s) | {"n": f"{s.n}/{s.of}"} | cost_of(s)
        for name in names:
            own = heading(name, s) if heading(name, s) in titles[name] else titles[name][0]
            for title in titles[name]:
                has = name in s.mean and title == own
                row[title] = s.mean[name] if has else float("nan")
                if intervals:
                    low, high = interval_of(s, name) if has else (float("nan"),) * 2
                    row |= {f"{title}{LOW}": low, f"{title}{HIGH}": high}
        rows.append(row)
    return _counted(pd.DataFrame(rows))


def _headings(metric: str, results: Sequence[Scores]) -> list[str]:
    """The headings of a score, one for each unit that it has in these results."""
    having = [scores for scores in results if metric in scores.better]
    return list(dict.fromkeys(heading(metric, scores) for scores in having or results))


def _counted(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its frames as whole numbers, where they all are; a mean of 6.5 stays one."""
    frames = table["frames"]
    return table.assign(frames=frames.astype(int)) if (frames % 1 == 0).all() else table


def measured_on(results: Sequence[Scores]) -> str:
    """When and on what the numbers were made, for the line under a table."""
    dates = sorted({str(s.origin["date"]) for s in results})
    hardware = sorted({str(s.origin["hardware"]) for s in results} - {""})
    return f"measured {' and '.join(dates)} on {', '.join(hardware) or 'unknown hardware'}"


def clip_table(answers: Mapping[str, ClipScores]) -> pd.DataFrame:
    """A row for each error of clips, a column for each answer, as a page shows them: three digits that count."""
    columns = {name: vars(scores) for name, scores in answers.items()}
    return pd.DataFrame(columns).rename(CLIP_TITLES).map("{:.3g}".format)


def beside_quoted(results: Sequence[Scores], rows: Sequence[Quoted]) -> pd.DataFrame:
    """Our rows and the published ones in one table; the last column says which is which."""
    printed = {name for row in rows for name in row.values}
    names = [name for name in results[0].better if name in printed]
    ours = []
    for scores in results:
        _, dataset = scores.benchmark.split("-", 1)
        row = {"dataset": dataset, "method": scores.origin["label"], "protocol": scores.protocol["name"]}
        row |= {METRICS[name].heading: scores.mean.get(name) for name in names}
        ours.append(row | {"status": f"{measured_on([scores])}, n = {scores.n}/{scores.of}"})
    published = quoted_table(rows).assign(protocol="as published")
    return pd.concat([pd.DataFrame(ours), published])[list(ours[0])]


def quoted_table(rows: Sequence[Quoted]) -> pd.DataFrame:
    """Published rows as a table whose last column says that they are quoted."""
    metrics = list(dict.fromkeys(m for row in rows for m in row.values))
    table = []
    for row in rows:
        status = "quoted" if row.checked else "quoted, unchecked"
        left = {"dataset": row.dataset, "method": row.method, "align": row.align, "variant": row.variant}
        table.append(left | {METRICS[m].heading: row.values.get(m) for m in metrics} | {"status": status})
    frame = pd.DataFrame(table)
    return frame.drop(columns=[c for c in ("align", "variant") if not frame[c].any()])


def failures(results: Sequence[Scores]) -> list[str]:
    """One line for each sequence without a score: benchmark, sequence and reason."""
    return [f"{s.benchmark}, {q.name}: {q.error}" for s in results for q in s.sequences if q.error is not None]


def folded(table: pd.DataFrame, digits: int = 3) -> pd.DataFrame:
    """The table with each score and its interval in one cell, `0.12 (0.10 to 0.15)`, for the eye."""
    whole = table.copy()
    for name in table.columns:
        if {f"{name}{LOW}", f"{name}{HIGH}"} <= set(table.columns):
            lows, highs = whole.pop(f"{name}{LOW}"), whole.pop(f"{name}{HIGH}")
            whole[name] = [with_interval(*three, digits) for three in zip(table[name], lows, highs, strict=True)]
    return whole


def with_interval(value: float, low: float, high: float, digits: int = 3) -> str:
    """`0.12 (0.10 to 0.15)`, or the value alone where it has no interval."""
    shown = _cell(float(value), digits)
    return shown if pd.isna(low) else f"{shown} ({low:.{digits}f} to {high:.{digits}f})"


def markdown(table: pd.DataFrame, digits: int = 3) -> str:
    """A pipe table; numbers with a fixed count of digits, intervals folded."""
    table = folded(table, digits)
    cells = _cells(table, digits)
    head, *rows = (_markdown_row(line) for line in (list(table.columns), *cells))
    return "\n".join([head, _markdown_row(["---"] * len(table.columns)), *rows]) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    # A bar within a cell, of a label for example, would begin another.
    escaped = (str(cell).replace("|", r"\|") for cell in cells)
    return f"| {' | '.join(escaped)} |"


def latex(table: pd.DataFrame, digits: int = 3) -> str:
    """A booktabs tabular, intervals folded."""
    table = folded(table, digits)
    numeric = [pd.api.types.is_numeric_dtype(table[c]) for c in table.columns]
    head, *rows = (_latex_row(line) for line in ([*table.columns], *_cells(table, digits)))
    columns = "".join("r" if n else "l" for n in numeric)
    body = "\n".join(rows)
    return f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{head}\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_latex(cell) for cell in cells) + r" \\"


def _cells(table: pd.DataFrame, digits: int) -> list[list[str]]:
    told = partial(_cell, digits=digits)
    return [list(map(told, row)) for row in table.itertuples(index=False)]


def _cell(value: Any, digits: int) -> str:
    if isinstance(value, float):
        return "-" if pd.isna(value) else f"{value:.{digits}f}"
    return str(value)


def _latex(text: str) -> str:
    return "".join(LATEX.get(c, c) for c in str(text))


def write_tables(table: pd.DataFrame, stem: Path) -> list[Path]:
    """Write `stem.md`, `stem.csv` (full precision) and `stem.tex`."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    texts = {".md": markdown(table), ".csv": table.to_csv(index=False), ".tex": latex(table)}
    # Added, not put in place of what stands behind a point: net-0.1 and net-0.2 are two.
    paths = [stem.with_name(stem.name + suffix) for suffix in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        with atomic_write(path, "w") as stream:
            stream.write(text)
    return paths
