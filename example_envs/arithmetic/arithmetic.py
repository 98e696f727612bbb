"""Arithmetic: sums in plain words, generated, with an exact answer."""

from __future__ import annotations

import random

import pytest_evals as vf

SYSTEM_PROMPT = "Solve the problem. Put the result, a single number, in <answer> tags."


def load_environment(
    num_problems: int = 100, difficulty: str = "easy", seed: int = 0
) -> vf.Environment:
    """Return the environment; see README.md for the arguments."""
    if difficulty not in DIFFICULTIES:
        raise vf.SetupError(
            f"difficulty is {difficulty!r}; choose one of {', '.join(DIFFICULTIES)}"
        )
    parser = vf.XMLParser(["answer"])

    def correct_answer(completion: vf.Messages, answer: str) -> float:
        given = parser.parse_answer(completion) or ""
        return float(given.replace(",", "") == answer)

    rubric = vf.Rubric(funcs=[correct_answer], parser=parser)
    rubric.add_metric(parser.get_format_reward_func())
    return vf.SingleTurnEnv(
        dataset=lambda: generate(num_problems, difficulty, seed),
        system_prompt=SYSTEM_PROMPT,
        parser=parser,
        rubric=rubric,
    )


def generate(num_problems: int, difficulty: str, seed: int) -> list[dict[str, object]]:
    """Return problems; the same ones for the same arguments."""
    draws = random.Random(seed)
    make = DIFFICULTIES[difficulty]
    rows: list[dict[str, object]] = []
    for _ in range(num_problems):
        expression, value = make(draws)
        rows.append(
            {
                "question": f"What is {expression}?",
                "answer": str(value),
                "info": {"difficulty": difficulty},
            }
        )
    return rows


def _easy(draws: random.Random) -> tuple[str, int]:
    left, right = draws.randint(10, 99), draws.randint(10, 99)
    if draws.random() < 0.5:
        return f"{left} + {right}", left + right
    left, right = max(left, right), min(left, right)
    return f"{left} - {right}", left - right


def _medium(draws: random.Random) -> tuple[str, int]:
    if draws.random() < 0.5:
        left, right = draws.randint(100, 999), draws.randint(100, 999)
        return f"{left} + {right}", left + right
    left, right = draws.randint(11, 99), draws.randint(3, 9)
    return f"{left} * {right}", left * right


def _hard(draws: random.Random) -> tuple[str, int]:
    first, second, third = draws.randint(100, 999), draws.randint(11, 99), draws.randint(11, 99)
    return f"{first} + {second} * {third}", first + second * third


DIFFICULTIES = {"easy": _easy, "medium": _medium, "hard": _hard}
