"""The demo model: an answer that is a function of messages, seed and model name alone.

Each question has a difficulty of its own, made of a hash of the messages and the size of its
numbers; the seed decides whether one attempt succeeds. So mean reward, pass@k and pass^k differ,
as they do for a real model.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .expressions import Expression, find_expression, show


@dataclass(frozen=True, slots=True)
class Skill:
    """What a model can do.

    Attributes:
        served: the id the server says it served.
        steadiness: the higher, the rarer a slip: an easy sum fails with probability
            1 / (steadiness + 1), averaged over questions.
        slips_per_character: of a text it reverses.
        forgets_format: probability of ignoring the format that was asked for.
    """

    served: str
    steadiness: float
    slips_per_character: float
    forgets_format: float


MODELS: Mapping[str, Skill] = {
    "demo-small": Skill("demo-small-2026-01", 4.5, 0.01, 0.03),
    "demo-large": Skill("demo-large-2026-01", 15.0, 0.003, 0.01),
}

# More words than this around an expression make a word problem of a question.
_MAX_WORDS_OF_A_SUM = 12
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_TAG = re.compile(r"<([a-z][a-z_]*)>")
_THINKING = frozenset({"think", "thinking", "reasoning"})
_BOXED = "\\boxed{"


@dataclass(frozen=True, slots=True)
class _Solution:
    """A final answer, the work that led to it, and the sentence that says both."""

    final: str
    work: str
    sentence: str


def answer(messages: Sequence[Mapping[str, Any]], seed: int, model: str) -> str:
    """Return what `model` says next.

    Args:
        messages: of a chat completion request, already checked.
        seed: another seed is another attempt at the same question.
        model: a key of `MODELS`.
    """
    skill = MODELS[model]
    asked = hashlib.sha256(json.dumps(messages, sort_keys=True).encode()).digest()
    attempt = hashlib.sha256(asked + f"{model}/{seed}".encode()).digest()
    # In [0, 1): the same for every seed and every model, so some questions are hard for all.
    difficulty = int.from_bytes(asked[:6], "big") / 2**48
    draws = random.Random(int.from_bytes(attempt[:8], "big"))

    instructions = _joined(messages, {"system", "developer"})
    question = _last_question(messages)
    solution = _solve(instructions, question, skill, difficulty, draws)
    if draws.random() < skill.forgets_format:
        return solution.sentence
    return _formatted(solution, instructions or question)


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or parts of which some are text."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = (part.get("text") for part in content if isinstance(part, dict))
    return " ".join(text for text in texts if isinstance(text, str))


def _joined(messages: Sequence[Mapping[str, Any]], roles: set[str]) -> str:
    return "\n".join(text_of(m.get("content")) for m in messages if m.get("role") in roles)


def _last_question(messages: Sequence[Mapping[str, Any]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def _solve(
    instructions: str, question: str, skill: Skill, difficulty: float, draws: random.Random
) -> _Solution:
    if "reverse the text" in instructions.lower():
        return _reverse(question, skill, difficulty, draws)
    if question[:200].lower().lstrip().startswith("reverse the text"):
        return _reverse(question.partition(":")[2].strip(), skill, difficulty, draws)
    expression = find_expression(question)
    if expression is not None and len(question.split()) <= (
        len(expression.text.split()) + _MAX_WORDS_OF_A_SUM
    ):
        return _calculate(expression, skill, difficulty, draws)
    numbers = [Fraction(number) for number in _NUMBER.findall(question[:4000])[:6]]
    if numbers:
        return _guess(numbers, draws)
    return _Solution("unknown", "There is nothing to calculate here.", "I do not know.")


def _calculate(
    expression: Expression, skill: Skill, difficulty: float, draws: random.Random
) -> _Solution:
    # Over uniform difficulties, difficulty ** s averages 1 / (s + 1).
    effort = 1 + 0.25 * max(0, expression.digits - 3) + 0.5 * (expression.operators - 1)
    wrong = draws.random() < difficulty ** (skill.steadiness / effort)
    value = _slip(expression.value, draws) if wrong else expression.value
    final = show(value)
    sentence = f"{expression.text} = {final}"
    return _Solution(final, sentence, sentence)


def _slip(value: Fraction, draws: random.Random) -> Fraction:
    """Return a number near `value` that a hasty calculation could have given."""
    digits = str(abs(int(value)))
    slips = [value + 1, value - 1]
    if len(digits) > 1:
        slips += [value + 10, value - 10]
    if value.denominator == 1 and len(digits) > 1 and digits[-1] != digits[-2]:
        swapped = Fraction(int(digits[:-2] + digits[-1] + digits[-2]))
        slips.append(-swapped if value < 0 else swapped)
    return slips[int(draws.random() * len(slips))]


def _reverse(text: str, skill: Skill, difficulty: float, draws: random.Random) -> _Solution:
    """Reverse `text`, now and then swapping two neighbours or losing a character."""
    letters = list(reversed(text))
    rate = min(0.5, skill.slips_per_character * 2 * difficulty)
    position = _gap(rate, draws)
    while position < len(letters) - 1:
        if draws.random() < 0.5:
            letters[position] = ""
        else:
            pair = letters[position], letters[position + 1]
            letters[position + 1], letters[position] = pair
        position += 1 + _gap(rate, draws)
    final = "".join(letters)
    return _Solution(final, f"The text has {len(text)} characters.", final)


def _gap(rate: float, draws: random.Random) -> int:
    """Return how many characters go well before the next slip: a geometric draw.

    One draw a slip, where one a character would make long texts slow.
    """
    if rate < 1e-9:
        return 2**62
    return int(math.log(1 - draws.random()) / math.log(1 - rate))


def _guess(numbers: list[Fraction], draws: random.Random) -> _Solution:
    """Combine the numbers of a word problem in a way that is right now and then."""
    operators = ["+", "-", "*"]
    value = numbers[0]
    steps = [show(value)]
    for number in numbers[1 : 2 + int(draws.random() * 3)]:
        operator = operators[int(draws.random() * len(operators))]
        change = {"+": value + number, "-": value - number, "*": value * number}
        value = change[operator]
        steps += [operator, show(number)]
    final = show(value)
    return _Solution(final, f"{' '.join(steps)} = {final}", f"The answer is {final}.")


def _formatted(solution: _Solution, instructions: str) -> str:
    """Put a solution in the tags or the box that the instructions name."""
    tags = list(dict.fromkeys(_TAG.findall(instructions)))
    boxed = _BOXED in instructions
    if not tags and not boxed:
        return solution.sentence
    final = f"{_BOXED}{solution.final}}}" if boxed else solution.final
    parts = [f"<{tag}>\n{solution.work if tag in _THINKING else final}\n</{tag}>" for tag in tags]
    if boxed and not any(tag not in _THINKING for tag in tags):
        parts += [final] if tags else [f"{solution.work}, so the answer is {final}."]
    return "\n".join(parts)
