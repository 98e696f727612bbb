"""What benchmarks/xdist.py works on: one-line sums, and a score that costs as much as asked for."""

from __future__ import annotations

import sys
import time

import pytest_evals

_TRIAL = 200_000


def burn(loops: int) -> int:
    """Keep the CPU busy with pure Python: about 50 ns per loop."""
    total = 0
    for number in range(loops):
        total += number & 3
    return total


def load_environment(number: int, loops: int) -> pytest_evals.Environment:
    """Return an environment of `number` sums whose score takes `loops` of work."""

    def right_answer(completion: list[dict[str, str]], answer: str) -> float:
        burn(loops)
        return 1.0 if completion[-1]["content"].rpartition(" ")[2] == answer else 0.0

    sums = [(f"What is {index % 1000} + {index // 7}?", index % 1000 + index // 7)
            for index in range(number)]  # fmt: skip
    return pytest_evals.SingleTurnEnv(
        dataset=[{"question": text, "answer": str(answer)} for text, answer in sums],
        rubric=pytest_evals.Rubric(funcs=[right_answer]),
    )


def loops_for(seconds: float) -> int:
    """Return how many loops take so long on this machine, at its best."""
    return round(seconds / min(_seconds_of_trial() for _ in range(9)) * _TRIAL)


def _seconds_of_trial() -> float:
    begun = time.process_time()
    burn(_TRIAL)
    return time.process_time() - begun


if __name__ == "__main__":
    print(loops_for(float(sys.argv[1])))
