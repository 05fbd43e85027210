"""What may be going wrong in a run, by plain rules on its events: told once, and again only after it had passed.

    overfitting   held out above its best by OVER for 3 evaluations in a row, while the training loss fell
    diverging     smoothed loss above its lowest by JUMP of it and 0.2 nats, for 20 steps in a row
    no more gain  5 evaluations in a row that did not better the held-out loss by GAIN of it, nor the training loss
    slow text     rows of text take more than SLOW of the time, for 50 steps in a row

Losses are in nats per token. Nothing here knows torch, files or screens.
"""

from __future__ import annotations

from collections.abc import Iterator

from trainer.events import Eased, Evaluated, Event, RateScaled, TrainStep, Warned

OVER, OVER_TIMES = 0.01, 3
JUMP, JUMP_NATS, JUMP_TIMES = 0.15, 0.2, 20
GAIN, GAIN_TIMES = 0.003, 5
SLOW, SLOW_TIMES = 0.2, 50


def watched(events: Iterator[Event]) -> Iterator[Event]:
    """The events, with warnings where they are due."""
    health = Health()
    for event in events:
        yield event
        yield from health.take(event)


class Health:
    """The rules, applied to one sitting."""

    def __init__(self) -> None:
        self._told: set[str] = set()
        self._smooth: float | None = None
        self._lowest: float | None = None
        self._high = self._slow = 0  # steps in a row
        self._best: Evaluated | None = None
        self._smooth_at_best = 0.0
        self._worse = 0  # evaluations in a row
        self._recent: list[tuple[float, float]] = []  # held out, training; at the last evaluations

    def take(self, event: Event) -> Iterator[Warned | Eased]:
        """What is to be told after this event."""
        if isinstance(event, TrainStep):
            yield from self._step(event)
        elif isinstance(event, Evaluated):
            yield from self._evaluated(event)
        elif isinstance(event, RateScaled):
            self._recent.clear()  # another rate may gain again
            yield from self._when(False, event.step, "no more gain", "")

    def _step(self, step: TrainStep) -> Iterator[Warned | Eased]:
        self._smooth = step.smooth_loss
        self._lowest = step.smooth_loss if self._lowest is None else min(self._lowest, step.smooth_loss)
        rise = step.smooth_loss - self._lowest
        self._high = self._high + 1 if rise > max(JUMP * self._lowest, JUMP_NATS) else 0
        if self._high >= JUMP_TIMES or ("diverging" in self._told and rise < max(JUMP * self._lowest, JUMP_NATS) / 2):
            yield from self._when(
                self._high >= JUMP_TIMES,
                step.step,
                "diverging",
                f"diverging: the loss is {rise:.2f} above its lowest; a lower rate may bring it back",
            )
        self._slow = self._slow + 1 if step.text_share > SLOW else 0
        if self._slow >= SLOW_TIMES or step.text_share < SLOW / 2:
            yield from self._when(
                self._slow >= SLOW_TIMES,
                step.step,
                "slow text",
                f"slow text: {step.text_share:.0%} of the time goes into reading rows; is the disk slow or far away?",
            )

    def _evaluated(self, now: Evaluated) -> Iterator[Warned | Eased]:
        training = self._smooth
        if training is None:
            return  # the evaluation that a stop had cut off
        if self._best is None or now.loss < self._best.loss:
            self._best, self._smooth_at_best, self._worse = now, training, 0
        elif now.loss > self._best.loss * (1 + OVER) and training < self._smooth_at_best:
            self._worse += 1
        else:
            self._worse = 0
        if self._worse >= OVER_TIMES or self._worse == 0:
            yield from self._when(
                self._worse >= OVER_TIMES,
                now.step,
                "overfitting",
                f"overfitting: held out {now.loss:.3f} is above its best {self._best.loss:.3f} of step"
                f" {self._best.step}, while the training loss falls; best.safetensors holds that step",
            )
        yield from self._no_gain(now, training)

    def _no_gain(self, now: Evaluated, training: float) -> Iterator[Warned | Eased]:
        self._recent = [*self._recent, (now.loss, training)][-GAIN_TIMES - 1 :]
        (held, trained), rest = self._recent[0], self._recent[1:]
        still = len(rest) == GAIN_TIMES and min(loss for loss, _ in rest) > held * (1 - GAIN)
        still = still and min(loss for _, loss in rest) > trained * (1 - GAIN)
        yield from self._when(
            still,
            now.step,
            "no more gain",
            f"no more gain: {GAIN_TIMES} evaluations bettered the held-out loss by less than {GAIN:.1%}; a lower rate"
            " may gain a little more",
        )

    def _when(self, true: bool, step: int, about: str, message: str) -> Iterator[Warned | Eased]:
        if true and about not in self._told:
            self._told.add(about)
            yield Warned(step=step, message=message, about=about)
        elif not true and about in self._told:
            self._told.discard(about)
            yield Eased(step=step, about=about)
