"""The training loop: one optimizer step an iteration, the same on one process or many, broken off or not."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed.tensor import DTensor

from page4d.data.loader import BatchShare, make_ahead, naming_killed_workers
from page4d.inference import is_out_of_memory
from page4d.model import PAGE4D, PAGE4DConfig
from page4d.model.mask import mask_alpha
from page4d.schema import UserError
from page4d.train import snapshot
from page4d.train.batch import TrainBatch, given_mask, targets_of
from page4d.train.checkpoints import Checkpoints
from page4d.train.delivery import delivered, first_fresh, reused
from page4d.train.engine import (
    Trainee,
    catch_sigterm,
    clip_groups,
    make_accelerator,
    make_optimizer,
    out_of_memory,
    set_rates,
)
from page4d.train.graphs import StepGraphs, can_record
from page4d.train.objective import dense_frames, objective, query_points_of, term_names
from page4d.train.panel import training_panel
from page4d.train.patterns import freeze
from page4d.train.record import Record, memory_gb, open_trackers, progress_bar, resumptions, write_run_file
from page4d.train.schedules import ramp
from page4d.train.settings import Settings
from page4d.train.sources import Delivery, Source
from page4d.train.start import begin
from page4d.train.terms import TermSums
from page4d.train.validation import Validation, check_metric, validate
from page4d.version import code_revision, provenance

EXIT_TERMINATED = 128 + signal.SIGTERM
ENDLESS = 1 << 40


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `exit_code` is 0, or 143 after SIGTERM."""

    step: int
    exit_code: int
    best_metric: float | None


class Trainer:
    """One training run in one folder.

    Note:    model is the network's shape; config is the whole configuration as plain values, stored with checkpoints.
    Raises:  UserError for patterns without a match, weights that do not fit, or a checkpoint of another run.
    """

    def __init__(
        self,
        settings: Settings,
        model: PAGE4DConfig,
        source: Source,
        validations: Sequence[Validation],
        run_folder: Path | str,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings, self.source, self.validations = settings, source, validations
        self.folder, self.config = Path(run_folder), dict(config or {})
        trainer = settings.trainer
        if trainer.threads:
            torch.set_num_threads(trainer.threads)
        self.accelerator = make_accelerator(trainer, self.folder)
        network, self.loaded = begin(model, settings.start, trainer.seed)
        network.aggregator.gradient_checkpointing = trainer.gradient_checkpointing
        self.frozen = freeze(network, settings.optim.freeze)
        trainee = Trainee(network, settings.aid)
        on_gpu = self.accelerator.device.type == "cuda"
        optimizer, self.schedules = make_optimizer(trainee, settings.optim, fused=on_gpu)
        self.module, self.optimizer = self.accelerator.prepare(trainee, optimizer)
        self.trainee: Trainee = self.accelerator.unwrap_model(self.module)
        self.clips = clip_groups(self.trainee, settings.optim)
        self.checkpoints = Checkpoints(self.folder, trainer.keep, trainer.max_shard_mb)
        self.position = snapshot.Position()
        self.terminated = False
        self.record: Record | None = None
        self.resumed: list[dict[str, Any]] = []
        self.panel: NDArray[np.uint8] | None = None
        # A tensor and no number, because a recorded step would keep the number that it was recorded with.
        self.aid_weight = torch.zeros((), device=self.accelerator.device)
        self.graphs = StepGraphs(self.trainee.parameters()) if can_record(settings, self.accelerator) else None
        self.batch_shape = ""
        self.batch_names: tuple[str, ...] = ()
        self.terms = term_names(settings, model)
        check_metric(trainer.metric, validations, model)
        if trainer.max_seconds and self.accelerator.num_processes > 1:
            raise UserError("trainer.max_seconds needs one process: the clocks of several do not agree")

    @property
    def done_share(self) -> float:
        """The share of the run that is done, by steps, or by the clock if that is further; schedules follow it."""
        trainer, position = self.settings.trainer, self.position
        by_steps = position.step / trainer.max_steps
        by_clock = position.seconds / trainer.max_seconds if trainer.max_seconds else 0.0
        return min(1.0, max(by_steps, by_clock))

    @property
    def mask_step(self) -> int:
        """The step that the mask's schedule reads: the optimizer's own, unless the clock is ahead of it."""
        return max(self.position.step, int(self.done_share * self.settings.trainer.max_steps))

    @property
    def model(self) -> PAGE4D:
        """The network itself."""
        return self.trainee.model

    def run(self) -> Outcome:
        """Train to the last step, or until SIGTERM; resumes by itself if the folder holds a checkpoint.

        Raises:  UserError for a damaged checkpoint, too many non-finite iterations, a full disk, or too little memory.
        """
        self._resume()
        trainer, main = self.settings.trainer, self.accelerator.is_main_process
        if main:
            self._open_record()
        began, before = time.monotonic(), self.position.seconds
        share = BatchShare(self.accelerator.process_index, self.accelerator.num_processes, trainer.accumulate)
        first = first_fresh(self.position.iteration, trainer.reuse)
        made: Generator[Delivery] = make_ahead(self.source.batch, share, first, ENDLESS, trainer.workers)
        delivery = delivered(made, self.accelerator.device)
        batches = reused(delivery, trainer.reuse, self.position.iteration)
        bar = progress_bar(trainer.max_steps, self.position.step, main and trainer.progress)
        self.module.train()
        try:
            with naming_killed_workers(), catch_sigterm(self.stop), closing(made), closing(delivery):
                while self.done_share < 1 and not self.terminated:
                    values = self._iteration_or_explain(batches)
                    self.position.seconds = before + time.monotonic() - began
                    if values is not None:
                        self._after_step(values, bar)
            if self.terminated:
                self._save()
            elif self.checkpoints.manifest().find(self.position.step) is None:
                # The clock ran out in an iteration that was left out, so no step was the last one.
                self._save(best=self._validate())
        finally:
            bar.close()
            if self.record is not None:
                self.record.close()
        return self._finish()

    def _open_record(self) -> None:
        trackers = open_trackers(self.accelerator, self.config)
        self.record = Record(self.folder, self.position.iteration, self.settings.trainer.tensorboard, trackers)
        self.resumed = resumptions(self.folder, self.position.step, self.config)
        write_run_file(self.folder, self.describe())

    def stop(self) -> None:
        """End the run after the current step."""
        self.terminated = True

    def describe(self) -> dict[str, Any]:
        """What this run is, as stored in run.json."""
        parameters = list(self.trainee.model.parameters())
        trained = sum(p.numel() for p in parameters if p.requires_grad)
        about = {"provenance": provenance(), "start": self.loaded, "parameters": sum(p.numel() for p in parameters)}
        about |= {"trained_parameters": trained, "frozen": len(self.frozen)}
        about |= {"processes": self.accelerator.num_processes, "resumed": self.resumed}
        return about | {"config": self.config}

    def _resume(self) -> None:
        wanted, manifest = str(self.settings.trainer.resume), self.checkpoints.manifest()
        if not manifest.entries:
            if wanted not in ("auto", "never"):
                raise UserError(f"trainer.resume={wanted}, but {self.checkpoints.folder} holds no checkpoint")
            return
        if wanted == "never":
            raise UserError(f"{self.folder} holds a run; choose another paths.run, or trainer.resume=auto to go on")
        if wanted != "auto" and not wanted.isdigit():
            raise UserError(f"trainer.resume is {wanted!r}; choose auto, never or the step of a checkpoint")
        payload = self.checkpoints.load(None if wanted == "auto" else int(wanted))
        self.position = snapshot.restore(self.accelerator, self.module, self.optimizer, payload)
        undone = manifest.best is not None and manifest.best.step > self.position.step
        if self.accelerator.is_main_process:
            self.checkpoints.rewind(self.position.step, self.position.best_metric)
            if undone:
                self._restore_best()
        self.accelerator.wait_for_everyone()
        if self.checkpoints.manifest().best is None:
            # Nothing is left of the network that had this value.
            self.position.best_metric = None

    def _restore_best(self) -> None:
        """The exported network of the best checkpoint that is left, in the place of one that was undone."""
        best = self.checkpoints.manifest().best
        if best is None:
            (self.folder / snapshot.BEST).unlink(missing_ok=True)
            return
        # Chosen with the mask as it is at the end, or it would not have been the best.
        self._export(self.checkpoints.load(best.step)["model"], best.step, self.settings.trainer.max_steps)

    def _iteration_or_explain(self, batches: Iterator[Delivery]) -> dict[str, float] | None:
        try:
            return self.iteration(batches)
        except RuntimeError as error:
            # Every failure ends the run (T16); one that can be helped says how.
            if not is_out_of_memory(error):
                raise
            raise out_of_memory(self.batch_shape, self.settings) from error

    def iteration(self, batches: Iterator[Delivery]) -> dict[str, float] | None:
        """One iteration: accumulate, clip by group, agree with all processes, step.

        Note:  returns what to log, or None if gradients were not finite and the step was left out everywhere.
        """
        trainer, position = self.settings.trainer, self.position
        rates = set_rates(self.optimizer, self.schedules, self.done_share)
        self.trainee.model.aggregator.mask_step = self.mask_step
        self.optimizer.zero_grad(set_to_none=True)
        sums = TermSums(self.terms, trainer.accumulate)
        # Parts are whole batches, whose mean steps: an odd number of sequences loses none (T18).
        for part in range(trainer.accumulate):
            last = part == trainer.accumulate - 1
            with nullcontext() if last else self.accelerator.no_sync(self.module):
                self._micro_batch(next(batches), sums, position.iteration * trainer.accumulate + part)
        # What is clipped is the gradient that steps: nothing divides it again on the way (T2).
        norms = {f"grad_norm/{name}": norm for name, norm in self._clip().items()}
        means, fine, stop = sums.agree(self.accelerator, norms, self.terminated)
        self.terminated = self.terminated or stop
        position.iteration += 1
        if not fine:
            # The iteration is left out as a whole; the public loop steps with what it has (T6).
            self._skip(means)
            return None
        # The only step of an iteration; the public loop takes another before clipping (T1).
        self.optimizer.step()
        position.step += 1
        position.skipped = 0
        alpha = self.trainee.model.aggregator.alpha
        return means | {f"lr/{name}": rate for name, rate in rates.items()} | {"mask_alpha": alpha}

    def _micro_batch(self, delivery: Delivery, sums: TermSums, number: int = 0) -> None:
        self.batch_names = delivery.names
        batch = delivery.to(self.accelerator.device)
        self.batch_shape = batch.describe()
        self.aid_weight.fill_(ramp(self.done_share, self.settings.aid.weight))
        dense = dense_frames(number, self.settings.trainer.dense_every, batch.images.shape[1])
        shown = _is_due(self.settings.trainer.image_every, self.position.step + 1)
        if self.graphs is not None and not shown and self.trainee.model.aggregator.alpha in (0.0, 1.0):
            key = (dense.start, dense.stop, dense.step, self.trainee.model.aggregator.alpha)
            terms = self.graphs(key, batch, lambda fixed: self._forward_backward(fixed, dense)[0])
        else:
            terms, predictions = self._forward_backward(batch, dense)
            if shown and self.accelerator.is_main_process:
                self.panel = training_panel(batch.at_frames(dense), predictions)
        sums.add(terms)

    def _forward_backward(self, batch: TrainBatch, dense: slice) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Gradients of one batch are added to the parameters; returns the terms of the loss and the predictions."""
        targets = targets_of(batch, self.settings.loss.behaviour)
        queries = query_points_of(batch, self.settings.loss)
        predictions = self.module(batch.images, queries, self._given_mask(batch), dense)
        patch = self.trainee.model.config.patch_size
        terms = objective(predictions, targets, batch, self.settings, dense, patch, self.aid_weight)
        self.accelerator.backward(terms["objective"] / self.settings.trainer.accumulate)
        return {name: value.detach() for name, value in terms.items()}, predictions

    def _given_mask(self, batch: TrainBatch) -> Tensor | None:
        """The true mask, where the settings put it in the place of the learned one."""
        return given_mask(batch, self.settings.aid, self.trainee.model.config.patch_size)

    def _clip(self) -> dict[str, Tensor]:
        if self.trainee.model.aggregator.alpha == 0:
            # The schedule is over: the mask head is frozen. No gradient also means no weight decay.
            for parameter in self.trainee.model.aggregator.spatial_mask_head.parameters():
                parameter.grad = None
        norms: dict[str, Tensor] = {}
        for name, (parameters, limit) in self.clips.items():
            norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
            norms[name] = norm.full_tensor() if isinstance(norm, DTensor) else norm
        return norms

    def _skip(self, means: dict[str, float]) -> None:
        position = self.position
        position.skipped += 1
        bad = sorted(name for name, value in means.items() if not math.isfinite(value))
        if self.record is not None:
            self.record.scalars("skipped", position.step, position.iteration, {"in_a_row": float(position.skipped)})
        if position.skipped > self.settings.trainer.max_skips:
            raise UserError(
                f"{position.skipped} iterations in a row had a non-finite loss or gradient (step {position.step}; "
                f"{', '.join(bad) or 'gradients'}; last batch {', '.join(self.batch_names[:4])}). Lower the learning "
                "rate, or look at the data with `page4d check-data`"
            )

    def _after_step(self, values: dict[str, float], bar: Any) -> None:
        trainer, position = self.settings.trainer, self.position
        step, last = position.step, self.done_share >= 1
        bar.update()
        bar.set_postfix(loss=f"{values['objective']:.4f}", GB=f"{memory_gb():.1f}", refresh=False)
        if self.record is not None and (_is_due(trainer.log_every, step) or last):
            self.record.scalars("train", step, position.iteration, values)
        if self.record is not None and self.panel is not None:
            self.record.picture("train", step, self.panel)
            self.panel = None
        better = (_is_due(trainer.validate_every, step) or last) and self._validate()
        if _is_due(trainer.save_every, step) or last or better:
            self._save(best=better)

    def _validate(self) -> bool:
        """Log all validation sets; returns whether this is the best network so far."""
        position = self.position
        if not self.validations:
            return False
        self.trainee.model.aggregator.mask_step = self.mask_step
        values: dict[str, float] = {}
        for validation in self.validations:
            module = self.module if self.accelerator.is_fsdp2 else self.trainee
            done = validate(self.accelerator, module, validation, self.settings.loss, self._given_mask)
            values |= {f"{validation.source.name}/{name}": value for name, value in done.items()}
        values["objective"] = sum(values[f"{v.source.name}/objective"] for v in self.validations) / len(
            self.validations
        )
        if self.record is not None:
            self.record.scalars("val", position.step, position.iteration, values)
        metric = values.get(self.settings.trainer.metric.removeprefix("val/"), math.nan)
        return self._is_best(metric)

    def _is_best(self, metric: float) -> bool:
        config, trainer = self.trainee.model.config, self.settings.trainer
        now, end = (
            mask_alpha(step, config.mask_hold_start, config.mask_hold_end)
            for step in (self.mask_step, trainer.max_steps)
        )
        # With another mask strength than at the end the network is not the one that is being made.
        if now != end or not math.isfinite(metric):
            return False
        best, sign = self.position.best_metric, 1 if trainer.mode == "min" else -1
        if best is not None and sign * metric >= sign * best:
            return False
        self.position.best_metric = metric
        return True

    def _save(self, best: bool = False) -> None:
        step = self.position.step
        if self.checkpoints.manifest().find(step) is not None:
            return
        payload = snapshot.take(self.accelerator, self.module, self.optimizer, self.position, self.config)
        if self.accelerator.is_main_process:
            if best:
                self._export(payload["model"], step, self.mask_step)
            self.checkpoints.save(payload, step, self.position.best_metric if best else None, best)
        self.accelerator.wait_for_everyone()

    def _export(self, weights: Mapping[str, Tensor], step: int, mask_step: int) -> None:
        path = self.folder / snapshot.BEST
        about = {"step": str(step), "code_revision": code_revision(), "run": self.folder.name}
        snapshot.export_weights(weights, self.trainee.model.config, mask_step, path, about)

    def _finish(self) -> Outcome:
        position = self.position
        if self.accelerator.is_main_process:
            if not self.terminated and self.checkpoints.manifest().best is None:
                # Nothing to choose by: the last network is the best one.
                self._export(self.checkpoints.load()["model"], position.step, self.mask_step)
            ending = {"step": position.step, "seconds": position.seconds, "best_metric": position.best_metric}
            write_run_file(self.folder, self.describe() | {"ended": ending})
        self.accelerator.wait_for_everyone()
        return Outcome(position.step, EXIT_TERMINATED if self.terminated else 0, position.best_metric)


def _is_due(every: int, step: int) -> bool:
    return every > 0 and step % every == 0
