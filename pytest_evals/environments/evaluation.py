"""Evaluation: rolling an environment out from a script or a notebook, without pytest.

The functions are methods of every `Environment`. `client` is whatever `client_from` takes. A
rollout that fails is a row like any other, with its `error` and `state`; nothing is raised for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from ..errors import SetupError
from .checking import check_parameters, warnings_of
from .given_client import GivenClient, client_from
from .script_run import ScriptRun, in_memory_only, open_folder

if TYPE_CHECKING:
    from ..rubrics.rubric import Rubric
    from .environment import Environment

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_CLOSE_SECONDS = 5.0

Row: TypeAlias = dict[str, Any]
Rows: TypeAlias = Sequence[Mapping[str, Any]]


async def run_rollout(
    environment: Environment,
    input: Mapping[str, Any],
    client: Any,
    model: str,
    sampling_args: Mapping[str, Any] | None = None,
    max_retries: int = 0,
    state_columns: Sequence[str] | None = None,
) -> Row:
    """Roll out and score one example once; return its row. Arguments are those of `generate`."""
    rows = await run_group(
        environment, [input], client, model, sampling_args, max_retries, state_columns
    )
    return rows[0]


async def run_group(
    environment: Environment,
    group_inputs: Rows,
    client: Any,
    model: str,
    sampling_args: Mapping[str, Any] | None = None,
    max_retries: int = 0,
    state_columns: Sequence[str] | None = None,
) -> list[Row]:
    """Roll out one example several times, score the rollouts together, and return their rows.

    Args:
        environment: what rolls out and scores.
        group_inputs: the example, once for each rollout.
        client, model, sampling_args, max_retries, state_columns: as for `generate`.
    """
    results = await generate(
        environment,
        group_inputs,
        client,
        model,
        sampling_args,
        max_retries=max_retries,
        state_columns=state_columns,
    )
    rows: list[Row] = results["outputs"]
    return rows


async def generate(
    environment: Environment,
    inputs: Any,
    client: Any,
    model: str,
    sampling_args: Mapping[str, Any] | None = None,
    max_concurrent: int = -1,
    results_path: Path | str | None = None,
    state_columns: Sequence[str] | None = None,
    save_results: bool = False,
    independent_scoring: bool = False,
    max_retries: int = 0,
    shuffle: bool = False,
    shuffle_seed: int | None = None,
) -> dict[str, Any]:
    """Roll out and score examples.

    Args:
        environment: what rolls out and scores.
        inputs: rows of `get_dataset` or `get_eval_dataset`; those of one `example_id` are a group.
        client: what `client_from` takes; one that it makes is closed at the end.
        model: the model id to ask for.
        sampling_args: merged over those of the environment.
        max_concurrent: rollouts in flight; 0 or less for no limit.
        results_path: the folder for the results, which must not hold a run yet; implies
            `save_results`.
        state_columns: keys of the states that rows hold as well.
        save_results: write results.jsonl and metadata.json; without `results_path` in a new folder
            below `./outputs/evals`.
        independent_scoring: taken and ignored: the rubric says what is scored together.
        max_retries: how often a rollout is generated again after an `InfraError` or an
            `InvalidModelResponseError`.
        shuffle, shuffle_seed: how the inputs were chosen, for the metadata.

    Returns:
        `outputs`: rows in the layout of results.jsonl, by example and rollout; `metadata`: as in
        metadata.json, with `date` and `path_to_save` (None when nothing was saved).

    Raises:
        SetupError: there are no inputs, one is no example, a reward function asks for what nothing
            provides, or the client or the folder cannot be used.
        OSError: the results cannot be written.
    """
    groups = _groups_of(inputs)
    _check_rubrics(environment, [group[0] for group in groups])
    is_kept = save_results or results_path is not None
    path = None if results_path is None else Path(results_path)
    async with _given(client, model) as given:
        with open_folder(environment, given, is_kept=is_kept, path=path) as folder:
            run = ScriptRun(
                environment,
                given,
                folder,
                sampling_args=sampling_args,
                rollouts_per_example=max(len(group) for group in groups),
                max_concurrent=max_concurrent,
                max_retries=max_retries,
                state_columns=state_columns or (),
            )
            await run.roll_out_all(groups)
            rows = run.rows()
            metadata = run.metadata(rows, (shuffle_seed or 0) if shuffle else None)
            if is_kept:
                run.save(rows, metadata)
            return {"outputs": rows, "metadata": metadata | in_memory_only(folder, is_kept)}


async def evaluate(
    environment: Environment,
    client: Any,
    model: str,
    sampling_args: Mapping[str, Any] | None = None,
    num_examples: int = -1,
    rollouts_per_example: int = 1,
    *,
    shuffle: bool = False,
    shuffle_seed: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Roll out and score the evaluation examples.

    Args:
        environment: what rolls out and scores.
        client, model, sampling_args: as for `generate`.
        num_examples: how many, from the head; 0 or less for all.
        rollouts_per_example: how often each.
        shuffle: take them in another order.
        shuffle_seed: which one; 0 when None.
        **options: other arguments of `generate`.

    Returns:
        What `generate` returns, and its errors.
    """
    if rollouts_per_example < 1:
        raise SetupError(f"rollouts_per_example is {rollouts_per_example}; it must be at least 1")
    seed = (shuffle_seed or 0) if shuffle else None
    examples = environment.get_eval_dataset(num_examples, seed)
    inputs = examples.to_list() * rollouts_per_example
    return await generate(
        environment,
        inputs,
        client,
        model,
        sampling_args,
        shuffle=shuffle,
        shuffle_seed=shuffle_seed,
        **options,
    )


def generate_sync(
    environment: Environment, inputs: Any, client: Any, *args: Any, **options: Any
) -> dict[str, Any]:
    """Do what `generate` does and wait for it; works where a loop runs already (a notebook)."""
    return _wait_for(environment, generate(environment, inputs, client, *args, **options))


def evaluate_sync(
    environment: Environment, client: Any, *args: Any, **options: Any
) -> dict[str, Any]:
    """Do what `evaluate` does and wait for it; works where a loop runs already (a notebook)."""
    return _wait_for(environment, evaluate(environment, client, *args, **options))


def _groups_of(inputs: Any) -> list[list[Mapping[str, Any]]]:
    """Return the inputs of each example together, in the order in which the first of each came."""
    if hasattr(inputs, "to_list"):
        inputs = inputs.to_list()
    if not isinstance(inputs, list | tuple) or not inputs:
        raise SetupError("inputs are a list of rows, as get_dataset() returns them, and not empty")
    groups: dict[int, list[Mapping[str, Any]]] = {}
    for number, row in enumerate(inputs):
        if not isinstance(row, Mapping) or type(row.get("example_id")) is not int:
            raise SetupError(f"inputs[{number}] has no example_id: take rows of get_dataset()")
        groups.setdefault(row["example_id"], []).append(row)
    return list(groups.values())


def _check_rubrics(environment: Environment, examples: Rows) -> None:
    """Refuse what would be found out only after the model was paid; log what is odd."""
    rubrics: dict[int, Rubric] = {}
    samples: dict[tuple[int, frozenset[str]], Mapping[str, Any]] = {}
    for example in examples:
        rubric = environment.rubric_of(example)
        rubrics[id(rubric)] = rubric
        samples.setdefault((id(rubric), frozenset(example)), example)
    if environment.score_rollouts:
        name = environment.env_id or type(environment).__name__
        for (rubric_id, _), example in samples.items():
            check_parameters(name, rubrics[rubric_id], example)
    for warning in warnings_of(environment, rubrics.values()):
        logger.warning("%s", warning)


@asynccontextmanager
async def _given(client: Any, model: str) -> AsyncIterator[GivenClient]:
    given = client_from(client, model)
    try:
        yield given
    finally:
        if given.is_ours:
            await given.client.close()


def _wait_for(environment: Environment, work: Coroutine[Any, Any, _T]) -> _T:
    threads = environment.concurrency
    if not _is_on_a_loop():
        with asyncio.Runner() as runner:
            if threads is not None:
                runner.get_loop().set_default_executor(ThreadPoolExecutor(threads))
            return runner.run(work)
    from ..engine.loop import LoopThread

    thread = LoopThread("pytest-evals-script")
    try:
        if threads is not None:
            thread.use_threads(threads)
        return thread.run(work)
    finally:  # Ctrl-C comes through here: what is in flight is cancelled
        thread.close(_nothing, _CLOSE_SECONDS)


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _nothing() -> None:
    pass
