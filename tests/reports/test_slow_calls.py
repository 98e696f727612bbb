"""What is slow is named with what to do about them, in a handful of lines."""

from __future__ import annotations

from pytest_evals.reports.slow_calls import SlowCalls


def test_nothing_is_said_of_none() -> None:
    slow = SlowCalls()
    slow.note({})
    assert list(slow.lines("sums")) == []


def test_each_function_has_its_longest_block_and_its_rollouts() -> None:
    slow = SlowCalls()
    slow.note({"reward function 'grade'": 0.2504})
    slow.note({"reward function 'grade'": 0.15, "tool 'compile'": 1.5})
    first, second, advice = slow.lines("sums")
    assert first == (
        "slow: sums: tool 'compile' blocked the event loop for up to 1500 ms, in 1 rollout"
    )
    assert second == (
        "slow: sums: reward function 'grade' blocked the event loop for up to 250 ms, in 2 rollouts"
    )
    assert "make it async" in advice
    assert "asyncio.to_thread" in advice


def test_of_many_functions_the_slowest_are_named() -> None:
    slow = SlowCalls()
    slow.note({f"f{number}": number / 10 for number in range(1, 9)})
    lines = list(slow.lines("sums"))
    assert len(lines) == 7
    assert "f8" in lines[0]
    assert "3 more" in lines[5]
