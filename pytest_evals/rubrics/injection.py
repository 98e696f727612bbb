"""Injection: what a reward function asks for by parameter name, and where that comes from."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, get_origin

from ..errors import RewardError
from ..nearest import did_you_mean
from ..state import State

GROUP_PARAMETERS: Final = frozenset(
    {"states", "prompts", "completions", "answers", "tasks", "infos"}
)
MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Signature:
    """What a reward function asks for.

    Attributes:
        name: the function's own name.
        positional: its positional-only parameters, in order.
        named: its other parameters.
        optional: those of both that have a default.
        takes_all: whether it has `**kwargs`.
        is_group: whether it scores the rollouts of an example together.
    """

    name: str
    positional: tuple[str, ...]
    named: tuple[str, ...]
    optional: frozenset[str]
    takes_all: bool
    is_group: bool


class Source(Protocol):
    """Where the arguments of a reward function come from."""

    def get(self, name: str) -> Any:
        """Return the value for a parameter of this name, or MISSING."""
        ...

    def everything(self) -> dict[str, Any]:
        """Return every value there is, by name."""
        ...


def read_signature(function: Callable[..., Any]) -> Signature:
    """Read what `function` asks for. A group function has a plural parameter or returns a list.

    Raises:
        TypeError: it cannot be called, or Python does not know its parameters.
    """
    if not callable(function):
        raise TypeError(f"a reward function must be callable, not {function!r}")
    try:
        signature = inspect.signature(function)
    except ValueError:
        raise TypeError(
            f"the parameters of reward function {function!r} are unknown: wrap it in a def"
        ) from None
    parameters = signature.parameters.values()
    names = {kind: tuple(p.name for p in parameters if p.kind is kind) for kind in _KINDS}
    return Signature(
        name=name_of(function),
        positional=names[inspect.Parameter.POSITIONAL_ONLY],
        named=names[inspect.Parameter.POSITIONAL_OR_KEYWORD]
        + names[inspect.Parameter.KEYWORD_ONLY],
        optional=frozenset(p.name for p in parameters if p.default is not p.empty),
        takes_all=bool(names[inspect.Parameter.VAR_KEYWORD]),
        is_group=not GROUP_PARAMETERS.isdisjoint(signature.parameters)
        or _is_list(signature.return_annotation),
    )


def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a function, of the one inside a partial, or of a callable's class."""
    while isinstance(function, functools.partial):
        function = function.func
    return getattr(function, "__name__", None) or type(function).__name__


def bind(signature: Signature, source: Source) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and keyword arguments of a call.

    Raises:
        RewardError: a parameter without a default has a name that `source` does not know.
    """
    positional = []
    for name in signature.positional:
        value = source.get(name)
        if value is MISSING:
            if name not in signature.optional:
                raise _nothing_provides(name, signature, source)
            break
        positional.append(value)
    named = source.everything() if signature.takes_all else {}
    for name in signature.positional:
        named.pop(name, None)
    for name in signature.named:
        value = source.get(name)
        if value is not MISSING:
            named[name] = value
        elif name not in signature.optional:
            raise _nothing_provides(name, signature, source)
    return positional, named


def problems(signature: Signature, source: Source) -> list[str]:
    """Say of each parameter for which `bind` would raise what is wrong with it."""
    return [
        _asks_for(name, source)
        for name in (*signature.positional, *signature.named)
        if name not in signature.optional and source.get(name) is MISSING
    ]


class RolloutSource:
    """The arguments for one rollout.

    In order: the rubric's class objects, the rollout's own fields, the extra columns of its row.
    """

    __slots__ = ("_example", "_objects", "_state")

    def __init__(self, state: State, objects: Mapping[str, Any]) -> None:
        self._state = state
        self._objects = objects
        self._example: Mapping[str, Any] = state.get("input") or {}

    def get(self, name: str) -> Any:
        """Return the value for a parameter of this name, or MISSING."""
        if name in self._objects:
            return self._objects[name]
        read = _ROLLOUT_FIELDS.get(name)
        if read is not None:
            return read(self._state)
        return self._example.get(name, MISSING)

    def everything(self) -> dict[str, Any]:
        """Return every value there is, by name."""
        fields = {name: read(self._state) for name, read in _ROLLOUT_FIELDS.items()}
        return {**self._example, **fields, **self._objects}


class GroupSource:
    """The arguments for the rollouts of one example: the same lists for every function."""

    __slots__ = ("_values",)

    def __init__(self, states: Sequence[State], objects: Mapping[str, Any]) -> None:
        lists: dict[str, Any] = {
            f"{name}s": [read(state) for state in states] for name, read in _ROLLOUT_FIELDS.items()
        }
        self._values = {**lists, **objects}

    def get(self, name: str) -> Any:
        """Return the value for a parameter of this name, or MISSING."""
        return self._values.get(name, MISSING)

    def everything(self) -> dict[str, Any]:
        """Return every value there is, by name."""
        return dict(self._values)


_KINDS = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.KEYWORD_ONLY,
    inspect.Parameter.VAR_KEYWORD,
)


def _is_list(annotation: Any) -> bool:
    # Under `from __future__ import annotations` the annotation is its source text.
    if isinstance(annotation, str):
        return annotation.lower().removeprefix("typing.").partition("[")[0].strip() == "list"
    return annotation is list or get_origin(annotation) is list


def _task_of(state: State) -> Any:
    task = state.get("task")
    return task if task is not None else (state.get("input") or {}).get("task")


_ROLLOUT_FIELDS: Mapping[str, Callable[[State], Any]] = {
    "state": lambda state: state,
    "prompt": lambda state: state.get("prompt"),
    "completion": lambda state: state.get("completion"),
    "answer": lambda state: state.get("answer", ""),
    "info": lambda state: state.get("info", {}),
    "task": _task_of,
}


def _nothing_provides(name: str, signature: Signature, source: Source) -> RewardError:
    return RewardError(signature.name, _asks_for(name, source))


def _asks_for(name: str, source: Source) -> str:
    available = sorted(source.everything())
    meant = did_you_mean(name, available, most=1)
    return f"asks for {name!r}, which nothing provides{meant}; available: {', '.join(available)}"
