"""What every mode of the benchmark works on: one-line sums and a score that costs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest_evals


def questions(number: int) -> list[tuple[str, str]]:
    """Return `number` different (question, answer) pairs, the same ones every time."""
    pairs = ((index % 1000, index // 1000 + index % 7) for index in range(number))
    return [(f"What is {left} + {right}?", str(left + right)) for left, right in pairs]


def score(answer: str, text: str) -> float:
    """Return 1.0 when the answer is the last word of the text."""
    return 1.0 if text.rpartition(" ")[2] == answer else 0.0


def load_environment(number: int) -> pytest_evals.Environment:
    """Return the environment of the plugin's mode, with `number` examples."""
    import pytest_evals  # peers that work on the same questions have it not installed

    def right_answer(completion: list[dict[str, str]], answer: str) -> float:
        return score(answer, completion[-1]["content"])

    return pytest_evals.SingleTurnEnv(
        dataset=[{"question": text, "answer": answer} for text, answer in questions(number)],
        rubric=pytest_evals.Rubric(funcs=[right_answer]),
    )
