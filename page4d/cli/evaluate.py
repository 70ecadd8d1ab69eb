"""`page4d evaluate predict|score|table|run|convert key=value ...`: benchmarks under two protocols."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from page4d.cli.values import named_path
from page4d.schema import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from page4d.evaluate.density_settings import Density
    from page4d.evaluate.harness import Study
    from page4d.evaluate.opening import EvaluationSettings
    from page4d.model import PAGE4D
    from page4d.schema import Scores

ACTIONS = {
    "predict": "write one Prediction for each sequence; go on where an earlier run stopped",
    "score": "compare predictions with the ground truth and write Scores",
    "run": "predict, then score",
    "density": "run at several numbers of frames and frame rates; one table, one picture",
    "exact": "score weights on clips with exact truth, beside the best answers that need no network",
    "table": "print all Scores below out=, compare models, and write all as Markdown, CSV and LaTeX",
    "queries": "write the points that a tracks benchmark asks for",
    "convert": "turn depth .npy files, a TUM trajectory or masks of another model into predictions",
}
EXIT_SOME_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """An action and the settings of conf/evaluate.yaml."""
    parser.add_argument(
        "action", nargs="?", choices=list(ACTIONS), help="; ".join(f"{k}: {v}" for k, v in ACTIONS.items())
    )
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="e.g. benchmark=pose-tum weights=nomask")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--predictions", type=named_path, help="score, convert: the folder, instead of the usual one")
    parser.add_argument(
        "--depth",
        type=named_path,
        help="convert: <sequence>/<image stem>.npy, z in the frame's own camera; 0 counts as a depth of 0",
    )
    parser.add_argument("--trajectories", type=named_path, help="convert: <sequence>.txt in TUM order, camera to world")
    parser.add_argument(
        "--masks", type=named_path, help="convert: <sequence>/<image stem>.png, bright where something moves"
    )
    parser.add_argument(
        "--tracks", type=named_path, help="convert: <sequence>.npz, points (S, N, 3) in the first camera's frame"
    )
    parser.add_argument(
        "--intrinsics", type=named_path, help="convert: <sequence>.txt, K as nine numbers a row; for points"
    )
    parser.add_argument(
        "--legacy-quaternion-order",
        action="store_true",
        help="write pred_traj.txt with qw first, for tools made for the released scripts' files",
    )


def settings(args: argparse.Namespace) -> dict[str, Any]:
    """conf/evaluate.yaml with the overrides and flags of the command line."""
    from page4d.evaluate.opening import compose_evaluation

    return compose_evaluation(_words(args))


def _words(args: argparse.Namespace) -> list[str]:
    """The overrides under today's names, and the flags as overrides."""
    from page4d.evaluate.old_names import current_word

    flags = ["legacy_quaternion_order=true"] if args.legacy_quaternion_order else []
    today = [current_word(word) for word in args.overrides]
    words = [re.sub(r"^align=scale(&|_and_)shift$", "align='scale&shift'", word) for word in today]
    return [*words, *flags]


def run(args: argparse.Namespace) -> int:
    """0 well, 1 if sequences failed and the mean is over fewer."""
    from page4d.config import check_words, choices
    from page4d.evaluate.words import check_evaluation_words

    if args.list:
        print("\n".join(choices("benchmark")))
        return 0
    if args.action is None:
        raise UserError(f"nothing to do; choose one of {', '.join(ACTIONS)}, or --list to name the benchmarks")
    if args.action == "exact":
        return _exact(args.overrides)
    check_words(_words(args), "evaluate")
    check_evaluation_words(_words(args))
    # torch comes with it, so it waits until there is something to do.
    from page4d.cli.outfolder import check_place
    from page4d.evaluate.opening import EvaluationSettings
    from page4d.inference import resolve_device
    from page4d.settings import build

    chosen = build(EvaluationSettings, settings(args), "evaluate")
    if args.action == "table":
        return _table(Path(chosen.out), chosen.against)
    study, label = chosen.study(), chosen.name
    check_place(Path(chosen.out), "out")
    if args.action in ("run", "score", "density"):
        study.check()
    if args.action == "convert":
        return _convert(study, label, args)
    if args.action == "queries":
        return _queries(study)
    if chosen.foreign is not None and args.action not in ("run", "score"):
        raise UserError(f"weights={chosen.weights} stands for converted predictions; run or score them")
    named = args.predictions is not None or chosen.label is not None
    if chosen.foreign is not None or (args.action == "score" and named):
        # A label names predictions as they are; the name of weights promises that these weights made them.
        return _show([study.score_folder(args.predictions or study.predictions(label), label)])
    device = resolve_device(chosen.device or None)
    study.sequences()  # a folder that is not there is told before weights are fetched
    model = _model(chosen, device)
    if args.action == "density":
        return _density(study, model, label, chosen.density)
    if args.action == "run":
        study.check(model)
    failed = 0
    if args.action != "score":
        failed = study.predict(model, label, report=_tell)
    if args.action == "predict":
        print(f"{study.predictions(label)}")
        return EXIT_SOME_FAILED if failed else 0
    if not _last_process_standing():
        return EXIT_SOME_FAILED if failed else 0
    return _show([study.score(label, model)])


def _density(study: Study, model: PAGE4D, label: str, wanted: Density) -> int:
    from page4d.evaluate import density
    from page4d.evaluate.harness import safe_name
    from page4d.evaluate.tables import markdown

    found = density.measure_density(study, model, label, wanted, _tell)
    stem = study.out / "tables" / f"density-{study.scores_file(label).stem}-{safe_name(label)}"
    paths = density.write(found, stem)
    print(f"{markdown(density.density_table(found))}\n{', '.join(str(path) for path in paths)}")
    return _failures(list(found.values()))


def _queries(study: Study) -> int:
    from page4d.evaluate.tracks3d_scoring import write_queries

    folder = study.out / "queries" / study.benchmark.name
    written = write_queries(study.sequences(), folder)
    print(f"{len(written)} files in {folder}: x and y of the points in pixels of each sequence's first image")
    return 0


def _tell(name: str, outcome: str) -> None:
    print(f"{name}: {outcome}", flush=True)


def _exact(words: Sequence[str]) -> int:
    import yaml

    from page4d.settings import build
    from page4d.settings_source import said, written

    for word in words:
        if "=" not in word:
            raise UserError(f"{word!r} is not a setting; write key=value, for example weights=tiny sequences=64")
    pairs = (word.split("=", 1) for word in words)
    values = {key: yaml.safe_load(value) for key, value in pairs}
    build(written("page4d.evaluate.exam", "ExamRequest"), said(values), "exact")
    # torch comes with it, so it waits until there is something to examine.
    from page4d.evaluate.cards import exam_section, update_card
    from page4d.evaluate.exam import ExamRequest

    request = build(ExamRequest, values, "exact")
    document = request.run()
    if request.card is not None:
        update_card(Path(request.card), document)
    print(exam_section(document), end="")
    return 0


def _last_process_standing() -> bool:
    """Wait for the other processes of a launcher; true in the one that scores for all."""
    from datetime import timedelta

    from page4d.processes import process

    if process()[1] == 1:
        return True
    from accelerate import PartialState

    # A barrier is all that is needed, so gloo serves with GPUs too; without `cpu` accelerate leaves processes on a
    # machine without GPUs strangers to each other. The usual ten minutes would end a run whose shares differ in length.
    state = PartialState(cpu=True, timeout=timedelta(days=2))
    state.wait_for_everyone()
    return bool(state.is_main_process)


def _model(chosen: EvaluationSettings, device: torch.device) -> PAGE4D:
    from page4d.model import PAGE4D

    # Weights fit exactly or this fails; the released launchers go on with whatever did load (E13).
    return PAGE4D.from_pretrained(chosen.weights, device=device, mask=chosen.mask)


def _convert(study: Study, label: str, args: argparse.Namespace) -> int:
    from page4d.evaluate.external import ExternalFiles, convert

    folder = args.predictions or study.predictions(label)
    files = ExternalFiles(label, args.depth, args.trajectories, args.intrinsics, args.masks, args.tracks)
    done = convert(study.sequences(), files, folder, study.benchmark)
    if done.empty > 0:
        print(f"{done.empty:.2%} of the depths are 0 or less; they are scored as a depth of 0, not left out")
    named = [] if any(word.startswith("label=") for word in args.overrides) else [f"label={label}"]
    own = ["moving=model"] if args.masks is not None else []
    own += ["followed=file"] if args.tracks is not None else []
    words = shlex.join([*args.overrides, *named, *own, "--predictions", str(folder)])
    print(f"{done.sequences} sequences in {folder}; score them with\n  page4d evaluate score {words}")
    return 0


def _table(out: Path, against: str | None) -> int:
    from page4d.evaluate.comparison import comparison_table, whole_table
    from page4d.evaluate.old_names import read_scores
    from page4d.evaluate.tables import markdown, scores_table, write_tables

    found = [read_scores(path) for path in sorted((out / "scores").glob("*/*.json"))]
    if not found:
        raise UserError(f"{out / 'scores'} holds no Scores; `page4d evaluate run` writes them")
    labels = sorted({str(s.origin["label"]) for s in found})
    if against is not None and against not in labels:
        raise UserError(f"against={against}: no Scores are of a model of that label; there are {', '.join(labels)}")
    differences = comparison_table(found, against)
    for task in dict.fromkeys(s.task for s in found):
        results = [s for s in found if s.task == task]
        table = scores_table(results, intervals=True)
        write_tables(table, out / "tables" / task)
        print(f"## {task}\n\n{markdown(table)}")
    write_tables(whole_table(found), out / "tables" / "all")
    if not differences.empty:
        write_tables(differences, out / "tables" / "differences")
        print(f"## differences\n\n{markdown(differences)}")
    print(f"All scores with intervals, and the published rows, are in {out / 'tables' / 'all.md'}, .csv and .tex")
    return _failures(found)


def _show(results: Sequence[Scores]) -> int:
    from page4d.evaluate.tables import markdown, scores_table

    print(markdown(scores_table(results, intervals=True)), end="")
    return _failures(results)


def _failures(results: Sequence[Scores]) -> int:
    from page4d.evaluate.tables import failures

    lines = failures(results)
    for line in lines:
        print(f"failed: {line}")
    return EXIT_SOME_FAILED if lines else 0
