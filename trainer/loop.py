"""Training, whole: train(config) yields what happens, and keeps the run folder so that nothing is ever lost.

The order at every step: update, evaluate, sample, save; a stop wish is looked at in between and inside each of them
but the save. Resuming gives the bits of an unbroken run on the CPU: data order is a function of (seed, step), and
weights, moments, generators and running means come back exactly. Nothing here draws a screen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from tinychat.engine.runner import choose_device, is_out_of_memory
from tinychat.errors import NumbersError, UsageError
from tinychat.text.chat import TEMPLATE
from trainer import base, machine
from trainer.batches import Batches
from trainer.chat_loss import ChatTokens
from trainer.checkpoints import Playable, Progressed, Surroundings
from trainer.config import TrainConfig
from trainer.data_joined import Joined
from trainer.distributed import Agreed, Ranks, joined
from trainer.evaluate import Prompt, evaluate, prompts, sample
from trainer.events import Evaluated, Event, Probed, Progress, Sampled, Warned
from trainer.first_weights import weights_of
from trainer.fitting import fit_rows, too_little
from trainer.health import watched
from trainer.keeper import Keeper
from trainer.learner import Learner, lower_rate
from trainer.limits import late_message, limit_in_steps, steps_in_time
from trainer.meter import Meter, counted
from trainer.opening import begun, prepared_by
from trainer.precision import choose as choose_precision
from trainer.prepare import Prepared
from trainer.probe import likeliest, probe_prompt
from trainer.resume import Beginning, check_surroundings
from trainer.run_folder import RunFolder
from trainer.signals import StopFlag
from trainer.steer import heed
from trainer.told import started, stopped, trained
from trainer.wishes import Wishes

SPEED_STEPS = 3  # of the speed test, after one that warms up
TOLD_AFTER = 10  # steps of a sitting until its end can be foretold
NO_BETTER = "no better"
EVAL_SEED = 0  # one order of the held-out text for all runs


def train(
    config: TrainConfig,
    *,
    out: Path,
    resume: bool = False,
    fresh: bool = False,
    stop: StopFlag | None = None,
    name: str = "",
    wishes: Wishes | None = None,
) -> Generator[Event, None, None]:
    """Train in the folder `out`; the last event is Stopped. `fresh` removes the run that is there.

    Raises RunBusyError, UsageError (a run is there and neither `resume` nor `fresh` is, or the reverse; device or
    number type are not here), CorpusError, NumbersError before a broken update, StorageError when saving fails again
    and again, OutOfMemoryError_.
    """
    stop = stop or StopFlag()
    with joined(config.train.device) as ranks:
        # now, and not after hours of preparing text
        choose_precision(config.train.precision, choose_device(config.train.device))
        try:
            config.micro_rows_of(ranks.world)
        except ValueError as error:
            raise UsageError(f"{error}.", "Set one of these, with as many processes.") from None
        with begun(config, out, ranks, resume=resume, fresh=fresh) as (folder, beginning, log):
            try:
                asked = wishes if wishes is not None and ranks.alone else Wishes()
                for event in watched(_events(config, folder, beginning, stop, ranks, name or out.name, asked)):
                    failed = log.write(event) if log else None
                    yield event
                    if failed is not None:
                        yield Warned(step=0, message=f"{failed.what} The log will lack lines.")
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                raise too_little(config, config.micro_rows_of(ranks.world)) from None


def _events(
    config: TrainConfig, folder: RunFolder, beginning: Beginning, own: StopFlag, ranks: Ranks, name: str, wishes: Wishes
) -> Iterator[Event]:
    now = beginning.found.progress if beginning.found else Progressed()
    for message in beginning.told:
        yield Warned(step=now.step, message=message)
    prepared = yield from prepared_by(config, folder, own, ranks)
    stop = Agreed(own, ranks)
    stop.settle()
    if prepared is None:
        yield stopped(now, folder, stop.reason or "", saved=beginning.found is not None)
        return
    if not prepared.valid and config.data.valid_fraction > 0:
        yield Warned(
            step=now.step,
            message="no document fell into the share that is held out, they are too few: there is no evaluation",
        )
    run = _Run(config, folder, prepared, now, stop, ranks, name, wishes)
    yield from run.start(beginning)
    run.settle()
    if beginning.found and run.end:
        yield from run.catch_up()
        if not run.keeper.is_saved(run.now):
            yield from run.keeper.save(run.now, last=True)
        yield stopped(run.now, folder, f"already {run.end}", saved=True)
        return
    yield started(run.now, config, run.learner, prepared, ranks, folder=folder.path, name=run.name, threads=run.threads)
    yield from run.sitting()


class _Run:
    """One sitting of one run. `now` is how far it is."""

    def __init__(
        self,
        config: TrainConfig,
        folder: RunFolder,
        prepared: Prepared,
        now: Progressed,
        stop: Agreed,
        ranks: Ranks,
        name: str,
        wishes: Wishes,
    ) -> None:
        self.config, self.folder, self.prepared = config, folder, prepared
        self.now, self.stop, self.ranks, self.name, self.wishes = now, stop, ranks, name, wishes
        self.late = False
        self.plain = False  # and it has been told why nothing is compiled
        self.device = choose_device(config.train.device)
        self.threads = machine.choose_threads(config.train.threads)
        torch.set_num_threads(self.threads)
        tokenizer = prepared.tokenizer
        base_info = None if config.train.from_ is None else base.find(config.train.from_)
        self.learner = Learner.fresh(
            config,
            batches=self._batches(prepared.train, prepared.weights, config.rows_per_step, config.train.seed),
            vocab_size=tokenizer.vocab_size,
            byte_lengths=tokenizer.byte_lengths(),
            device=self.device,
            ranks=ranks,
            # a checkpoint of the run replaces them, unless it holds adapters only
            base=weights_of(base_info) if base_info and (config.lora.rank or not now.step) else None,
        )
        self.held_out = (
            self._batches(prepared.valid, prepared.valid_weights, config.eval.rows, EVAL_SEED)
            if prepared.valid
            else None
        )
        self.probe = probe_prompt(config.sample, tokenizer, config.model.context)
        self.probed_at = 0
        self.prompts, self.told = prompts(config.sample, tokenizer, config.model.context, config.data.pause_tokens)
        self.keeper = Keeper(
            config,
            folder,
            self.learner,
            name=name,
            playable=Playable(
                config=self.learner.model.config, tokenizer_json=tokenizer.to_json(), chat_template=TEMPLATE
            ),
            surroundings=Surroundings(
                tokenizer=tokenizer.digest,
                data=prepared.digest,
                threads=self.threads,
                device=self.device.type,
                torch=torch.__version__,
                optimizer=config.train.optimizer,
                micro_rows=self.learner.micro_rows,
                ranks=ranks.world,
                precision=self.learner.precision.name,
                base=base_info.digest if base_info is not None and config.lora.rank else "",
            ),
            saved_at=now.step if now.step else -1,
            base=base_info,
        )
        self.meter = Meter(now.elapsed_s, stop.own)
        self.began_at = now.step

    def _batches(self, lines: Sequence[Joined], weights: Sequence[float] | None, rows: int, seed: int) -> Batches:
        return Batches(
            lines,
            context=self.config.model.context,
            rows=rows,
            seed=seed,
            mode=self.config.data.mode,
            end_of_text=self.prepared.tokenizer.end_of_text,
            weights=weights,
            chat=ChatTokens.of(self.prepared.tokenizer) if self.config.data.loss == "assistant" else None,
        )

    def start(self, beginning: Beginning) -> Iterator[Event]:
        """Become what the checkpoint holds, and fix the number of steps."""
        cut = self.learner.batches.cuts.told(self.config.model.context)
        for message in [*self.told, *([cut] if cut else [])]:
            yield Warned(step=self.now.step, message=message)
        found = beginning.found
        if found is not None:
            self.learner.restore(found.weights(), found.state())
        yield from self._fit(found.surroundings.micro_rows if found is not None else None)
        if found is not None:
            for message in check_surroundings(self.config, found, self.keeper.surroundings):
                yield Warned(step=self.now.step, message=message)
        steps = limit_in_steps(self.config, self.learner.batches.batches_per_epoch)
        if steps is None:
            kept = found is not None and beginning.same_limits
            steps = self.now.steps if kept else self._steps_in_time()
        self.now = replace(self.now, steps=self.ranks.tell(steps))

    def _fit(self, before: int | None) -> Iterator[Event]:
        """As many rows at once as fit; no more than `before`, when the run began elsewhere or on a fuller machine."""
        if before is not None and self.config.train.micro_rows is None and self.config.rows_per_step % before == 0:
            self.learner.micro_rows = min(before, self.learner.micro_rows)
        for message in fit_rows(self.learner, self.now.step):
            yield Warned(step=self.now.step, message=message)
        self.keeper.surroundings = replace(self.keeper.surroundings, micro_rows=self.learner.micro_rows)

    def _steps_in_time(self) -> int:
        """What a speed test says will fit into the minutes. It leaves no trace."""
        minutes = self.config.train.minutes
        assert minutes is not None, "the config has some limit"
        self._trial()  # the first one warms up
        started = time.monotonic()
        for _ in range(SPEED_STEPS):
            self._trial()
        step_s = (time.monotonic() - started) / SPEED_STEPS
        return self.now.step + steps_in_time(minutes, self.now.elapsed_s, step_s)

    def _trial(self) -> None:
        self.learner.gradients(self.now.step)
        self.learner.forget_gradients()

    @property
    def end(self) -> str:
        """Why there is nothing left to do; empty while there is."""
        if self.now.step >= self.now.steps:
            return "finished"
        if 0 < self.config.eval.patience <= self.now.worse:
            return NO_BETTER
        return "time limit" if self.late else ""

    def settle(self) -> None:
        """Agree with the other processes on what ends the run: a stop wish of any of them, the first one's clock."""
        minutes = self.config.train.minutes
        late = minutes is not None and self.ranks.first and self.now.elapsed_s >= minutes * 60
        (self.late,) = self.stop.settle(late)

    def sitting(self) -> Iterator[Event]:
        """Steps until the end or a stop wish, with what is due in between."""
        rates = self.config.train.rates(self.now.steps)
        self.meter.begin()
        yield from self._looks(last=False)  # what a stop had cut off, or nothing
        if self.config.train.from_ is not None and self.held_out and not self.now.step and self.stop.reason is None:
            yield from self._evaluate(self.held_out)  # before and after are what fine-tuning is judged by
        self.settle()
        while not self.end and self.stop.reason is None:
            lr = rates.rate(self.now.step) * self.now.rate_scale
            taken = self.learner.step(self.now.step, lr)
            self.meter.step(taken.text_s)
            yield from self._compiled()
            self.now = counted(self.now, taken, self.meter.elapsed_s)
            yield trained(taken, lr, self.now, self.config, self.learner, self.meter)
            yield from self._foretell()
            self.settle()
            yield from self._looks(last=False)
            yield from heed(self, rates)
            self.settle()
            if _due(self.config.save.every, self.now.step) and not self.end and self.stop.reason is None:
                yield from self.save(last=False)
                self.settle()
        if self.stop.reason is None:
            yield from self._looks(last=True)
        if not self.keeper.is_saved(self.now):
            yield from self.save(last=True)
        yield stopped(self.now, self.folder, self.stop.reason or self.end, saved=True)

    def _looks(self, *, last: bool) -> Iterator[Event]:
        """Evaluation and sample where they are due and not done yet."""
        step, config = self.now.step, self.config
        last = last or step >= self.now.steps
        if self.held_out and step > self.now.evaluated_at and (last or _due(config.eval.every, step)):
            yield from self._evaluate(self.held_out)
        wanted = config.sample.every and step > self.now.sampled_at
        if wanted and self.stop.reason is None and (last or _due(config.sample.every, step)):
            yield from self.sample()
        if self.probe and step > self.probed_at and (last or _due(config.sample.probe_every, step)):
            yield from self._probe(self.probe)

    def catch_up(self) -> Iterator[Event]:
        """Evaluation and sample of the last step, where a stop wish had cut them off."""
        step = self.now.step
        evaluate = self.held_out and step > self.now.evaluated_at
        if evaluate or (self.prompts and self.config.sample.every and step > self.now.sampled_at):
            yield from self._looks(last=True)

    def _evaluate(self, held_out: Batches) -> Iterator[Event]:
        count = max(1, min(self.config.eval.batches, int(held_out.batches_per_epoch)))
        learner = self.learner
        with learner.looked_at():
            score = yield from evaluate(learner.model, held_out, count, learner.byte_lengths, self.stop, self.ranks)
        seconds = self.tick()
        if score is None:
            return
        if not math.isfinite(score.loss):
            raise NumbersError(f"Step {self.now.step}: the held-out loss is {score.loss}.", lower_rate(self.config))
        best = self.now.best_loss is None or score.loss < self.now.best_loss
        self.now = replace(
            self.now,
            evaluated_at=self.now.step,
            valid_loss=score.loss,
            valid_bits=score.bits_per_byte,
            best_loss=score.loss if best else self.now.best_loss,
            worse=0 if best else self.now.worse + 1,
        )
        yield Evaluated(
            step=self.now.step,
            loss=score.loss,
            bits_per_byte=score.bits_per_byte,
            tokens=score.tokens,
            best=best,
            seconds=seconds,
        )
        if best:
            yield from self.keeper.save_best(self.now)
            self.tick()

    def sample(self) -> Iterator[Event]:
        if not self.prompts:
            return
        prompt = self.prompts[self.now.samples % len(self.prompts)]
        config, tokenizer = self.config.sample, self.prepared.tokenizer
        seed = config.seed + self.now.samples
        text = None
        with self.learner.looked_at():
            model = self.learner.plain_model()
            if model is not None:
                text = yield from sample(model, tokenizer, prompt, config, seed=seed, stop=self.stop.own)
        text = self.ranks.tell(text)
        self.stop.settle()
        self.tick()
        if text is None:
            return
        self.now = replace(self.now, sampled_at=self.now.step, samples=self.now.samples + 1)
        yield Sampled(step=self.now.step, prompt=prompt.text, text=text, temperature=config.temperature)

    def _probe(self, prompt: Prompt) -> Iterator[Event]:
        self.probed_at = self.now.step
        with self.learner.looked_at():
            model = self.learner.plain_model()
            found = likeliest(model, self.prepared.tokenizer, prompt) if model is not None else []
        self.tick()
        yield Probed(step=self.now.step, prompt=prompt.text, top=tuple(found))

    def save(self, *, last: bool) -> Iterator[Event]:
        yield Progress(what="saving", done=0, total=0, unit="")
        self.tick()
        yield from self.keeper.save(self.now, last=last)
        self.tick()

    def tick(self) -> float:
        """Count time that was no step."""
        passed = self.meter.tick()
        self.now = replace(self.now, elapsed_s=self.meter.elapsed_s)
        return passed

    def _compiled(self) -> Iterator[Event]:
        """Once, when a step has shown that torch.compile does not work; mostly the first."""
        if self.learner.not_compiled and not self.plain:
            self.plain = True
            yield Warned(step=self.now.step, message=self.learner.not_compiled)

    def _foretell(self) -> Iterator[Event]:
        """Once, when the speed is known: will the time be enough?"""
        if self.now.step - self.began_at != TOLD_AFTER:
            return
        left_s = self.meter.eta_s(self.now.steps - self.now.step)
        message = late_message(self.config, left_s, self.now.elapsed_s, self.now.step, self.now.steps)
        if message is not None:
            yield Warned(step=self.now.step, message=message)


def _due(every: int, step: int) -> bool:
    return every > 0 and step > 0 and step % every == 0
