"""Both loops for one benchmark, protocol and model: where their files lie, and how they are called."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.layouts import list_sequences
from page4d.evaluate.old_names import former_name
from page4d.evaluate.predictions import FOLDER_FILE, Origin, origin_of, predict_benchmark, share_of_this_process
from page4d.evaluate.protocol import STANDARD, Protocol
from page4d.evaluate.rules import Align, Followed, Icp, MovingOf, Rules
from page4d.evaluate.scoring import score_benchmark
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.synthetic_folder import SyntheticSettings, synthetic_root
from page4d.evaluate.tasks import Task, task_of
from page4d.model import PAGE4D
from page4d.schema import Scores, UserError

Report = Callable[[str, str], None]


@dataclass(frozen=True)
class Study:
    """One line of a table: a benchmark under a protocol.

    Note:    root is the dataset's folder; None renders the synthetic benchmark below `out`.
    Raises:  UserError for a task or a choice that does not exist, and for `public` where no released script measures.
    """

    benchmark: Benchmark
    protocol: Protocol = STANDARD
    align: Align = Rules.align
    out: Path = Path("evaluation")
    root: Path | None = None
    moving: MovingOf = field(default=Rules.moving, kw_only=True)
    icp: Icp = field(default=Rules.icp, kw_only=True)
    followed: Followed = field(default=Rules.followed, kw_only=True)
    legacy_quaternion_order: bool = field(default=Rules.legacy_quaternion_order, kw_only=True)

    def __post_init__(self) -> None:
        # Scoring refuses these, too; by then the predictions would have been made for nothing.
        rules = self.rules
        if not self.task.with_public:
            rules.without_public(f"no released script measures {self.benchmark.task}")

    @property
    def task(self) -> Task:
        """What the benchmark measures."""
        return task_of(self.benchmark.task)

    @property
    def rules(self) -> Rules:
        """How its predictions are scored; no files are written."""
        rules = Rules(self.benchmark, self.protocol, self.align, self.moving, self.icp, self.followed)
        return replace(rules, legacy_quaternion_order=self.legacy_quaternion_order)

    def sequences(self) -> list[EvalSequence]:
        """The benchmark's sequences under the protocol; renders the synthetic ones that are not there yet."""
        return list_sequences(self.folder(), self.benchmark, self.protocol)

    def scored(self, scores: Scores) -> list[EvalSequence]:
        """Those of its sequences that these scores have a value of; one may be left out for want of memory."""
        done = {one.name for one in scores.sequences if one.error is None}
        return [sequence for sequence in self.sequences() if sequence.name in done]

    def folder(self) -> Path:
        """The data set's folder; renders the synthetic one."""
        if self.root is not None:
            return self.root
        if self.benchmark.dataset != "synthetic":
            raise UserError(f"{self.benchmark.name} needs root=FOLDER with {self.benchmark.download}")
        return synthetic_root(SyntheticSettings(**(self.benchmark.settings or {})), self.out / "data")

    def predictions(self, label: str) -> Path:
        """Where predictions lie: one folder for each model, benchmark and kind of input.

        Raises:  UserError if they are of another label, which differs in signs that no folder's name may hold.
        """
        inputs = "-".join(str(v) for v in self.protocol.input_key(self.benchmark.task).values())
        key = ""
        if self.benchmark.dataset == "synthetic" and self.root is None:
            key = "-" + SyntheticSettings(**(self.benchmark.settings or {})).key()
        parent, name = self.out / "predictions" / safe_name(label), self.benchmark.name
        earlier = parent / f"{former_name(name)}{key}" / inputs
        folder = earlier if earlier.is_dir() else parent / f"{name}{key}" / inputs
        if (folder / FOLDER_FILE).is_file() and (other := Origin.load(folder).label) != label:
            raise UserError(f"{folder} belongs to label {other!r}, and {label!r} has the same folder; choose another")
        return folder

    def scores_file(self, label: str) -> Path:
        """Where the Scores of a model go."""
        chosen = self.rules.chosen(self.task.choices).values()
        parts = [self.benchmark.name, self.protocol.name, *(value.replace("&", "_and_") for value in chosen)]
        return self.out / "scores" / safe_name(label) / f"{safe_name('-'.join(parts))}.json"

    def check(self, model: PAGE4D | None = None) -> None:
        """Refuse what could not be scored once it is predicted; without a model, as far as the benchmark tells.

        Raises:  UserError for a task without ground truth, or a choice that asks what this network does not say.
        """
        if not self.task.is_scored:
            raise UserError(
                f"{self.benchmark.name} has no ground truth and nothing is scored; `page4d evaluate predict` makes its "
                "predictions, which are for `page4d features` and viewing"
            )
        if model is None:
            return
        asked = self.rules.chosen(self.task.choices)
        if asked.get("followed") == "tracker" and model.track_head is None:
            raise UserError("followed=tracker: these weights have no track head; take vggt, or followed=pixels")
        if asked.get("followed") == "file":
            raise UserError("followed=file scores converted tracks; a network's own are followed=pixels or tracker")
        if asked.get("moving") == "model" and model.aggregator.alpha == 0:
            raise UserError("moving=model: these weights run without a mask; take some with one, or moving=geometric")

    def predict(self, model: PAGE4D, label: str, report: Report | None = None) -> int:
        """Loop one, this process's share; returns how many sequences failed."""
        origin = origin_of(model, label, self.benchmark, self.protocol)
        todo = share_of_this_process(self.sequences())
        failed = 0
        for name, outcome in predict_benchmark(model, todo, self.predictions(label), origin, self.task):
            failed += outcome == "failed"
            if report is not None:
                report(name, outcome)
        return failed

    def score(self, label: str, model: PAGE4D | None = None) -> Scores:
        """Loop two; writes the Scores file. With a model, its predictions only are accepted."""
        expected = None if model is None else origin_of(model, label, self.benchmark, self.protocol)
        return self.score_folder(self.predictions(label), label, expected)

    def score_folder(self, folder: Path, label: str, expected: Origin | None = None) -> Scores:
        """Score predictions that lie elsewhere, for example converted ones."""
        path = self.scores_file(label)
        files = path.parent / f"{path.stem}-files" if self.task.with_files else None
        scores = score_benchmark(self.sequences(), folder, replace(self.rules, files=files), expected)
        path.parent.mkdir(parents=True, exist_ok=True)
        scores.save(path)
        return scores

    def run(self, model: PAGE4D, label: str, report: Report | None = None) -> Scores:
        """Both loops.

        Raises:  UserError as `check`.
        """
        self.check(model)
        self.predict(model, label, report)
        return self.score(label, model)


def safe_name(name: str) -> str:
    """A label as a file or folder may be called."""
    return "".join(c if c.isalnum() or c in "-_.+=" else "_" for c in name)
