"""Warnings come by plain rules on made-up curves: once, and again only after they had passed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from trainer.events import Eased, Evaluated, Event, RateScaled, TrainStep, Warned
from trainer.health import watched


def _step(step: int, loss: float, *, text_share: float = 0.0) -> TrainStep:
    return TrainStep(
        step=step,
        loss=loss,
        smooth_loss=loss,
        bits_per_byte=loss,
        lr=1e-3,
        grad_norm=1.0,
        tokens=step,
        tokens_per_s=1.0,
        epoch=0.0,
        elapsed_s=0.0,
        eta_s=0.0,
        memory_bytes=0,
        text_share=text_share,
    )


def _held(step: int, loss: float) -> Evaluated:
    return Evaluated(step=step, loss=loss, bits_per_byte=loss, tokens=1, best=False, seconds=0.0)


def _run(training: Iterable[float], held: dict[int, float] | None = None) -> Iterator[Event]:
    for step, loss in enumerate(training, 1):
        yield _step(step, loss)
        if held and step in held:
            yield _held(step, held[step])


def _told(events: Iterable[Event]) -> list[tuple[str, str, int]]:
    """(kind, about, step) of what was added."""
    return [
        (type(event).__name__, event.about, event.step)
        for event in watched(iter(events))
        if isinstance(event, Warned | Eased)
    ]


def test_a_run_that_learns_is_left_alone() -> None:
    training = [4.0 * 0.99**step for step in range(300)]
    assert _told(_run(training, {step: training[step - 1] + 0.1 for step in range(20, 301, 20)})) == []


def test_overfitting_is_told_once_at_the_third_worse_evaluation_and_names_the_best() -> None:
    training = [3.0 - step / 200 for step in range(400)]
    held = {20: 2.9, 40: 2.5, 60: 2.6, 80: 2.7, 100: 2.8, 120: 2.9, 140: 3.0}
    events = list(watched(_run(training, held)))
    (warned,) = [event for event in events if isinstance(event, Warned)]
    assert (warned.about, warned.step) == ("overfitting", 100)
    assert "2.500 of step 40" in warned.message


def test_overfitting_that_passed_is_told_to_have_passed_and_can_come_again() -> None:
    training = [3.0 - step / 200 for step in range(400)]
    held = {20: 2.5, 40: 2.6, 60: 2.7, 80: 2.8, 100: 2.4, 120: 2.6, 140: 2.6, 160: 2.6}
    assert _told(_run(training, held)) == [
        ("Warned", "overfitting", 80),
        ("Eased", "overfitting", 100),
        ("Warned", "overfitting", 160),
    ]


def test_held_out_that_rises_with_the_training_loss_is_no_overfitting() -> None:
    held = {20: 2.5, 40: 2.6, 60: 2.7, 80: 2.8}
    assert _told(_run([2.4 + step / 1000 for step in range(100)], held)) == []


def test_divergence_is_told_after_twenty_high_steps_and_eases_when_the_loss_is_back() -> None:
    calm, high = [2.0] * 50, [2.6] * 40
    assert _told(_run([*calm, *high, *calm])) == [("Warned", "diverging", 70), ("Eased", "diverging", 91)]


@pytest.mark.parametrize("peak", [2.2, 2.6])
def test_a_short_spike_or_a_small_rise_is_no_divergence(peak: float) -> None:
    times = 60 if peak == 2.2 else 15
    assert _told(_run([*[2.0] * 50, *[peak] * times, *[2.0] * 50])) == []


def test_a_plateau_is_told_once_and_another_rate_gets_a_new_chance() -> None:
    held = dict.fromkeys(range(20, 301, 20), 2.5)
    events = list(_run([2.4] * 300, held))
    assert _told(events) == [("Warned", "no more gain", 120)]
    lowered = [*events[:140], RateScaled(step=130, scale=0.5, lr=1e-3), *events[140:]]
    told = _told(lowered)
    assert told[:2] == [("Warned", "no more gain", 120), ("Eased", "no more gain", 130)]
    assert [about for _, about, _ in told[2:]] == ["no more gain"]


def test_slow_text_is_told_after_fifty_slow_steps_in_a_row() -> None:
    slow = [_step(step, 2.0, text_share=0.5) for step in range(1, 81)]
    fast = [_step(step, 2.0, text_share=0.01) for step in range(81, 100)]
    assert _told([*slow, *fast]) == [("Warned", "slow text", 50), ("Eased", "slow text", 81)]
    shaky = [_step(step, 2.0, text_share=0.5 if step % 40 else 0.01) for step in range(1, 200)]
    assert _told(shaky) == []
