"""PackageEnvironment: an environment of the verifiers package, 0.1.11 to 0.3.1, run by the engine.

The object itself is driven, in this process: its `rollout()` with this package's client, then the
rubric that belongs to the row. That is what its own `run_group()` does, in separate steps, so that
what the model answered is on disk before it is scored and every limit counts single rollouts.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping
from importlib import import_module
from typing import Any

from ..clients.client import Client
from ..environments.dataset import Example
from ..environments.environment import Environment
from ..environments.sampling import merge_sampling_args
from ..errors import SetupError
from ..parsers import Parser
from ..rubrics.rubric import Rubric
from .choice import can_be_driven
from .package_client import Asked, packages_client
from .package_rubric import PackageRubric, rubrics_in
from .package_state import PackageState, own_state

# What `set_kwargs` may change and others read here.
_MIRRORED = ("concurrency", "max_seq_len", "pass_threshold", "sampling_args", "score_rollouts")


def adapt(environment: Any) -> tuple[PackageEnvironment, str]:
    """Return an environment that verifiers made as one of this package, and which release made it.

    Raises:
        SetupError: the release cannot be driven.
    """
    version = getattr(sys.modules["verifiers"], "__version__", "unknown")
    if not can_be_driven(version):
        raise SetupError(
            f"environment {environment.env_id!r} was made by verifiers {version}, which cannot be"
            " driven; 0.1.11 to 0.3.1 can: pip install 'pytest-rollouts[verifiers]'"
        )
    return PackageEnvironment(environment), version


class PackageEnvironment(Environment):
    """An environment of verifiers.

    Args:
        original: what its `load_environment` returned.
    """

    def __init__(self, original: Any) -> None:
        super().__init__(
            dataset=lambda: original.get_dataset().to_list(),
            eval_dataset=lambda: original.get_eval_dataset().to_list(),
            rubric=PackageRubric(original.rubric),
            env_id=original.env_id,
            env_args=original.env_args,
        )
        # Not an argument, or the base class would warn that the rubric has another one: a group of
        # rubrics always has.
        self.parser = original.parser
        self.original = original
        # A `task` column of plain text was the route within a group up to 0.1.12; later releases
        # refuse it.
        self._takes_routes = not hasattr(import_module("verifiers.types"), "flatten_task_input")
        self._rubrics: dict[int, PackageRubric] = {}
        for environment in environments_in(original):
            environment._teardown = _once(environment._teardown)
        self._mirror()

    @property
    def timeout_seconds(self) -> float | None:
        """Limit on the set-up and turns of a rollout; None for none."""
        seconds: float | None = getattr(self.original, "timeout_seconds", None)
        return seconds

    @timeout_seconds.setter
    def timeout_seconds(self, seconds: float | None) -> None:
        limited = [e for e in environments_in(self.original) if hasattr(e, "timeout_seconds")]
        if not limited:
            raise SetupError(
                f"environment {self.env_id!r} takes no timeout: verifiers has one from 0.1.14 on,"
                " for environments of several turns"
            )
        for environment in limited:
            environment.timeout_seconds = seconds

    @property
    def asks_judge_without_question(self) -> bool:
        """Whether a judge's prompt has a place for the question, which verifiers leaves empty.

        Its JudgeRubric looks for the question in a dict, and messages are none since 0.1.11.
        """
        return any(
            "{question}" in str(getattr(rubric, "judge_prompt", ""))
            for environment in environments_in(self.original)
            for rubric in rubrics_in(environment.rubric)
        )

    def rubric_of(self, example: Mapping[str, Any]) -> Rubric:
        """Return the rubric that scores rollouts of `example`; in a group, its environment's."""
        rubric = self._routed(example)[0].rubric
        if id(rubric) not in self._rubrics:
            self._rubrics[id(rubric)] = PackageRubric(rubric)
        return self._rubrics[id(rubric)]

    def parser_of(self, example: Mapping[str, Any]) -> Parser:
        """Return the parser that finds the answer in a completion of `example`."""
        parser: Parser = self._routed(example)[0].parser
        return parser

    async def rollout(
        self,
        input: Example,
        client: Client,
        model: str,
        sampling_args: Mapping[str, Any] | None = None,
    ) -> PackageState:
        """Roll `model` out once on `input` and return the state, complete but not scored."""
        environment, row = self._routed(input)
        asked = Asked(client)
        merged = merge_sampling_args(self.sampling_args, sampling_args)
        try:
            original = await environment.rollout(row, packages_client(asked), model, merged)
        except Exception as error:
            if not isinstance(asked.state, Mapping):  # nothing was said yet
                raise
            return _broken(asked, error, input)
        return own_state(original, input, asked)

    async def teardown(self) -> None:
        """Release what the environment and its rubric hold, after the last rollout."""
        for environment in environments_in(self.original):
            await environment._teardown()

    def set_kwargs(self, **kwargs: Any) -> None:
        """Set attributes of the environment, each through its `set_<name>` where there is one."""
        if "timeout_seconds" in kwargs:
            self.timeout_seconds = kwargs.pop("timeout_seconds")
        self.original.set_kwargs(**kwargs)
        self._mirror()

    def set_concurrency(self, concurrency: int) -> None:
        """Expect this many rollouts at once."""
        self.set_kwargs(concurrency=concurrency)

    def set_score_rollouts(self, score_rollouts: bool) -> None:
        """Say whether rollouts are scored."""
        self.set_kwargs(score_rollouts=score_rollouts)

    def set_max_seq_len(self, max_seq_len: int | None) -> None:
        """Set the longest sequence that trainers keep."""
        self.set_kwargs(max_seq_len=max_seq_len)

    def _mirror(self) -> None:
        for name in _MIRRORED:
            setattr(self, name, getattr(self.original, name, None))

    def _routed(self, example: Mapping[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return the environment that a row belongs to, and the row as that takes it.

        A group's own `rollout()` would do for generating, but not for scoring: its rubric does not
        find the environment of a group inside a group.
        """
        environment, row = self.original, dict(example)
        if not self._takes_routes and _is_route(row.get("task")):
            del row["task"]
        while hasattr(environment, "env_map"):
            if self._takes_routes:
                child = environment.get_env_for_task(row["task"])
            else:
                name, row, _ = environment._route_child_input(row)
                child = environment.get_env_for_name(name)
            environment = child
        return environment, row


def _broken(asked: Asked, error: Exception, example: Example) -> PackageState:
    """Return the state of a rollout that verifiers gave up, with what was said before.

    Raises:
        Exception: `error`, where the code of the environment spoiled the state.
    """
    try:
        asked.state["error"] = error
        return own_state(asked.state, example, asked)
    except Exception:
        raise error from None


def environments_in(environment: Any) -> Iterator[Any]:
    """Yield an environment of verifiers and those that it is a group of."""
    yield environment
    if hasattr(environment, "env_map"):
        for inner in environment.envs:
            yield from environments_in(inner)


def _is_route(task: Any) -> bool:
    if not isinstance(task, str):
        return False
    try:
        return not isinstance(json.loads(task), dict)
    except ValueError:
        return True


def _once(
    teardown: Callable[[], Coroutine[Any, Any, None]],
) -> Callable[[], Coroutine[Any, Any, None]]:
    """Return a teardown that does its work the first time only.

    verifiers calls it again when the interpreter exits.
    """
    was_called = False

    @functools.wraps(teardown)
    async def once() -> None:
        nonlocal was_called
        if not was_called:
            was_called = True
            await teardown()

    return once
