"""Reverse text: write a text backwards, with credit for getting close."""

from __future__ import annotations

import random
from difflib import SequenceMatcher

import pytest_evals as vf

SYSTEM_PROMPT = "Reverse the text character-by-character. Put your answer in <reversed_text> tags."

WORDS = (
    "amber anchor basket bridge candle copper cotton daring desert distant eager engine feather "
    "forest frozen garden gentle hammer harbor hidden island jacket kettle ladder lantern little "
    "marble meadow modern narrow needle orange orchard paper pebble pencil quiet rapid river "
    "rocket saddle shadow silent silver spring steady summer tangle temple thunder timber valley "
    "velvet violet wander whisper window winter wooden yellow"
)


def load_environment(num_texts: int = 100, num_words: int = 8, seed: int = 0) -> vf.Environment:
    """Return the environment; see README.md for the arguments."""
    parser = vf.XMLParser(["reversed_text"], answer_field="reversed_text")

    def similarity(completion: vf.Messages, answer: str) -> float:
        given = parser.parse_answer(completion) or ""
        return SequenceMatcher(None, given, answer, autojunk=False).ratio()

    def exact_match(completion: vf.Messages, answer: str) -> float:
        return float(parser.parse_answer(completion) == answer)

    rubric = vf.Rubric(funcs=[similarity], parser=parser)
    rubric.add_metric(exact_match)
    return vf.SingleTurnEnv(
        dataset=lambda: generate(num_texts, num_words, seed),
        system_prompt=SYSTEM_PROMPT,
        parser=parser,
        rubric=rubric,
    )


def generate(num_texts: int, num_words: int, seed: int) -> list[dict[str, object]]:
    """Return texts with their reverse; the same ones for the same arguments."""
    draws, words = random.Random(seed), WORDS.split()
    texts = [" ".join(draws.choices(words, k=num_words)) for _ in range(num_texts)]
    return [{"question": text, "answer": text[::-1]} for text in texts]
