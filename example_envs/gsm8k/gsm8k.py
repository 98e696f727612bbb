"""GSM8K: grade-school word problems with one number as the answer."""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

import pytest_evals as vf

SYSTEM_PROMPT = "Reason step by step, then put the final number in \\boxed{}."


def load_environment(split: str = "test", path: str | None = None) -> vf.Environment:
    """Return the environment; see README.md for the arguments."""
    file = path or os.environ.get("GSM8K_PATH")
    parser = vf.MaybeThinkParser(extract_fn=boxed_only)

    def correct_answer(completion: vf.Messages, answer: str) -> float:
        given = number(parser.parse_answer(completion) or "")
        return float(given is not None and given == number(answer))

    def boxed(completion: vf.Messages) -> bool:
        return bool(parser.parse_answer(completion))

    rubric = vf.Rubric(funcs=[correct_answer], parser=parser)
    rubric.add_metric(boxed)
    return vf.SingleTurnEnv(
        dataset=lambda: read_jsonl(Path(file)) if file else download(split),
        system_prompt=SYSTEM_PROMPT,
        parser=parser,
        rubric=rubric,
    )


def boxed_only(text: str) -> str:
    """Return the content of the last box; "" without one, so that prose earns nothing."""
    return vf.extract_boxed_answer(text, strict=True)


def number(text: str) -> Decimal | None:
    r"""Return the number that `text` is (`1,234`, `$18.00`, `20\%`), or None."""
    plain = re.sub(r"\\text\{.*?\}|[\s,$%\\{}]", "", text[:100]).removesuffix(".")
    try:
        value = Decimal(plain)
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def read_jsonl(path: Path) -> list[dict[str, object]]:
    """Read a file of the data set's own format: `{"question": ..., "answer": "... #### 42"}`."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise vf.SetupError(f"GSM8K file {path}: {error}") from error
    rows = []
    for line_number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            rows.append(example(row["question"], row["answer"]))
        except (ValueError, KeyError, TypeError) as error:
            raise vf.SetupError(
                f"{path}:{line_number}: not a GSM8K row ({error}); expected "
                '{"question": "...", "answer": "... #### 42"}'
            ) from error
    return rows


def download(split: str) -> list[dict[str, object]]:
    """Load `openai/gsm8k` through the `datasets` package."""
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise vf.SetupError(
            "the package 'datasets' is not installed: pip install 'pytest-rollouts[datasets]', "
            "or set GSM8K_PATH to a local JSON Lines file"
        ) from error
    rows = datasets.load_dataset("openai/gsm8k", "main", split=split)
    return [example(row["question"], row["answer"]) for row in rows]


def example(question: str, worked_answer: str) -> dict[str, object]:
    """Return the example of one row: the number after `####` is the answer."""
    if "####" not in worked_answer:
        raise ValueError("its answer has no '#### number'")
    return {"question": question, "answer": vf.extract_hash_answer(worked_answer)}
