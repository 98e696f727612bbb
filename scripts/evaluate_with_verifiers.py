"""Run environments with verifiers' own `evaluate()`; a part of compare_verifiers.py.

    python evaluate_with_verifiers.py OUT URL MODEL ROLLOUTS ROLLOUT_SEED ENV_ID...

The environments are modules in the current folder; OUT becomes a JSON object of their rows.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import verifiers as vf
from verifiers.clients import OpenAIChatCompletionsClient
from verifiers.types import ClientConfig

from pytest_evals.engine.rollouts import seed_of


class SeededClient(OpenAIChatCompletionsClient):
    """Sends the seed that pytest_evals sends with each rollout of an example.

    verifiers has one set of sampling arguments for all rollouts, so that the demo model would give
    all of an example the same answer.
    """

    def __init__(self, config: ClientConfig, rollout_seed: int) -> None:
        super().__init__(config)
        self.rollout_seed = rollout_seed
        # example id -> trajectory id -> rollout number
        self.rollouts: dict[int, dict[str, int]] = defaultdict(dict)

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the model with the seed of the rollout that asks."""
        state = kwargs["state"]
        example_id = state["example_id"]
        known = self.rollouts[example_id]
        number = known.setdefault(state["trajectory_id"], len(known))
        seed = seed_of(self.rollout_seed, example_id, number)
        kwargs["sampling_args"] = {**(kwargs["sampling_args"] or {}), "seed": seed}
        return await super().get_response(*args, **kwargs)


async def evaluate(name: str, config: ClientConfig, model: str, rollouts: int, seed: int) -> Any:
    environment = vf.load_environment(name)
    client = SeededClient(config, seed)
    results = await environment.evaluate(
        client=client,
        model=model,
        num_examples=-1,
        rollouts_per_example=rollouts,
        state_columns=["trajectory_id"],
    )
    rows = json.loads(json.dumps(results["outputs"], default=_plain))
    for row in rows:
        row["rollout"] = client.rollouts[row["example_id"]][row["trajectory_id"]]
    return rows


def _plain(value: Any) -> Any:
    return value.model_dump(exclude_none=True) if hasattr(value, "model_dump") else str(value)


def main() -> None:
    out, url, model, rollouts, seed, *names = sys.argv[1:]
    sys.path.insert(0, str(Path.cwd()))
    config = ClientConfig(api_base_url=url, api_key_var="COMPARE_NO_KEY")

    async def evaluate_all() -> dict[str, Any]:
        return {
            name: await evaluate(name, config, model, int(rollouts), int(seed)) for name in names
        }

    Path(out).write_text(json.dumps(asyncio.run(evaluate_all())))


if __name__ == "__main__":
    main()
