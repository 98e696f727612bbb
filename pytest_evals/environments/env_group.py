"""EnvGroup: several environments as one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from ..clients.client import Client
from ..errors import SetupError
from ..parsers import Parser
from ..rubrics.rubric import Rubric
from ..state import State
from .dataset import Example, Examples
from .environment import Environment
from .handlers import BoundHandler, call_all, handlers_of
from .routing_rubric import RoutingRubric
from .sampling import merge_sampling_args

Route: TypeAlias = tuple[str, ...]

ROUTE_KEY: Final = "env_id"


class EnvGroup(Environment):
    """The datasets of several environments one after another; each example knows its environment.

    `info["env_id"]` of an example names its member, or lists the names from the outside in where
    groups nest; `task` is the member's name as well, unless the row has a `task` of its own.
    Examples are numbered anew. Everything that concerns an example is the member's business: the
    rollout, with its system prompt, tools and limits, the rubric and the parser. So the metrics of
    a rollout are those of its member, and code of a member never sees the group's route.

    Where any member has an eval_dataset, the group has one: of the others it holds the training
    examples.

    Args:
        envs: the members; at least one.
        env_names: their names; `env_0`, `env_1`, ... when None.
        **kwargs: arguments of `Environment`, except those that are the members' own (`dataset`,
            `eval_dataset`, `rubric`, `parser`, `tool_defs`).

    Attributes:
        envs, env_names: as given.
        env_map: the members by name.

    Raises:
        SetupError: there is no member, names do not fit, or a member's dataset cannot be read.
    """

    def __init__(
        self, envs: Sequence[Environment], env_names: Sequence[str] | None = None, **kwargs: Any
    ) -> None:
        self.envs = list(envs)
        names = [f"env_{number}" for number in range(len(self.envs))]
        self.env_names = names if env_names is None else list(env_names)
        _check(self.envs, self.env_names, kwargs)
        self.env_map = dict(zip(self.env_names, self.envs, strict=True))
        super().__init__(
            dataset=self._training_rows() or None,
            eval_dataset=self._evaluation_rows() or None,
            rubric=RoutingRubric(lambda: [env.rubric for env in self.envs], self.rubric_of),
            **kwargs,
        )

    def get_env_for_name(self, name: str) -> Environment:
        """Return the member of this name.

        Raises:
            SetupError: there is none.
        """
        member = self.env_map.get(name)
        if member is None:
            raise SetupError(
                f"the group has no environment {name!r}, which info['{ROUTE_KEY}'] of an example "
                f"names; it has {', '.join(self.env_names)}"
            )
        return member

    async def rollout(
        self,
        input: Example,
        client: Client,
        model: str,
        sampling_args: Mapping[str, Any] | None = None,
    ) -> State:
        """Let the member of the example roll out, and return its state."""
        member, example, route = self._member_of(input)
        merged = merge_sampling_args(self.sampling_args, sampling_args)
        state = await member.rollout(example, client, model, merged)
        if isinstance(state, State) and isinstance(state.get("info"), dict):
            state["info"] = _with_route(state["info"], route)
        return state

    def rubric_of(self, example: Mapping[str, Any]) -> Rubric:
        """Return the rubric of the example's member."""
        member, inner, _ = self._member_of(example)
        return member.rubric_of(inner)

    def show_to_rubric(self, state: State) -> None:
        """Take the route out of a rollout: reward functions of a member do not know the group."""
        if isinstance(state.get("info"), dict):
            member, inner, _ = self._member_of(state["input"])
            state["info"] = inner["info"]
            if isinstance(member, EnvGroup):
                member.show_to_rubric(state)

    def parser_of(self, example: Mapping[str, Any]) -> Parser:
        """Return the parser of the example's member."""
        member, inner, _ = self._member_of(example)
        return member.parser_of(inner)

    async def teardown(self) -> None:
        """Tear every member down, then the group; see `Environment.teardown`."""
        members = [
            BoundHandler(f"{name}.teardown", member.teardown, ())
            for name, member in self.env_map.items()
        ]
        failure = await call_all([*members, *handlers_of(self, "teardown")], {"env": self})
        if failure is not None:
            raise failure

    def set_kwargs(self, **kwargs: Any) -> None:
        """Set attributes of the group and of every member; see `Environment.set_kwargs`."""
        super().set_kwargs(**kwargs)
        for name, value in kwargs.items():
            if not callable(getattr(self, f"set_{name}", None)):  # those tell the members
                for member in self.envs:
                    member.set_kwargs(**{name: value})

    def set_concurrency(self, concurrency: int) -> None:
        """Expect this many rollouts at once, in every member as well."""
        super().set_concurrency(concurrency)
        for member in self.envs:
            member.set_concurrency(concurrency)

    def set_timeout_seconds(self, timeout_seconds: float | None) -> None:
        """Limit the set-up and turns of a rollout, in every member."""
        for member in self.envs:
            member.set_kwargs(timeout_seconds=timeout_seconds)

    def set_score_rollouts(self, score_rollouts: bool) -> None:
        """Say whether rollouts are scored, for every member as well."""
        super().set_score_rollouts(score_rollouts)
        for member in self.envs:
            member.set_score_rollouts(score_rollouts)

    def set_max_seq_len(self, max_seq_len: int | None) -> None:
        """Set the attribute `max_seq_len`, of every member as well."""
        super().set_max_seq_len(max_seq_len)
        for member in self.envs:
            member.set_max_seq_len(max_seq_len)

    def add_rubric(self, rubric: Rubric) -> None:
        """Score the rollouts of every member with `rubric` as well."""
        for member in self.envs:
            member.add_rubric(rubric)

    def _training_rows(self) -> list[Example]:
        rows: list[Example] = []
        for name, member in self.env_map.items():
            rows += _routed(name, member.build_dataset() or ())
        return rows

    def _evaluation_rows(self) -> list[Example]:
        if not any(member.build_eval_dataset() for member in self.envs):
            return []
        rows: list[Example] = []
        for name, member in self.env_map.items():
            rows += _routed(name, member.get_eval_dataset())
        return rows

    def _member_of(self, example: Mapping[str, Any]) -> tuple[Environment, Example, Route]:
        """Return the example's member, the example as that one knows it, and the whole route."""
        info = _info_of(example)
        route = _route_in(info)
        if not route and len(self.envs) == 1:
            route = (self.env_names[0],)
        if not route:
            raise SetupError(
                f"an example of a group names its environment in info['{ROUTE_KEY}']; take "
                "examples from get_dataset() or get_eval_dataset() of the group"
            )
        inner = {**example, "info": _with_route(info, route[1:])}
        return self.get_env_for_name(route[0]), inner, route


def _check(envs: list[Environment], names: list[str], kwargs: Mapping[str, Any]) -> None:
    if not envs:
        raise SetupError("EnvGroup needs at least one environment")
    if len(names) != len(envs):
        raise SetupError(f"EnvGroup got {len(envs)} environments and {len(names)} env_names")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SetupError(f"EnvGroup has two environments named {twice!r}")
    for name in ("dataset", "eval_dataset", "rubric", "parser", "tool_defs"):
        if name in kwargs:
            raise SetupError(
                f"EnvGroup takes no {name!r}: give it to the environments in the group"
            )


def _routed(name: str, examples: Examples | tuple[()]) -> list[Example]:
    rows = []
    for example in examples:
        info = _info_of(example)
        row = {**example, "info": _with_route(info, (name, *_route_in(info)))}
        row["task"] = example.get("task") or name
        del row["example_id"]  # unique among the rows of its member only
        rows.append(row)
    return rows


def _info_of(example: Mapping[str, Any]) -> Mapping[str, Any]:
    info = example.get("info")
    loaded: Mapping[str, Any] = json.loads(info) if isinstance(info, str) else info or {}
    return loaded


def _route_in(info: Mapping[str, Any]) -> Route:
    route = info.get(ROUTE_KEY)
    if isinstance(route, list | tuple):
        return tuple(map(str, route))
    return () if route is None else (str(route),)


def _with_route(info: Mapping[str, Any], route: Route) -> dict[str, Any]:
    routed = {name: value for name, value in info.items() if name != ROUTE_KEY}
    if route:
        routed[ROUTE_KEY] = route[0] if len(route) == 1 else list(route)
    return routed
