"""Signals: noted while items are reported, acted on between them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from pytest_evals.plugin import signals as module
from pytest_evals.plugin.signals import StopSignals, interrupts_ignored


@pytest.fixture
def signals() -> Iterator[StopSignals]:
    signals = StopSignals(wake=lambda: None)
    yield signals
    signals.release()


def _send(number: int) -> None:
    os.kill(os.getpid(), number)


def test_an_interrupt_is_noted_and_acted_on_later(signals: StopSignals) -> None:
    with signals.deferred():
        signals.act()
        _send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signals.act()


def test_a_second_interrupt_at_once_is_the_same_wish(signals: StopSignals) -> None:
    with signals.deferred():
        _send(signal.SIGINT)
        _send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signals.act()


def test_a_second_interrupt_strikes_when_the_first_is_not_acted_on(
    signals: StopSignals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE_SECONDS", -1.0)
    with signals.deferred():
        _send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            _send(signal.SIGINT)


def test_no_interrupt_strikes_while_the_session_ends(signals: StopSignals) -> None:
    with pytest.raises(KeyboardInterrupt), signals.deferred():
        _send(signal.SIGINT)
        signals.act()
    _send(signal.SIGINT)
    signals.release()
    with pytest.raises(KeyboardInterrupt):
        _send(signal.SIGINT)


def test_whoever_waits_is_woken() -> None:
    woken: list[bool] = []
    signals = StopSignals(wake=lambda: woken.append(True))
    with signals.deferred():
        _send(signal.SIGINT)
    signals.release()
    assert woken == [True]


def test_sigterm_strikes_at_once_outside_of_reporting(signals: StopSignals) -> None:
    with signals.caught(), pytest.raises(pytest.exit.Exception) as caught:
        _send(signal.SIGTERM)
    assert caught.value.returncode == 143
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_is_noted_while_items_are_reported(signals: StopSignals) -> None:
    with signals.caught(), signals.deferred():
        _send(signal.SIGTERM)
        with pytest.raises(pytest.exit.Exception):
            signals.act()


def test_handlers_of_others_are_left_alone(signals: StopSignals) -> None:
    seen: list[int] = []
    old = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with signals.deferred():
            _send(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, old)
    assert seen == [signal.SIGINT]


def test_interrupts_are_ignored_while_a_session_is_completed() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_ignored():
        _send(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_after_a_double_stroke_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    with interrupts_ignored(lambda: seen.append(1)):
        _send(signal.SIGINT)
        assert seen == []
        monkeypatch.setattr("pytest_evals.plugin.signals._PATIENCE_SECONDS", 0.0)
        _send(signal.SIGINT)
    assert seen == [1]
