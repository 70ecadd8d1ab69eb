"""All chapters of a build: in several processes at a time, each with a GPU of its own where GPUs are asked for."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from page4d.book.chapters import Chapter, Execution, RunPlan, execute
from page4d.book.provenance import WRITTEN

# Measured: started last, they would leave the other processes idle at the end.
LONG = ("14_what_the_protocol_is_worth", "12_camera_pose", "11_video_depth", "05_masked_finetuning")
# A chapter takes up to about 1.5 GB, and most run on one core at a time for much of their seconds.
AT_MOST = 2


def default_jobs(gpus: Sequence[int] = ()) -> int:
    """How many chapters to run at a time: one on each GPU, else as many as two cores carry."""
    return len(gpus) or min(AT_MOST, os.cpu_count() or 1)


def execute_all(
    plans: Sequence[RunPlan], folder: Path, jobs: int, gpus: Sequence[int] = (), told: Callable[[str], None] = print
) -> dict[str, Execution]:
    """Run every plan, at most `jobs` at a time; returns the executions by the name of the chapter.

    Note:    what has finished is recorded in `folder` at once, so that an interrupted build goes on with --reuse.
    Raises:  ChapterError of the first chapter that fails; those not yet begun do not begin.
    """
    if min(jobs, len(plans)) <= 1 and not gpus:
        return {
            plan.chapter.name: _told(execute(plan, folder), number, plans, told)
            for number, plan in enumerate(plans, start=1)
        }
    context = multiprocessing.get_context("spawn")
    places = context.Queue()
    for number in range(jobs):
        places.put(gpus[number % len(gpus)] if gpus else None)
    found: dict[str, Execution] = {}
    with ProcessPoolExecutor(jobs, context, _settle, (places, _threads(jobs))) as pool:
        futures = [pool.submit(execute, plan, folder) for plan in longest_first(plans)]
        try:
            for number, future in enumerate(as_completed(futures), start=1):
                execution = _told(future.result(), number, plans, told)
                found[execution.chapter] = execution
        finally:
            for future in futures:
                future.cancel()
    return found


def stages(chapters: Sequence[Chapter], parameters: Mapping[str, Mapping[str, Any]]) -> list[list[Chapter]]:
    """The chapters in rounds: those that read a folder which others write come after all the others.

    Note:    a chapter reads what a parameter of it names, and writes what `out` or `folder` names.
    """
    used = {chapter.name: {**chapter.parameters, **parameters.get(chapter.name, {})} for chapter in chapters}
    written = {str(given[name]) for given in used.values() for name in WRITTEN & given.keys() if given[name]}
    reading = {name for name, given in used.items() if _reads(given) & written}
    first = [chapter for chapter in chapters if chapter.name not in reading]
    last = [chapter for chapter in chapters if chapter.name in reading]
    return [group for group in (first, last) if group]


def _reads(given: Mapping[str, Any]) -> set[str]:
    return {value for name, value in given.items() if isinstance(value, str) and name not in WRITTEN}


def longest_first(plans: Sequence[RunPlan]) -> list[RunPlan]:
    """The order to start in: what takes long first, the others as the book has them."""
    return sorted(plans, key=lambda plan: LONG.index(plan.chapter.name) if plan.chapter.name in LONG else len(LONG))


def _told(execution: Execution, number: int, plans: Sequence[RunPlan], told: Callable[[str], None]) -> Execution:
    told(f"[{number}/{len(plans)}] {execution.chapter}, {execution.seconds:.0f} s")
    return execution


def _threads(jobs: int) -> int:
    return max(1, (os.cpu_count() or 1) // jobs)


def _settle(places: Any, threads: int) -> None:
    """Give a new process its share of the machine; its kernels inherit it."""
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
    gpu = places.get()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(gpu)
