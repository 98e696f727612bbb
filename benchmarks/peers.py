"""The same questions through other packages; each runs in the interpreter that has it.

    /path/to/python -m benchmarks.peers verifiers --url http://127.0.0.1:8000/v1

It prints one line of JSON, as `benchmarks.bare_loops` does. Only the standard library and the peer
are imported, so that the CPU time of the process is the peer's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from benchmarks.bench_env import questions, score

MODEL = "demo-small"

# From the URL, the number of rollouts and how many in flight to the mean reward.
Peer: TypeAlias = Callable[[str, int, int], float]


def run_verifiers(url: str, rollouts: int, concurrency: int) -> float:
    """Evaluate a `SingleTurnEnv` of verifiers."""
    import verifiers as vf
    from datasets import Dataset
    from verifiers.clients import OpenAIChatCompletionsClient
    from verifiers.types import ClientConfig

    def right_answer(completion: Any, answer: str, **_: Any) -> float:
        return score(answer, completion[-1]["content"])

    rows = [{"question": question, "answer": answer} for question, answer in questions(rollouts)]
    environment = vf.SingleTurnEnv(
        dataset=Dataset.from_list(rows), rubric=vf.Rubric(funcs=[right_answer])
    )
    config = ClientConfig(api_base_url=url, api_key_var="BENCH_KEY")

    async def evaluate() -> Any:
        return await environment.evaluate(
            client=OpenAIChatCompletionsClient(config),
            model=MODEL,
            num_examples=rollouts,
            rollouts_per_example=1,
            max_concurrent=concurrency,
        )

    outputs = asyncio.run(evaluate())["outputs"]
    return float(sum(row["reward"] for row in outputs) / len(outputs))


def run_inspect(url: str, rollouts: int, concurrency: int) -> float:
    """Evaluate a task of inspect-ai."""
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.scorer import Score, accuracy, scorer
    from inspect_ai.solver import generate

    @scorer(metrics=[accuracy()])  # type: ignore[untyped-decorator, unused-ignore]
    def right_answer() -> Any:
        async def judge(state: Any, target: Any) -> Any:
            return Score(value=score(target.text, state.output.completion))

        return judge

    samples = [Sample(input=question, target=answer) for question, answer in questions(rollouts)]
    with tempfile.TemporaryDirectory() as folder:
        (log,) = evaluate(
            Task(dataset=MemoryDataset(samples), solver=generate(), scorer=right_answer()),
            model=f"openai/{MODEL}",
            model_base_url=url,
            model_args={"responses_api": False},
            max_connections=concurrency,
            max_samples=concurrency,
            display="none",
            log_dir=folder,
        )
    return float(log.results.scores[0].metrics["accuracy"].value)


def run_pydantic_evals(url: str, rollouts: int, concurrency: int) -> float:
    """Evaluate a dataset of pydantic-evals, with a task that asks through `AsyncOpenAI`."""
    import openai
    from pydantic_evals import Case, Dataset
    from pydantic_evals.evaluators import Evaluator, EvaluatorContext

    class RightAnswer(Evaluator[str, str]):  # type: ignore[misc, unused-ignore]
        def evaluate(self, ctx: EvaluatorContext[str, str]) -> float:
            return score(str(ctx.expected_output), ctx.output)

    cases = [Case(inputs=text, expected_output=answer) for text, answer in questions(rollouts)]
    dataset: Any = Dataset(name="bench", cases=cases, evaluators=[RightAnswer()])

    async def evaluate() -> Any:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:

            async def ask(question: str) -> str:
                reply = await client.chat.completions.create(
                    model=MODEL, messages=[{"role": "user", "content": question}]
                )
                return reply.choices[0].message.content or ""

            return await dataset.evaluate(ask, max_concurrency=concurrency, progress=False)

    return float(asyncio.run(evaluate()).averages().scores["RightAnswer"])


_TEST_FILE = """\
import openai, pytest, pytest_asyncio
from benchmarks.bench_env import questions, score

REWARDS = []

@pytest_asyncio.fixture(loop_scope="session", scope="session")
async def client():
    async with openai.AsyncOpenAI(base_url={url!r}, api_key="none") as client:
        yield client

@pytest.mark.asyncio(loop_scope="session")
@pytest.mark.parametrize(("question", "answer"), questions({rollouts}))
async def test_answer(client, question, answer):
    reply = await client.chat.completions.create(
        model={model!r}, messages=[{{"role": "user", "content": question}}]
    )
    REWARDS.append(score(answer, reply.choices[0].message.content))
"""


def run_pytest_asyncio(url: str, rollouts: int, concurrency: int) -> float:
    """Run a test for each question with pytest-asyncio, which runs them one after the other."""
    import pytest

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test_bench_answers.py"
        path.write_text(_TEST_FILE.format(url=url, rollouts=rollouts, model=MODEL))
        (Path(folder) / "pytest.ini").write_text("[pytest]\n")
        code = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:evals", str(path)])
    if code:
        sys.exit(f"pytest: exit code {code}")
    rewards: list[float] = sys.modules["test_bench_answers"].REWARDS
    return sum(rewards) / len(rewards)


PEERS: dict[str, Peer] = {
    "verifiers": run_verifiers,
    "inspect-ai": run_inspect,
    "pydantic-evals": run_pydantic_evals,
    "pytest-asyncio": run_pytest_asyncio,
}
MODULES = {
    "verifiers": "verifiers",
    "inspect-ai": "inspect_ai",
    "pydantic-evals": "pydantic_evals",
    "pytest-asyncio": "pytest_asyncio",
}


def main() -> None:
    """Run one peer and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rollouts", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=256)
    options = parser.parse_args()
    start = time.time()
    reward = PEERS[options.peer](options.url, options.rollouts, options.concurrency)
    print(json.dumps({"first_request": start, "reward": reward}))


if __name__ == "__main__":
    main()
