"""What a session's budget counts, and when it says that it is spent."""

from __future__ import annotations

import threading

from pytest_evals.config.budget import Budget, smallest
from pytest_evals.endpoints.prices import Price
from pytest_evals.messages import Usage
from pytest_evals.plugin.budget import SessionBudget, amounts


def counted(budget: Budget, *answers: tuple[int | None, float | None]) -> list[str]:
    """Return what is told while answers are counted."""
    told: list[str] = []
    session = SessionBudget(budget, told.append)
    for tokens, usd in answers:
        session.count(tokens, usd)
    assert session.reason == (told[0] if told else None)
    return told


def test_each_limit_is_told_once() -> None:
    answers = [(30, 0.5)] * 5
    assert counted(Budget(max_tokens_total=90), *answers) == [
        "max_tokens_total = 90 is spent (90 used by then)"
    ]
    assert counted(Budget(max_cost_usd=0.75), *answers) == [
        "max_cost_usd = 0.75 is spent (1.0000 USD used by then)"
    ]
    assert counted(Budget(max_tokens_total=151, max_cost_usd=2.6), *answers) == []


def test_answers_that_cannot_be_counted() -> None:
    limit = Budget(max_tokens_total=90)
    (told,) = counted(limit, (None, None))
    assert told.startswith("max_tokens_total = 90 cannot be kept: the server counted no tokens")
    assert counted(limit, (1, None), (None, None), (1, None), (None, None)) == []
    assert len(counted(limit, (1, None), (None, None), (None, None))) == 1


def test_a_cost_that_is_not_known() -> None:
    (told,) = counted(Budget(max_cost_usd=5), (10, None))
    assert told == "max_cost_usd cannot be kept: the price of a model is not known"
    assert counted(Budget(max_tokens_total=50), (10, None)) == []


def test_threads_that_count_at_once() -> None:
    told: list[str] = []
    session = SessionBudget(Budget(max_tokens_total=4000), told.append)

    def work() -> None:
        for _ in range(1000):
            session.count(1, None)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == ["max_tokens_total = 4000 is spent (4000 used by then)"]


def test_the_time_is_told_without_an_answer() -> None:
    is_told = threading.Event()
    told: list[str] = []

    def tell(reason: str) -> None:
        told.append(reason)
        is_told.set()

    session = SessionBudget(Budget(max_duration=0.01), tell)
    session.check_time()  # it has not started
    session.start()
    session.start()
    assert is_told.wait(10)
    assert told[0].startswith("max_duration = 0.01 is over (")
    session.check_time()
    session.stop()
    assert len(told) == 1


def test_a_time_that_is_stopped_is_not_told() -> None:
    told: list[str] = []
    session = SessionBudget(Budget(max_duration=1e300), told.append)
    session.start()
    session.check_time()
    session.stop()
    session.stop()
    assert not told


def test_the_smallest_of_each_limit() -> None:
    budgets = [Budget(5.0, None, 60.0), Budget(7.0, 100, None), Budget()]
    assert smallest(budgets) == Budget(5.0, 100, 60.0)
    assert smallest([]) == Budget()
    assert not Budget().is_limited
    assert Budget(max_duration=1.0).words == ["max_duration = 1"]
    assert not Budget(max_duration=1.0).counts_answers


def test_amounts_of_an_answer() -> None:
    tokens, usd = amounts(Usage(10, 5), Price(1.0, 2.0))
    assert (tokens, usd) == (15, 20e-6)
    assert amounts(Usage(10, 5), None) == (15, None)
    assert amounts(None, Price(1.0, 2.0)) == (None, None)
