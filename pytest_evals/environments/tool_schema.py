"""Tool definitions: what the model is told of a Python function."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

from ..errors import SetupError, one_line
from ..messages import Tool
from .strict_schema import strict_schema
from .tool_docstring import read_docstring

ToolFunction: TypeAlias = Callable[..., Any]

# What OpenAI's API takes; others took it over.
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class _Parameter:
    """A parameter: its annotation in full, and the description that the docstring gives."""

    name: str
    kind: Any
    annotation: Any
    default: Any
    description: str | None


def tool_def_of(function: ToolFunction, hidden: Collection[str] = ()) -> Tool:
    """Return the tool definition of a function: name, description and strict JSON schema.

    The description is the first text of the docstring. A parameter is described by the docstring
    (Google's, numpy's or Sphinx's style), by a string in `Annotated`, or by a pydantic `Field`; the
    first of these that does. Parameters without an annotation take anything. Functions, methods,
    `functools.partial`s and objects with `__call__` are all understood.

    Args:
        function: the tool, sync or async.
        hidden: names of parameters that the model is not told of.

    Raises:
        SetupError: a parameter cannot be described in a strict schema; says which, and why.
    """
    name = tool_name(function)
    signature = _signature(function, name)
    documented = read_docstring(_docstring_of(function))
    hints = _hints(function, name, frozenset(hidden))
    parameters = [
        _Parameter(
            parameter.name,
            parameter.kind,
            hints.get(parameter.name, Any),
            parameter.default,
            documented.parameters.get(parameter.name) or _words(hints.get(parameter.name)),
        )
        for parameter in signature.parameters.values()
        if parameter.name not in hidden
    ]
    try:
        schema = _schema(name, parameters)
    except Exception as error:  # also what the annotations' own code raises
        raise _not_possible(name, parameters, error) from error
    return Tool(name=name, description=documented.description, parameters=schema, strict=True)


def tool_name(function: ToolFunction) -> str:
    """Return the name the model calls a tool by: the function's, or the class of an object."""
    name = getattr(function, "__name__", None)
    if isinstance(name, str):
        return name
    if isinstance(function, functools.partial):
        return tool_name(function.func)
    return type(function).__name__


def check_name(name: str) -> None:
    """Refuse a name that servers refuse in every request.

    Raises:
        SetupError: it is one.
    """
    if not _NAME.fullmatch(name):
        raise SetupError(
            f"tool {name!r}: a tool's name is 1 to 64 letters, digits, '_' and '-'; define it with"
            " def, or set its __name__"
        )


def check_can_be_called(function: ToolFunction, hidden: Collection[str] = ()) -> None:
    """Refuse a tool that cannot be called with keywords alone, as a model calls it.

    Args:
        function: the tool.
        hidden: names of parameters that the model is not told of.

    Raises:
        SetupError: one of the others takes no keyword; names it.
    """
    name = tool_name(function)
    parameters = _signature(function, name).parameters.values()
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    for parameter in parameters:
        is_star = parameter.kind is parameter.VAR_POSITIONAL and not takes_all
        if parameter.name not in hidden and (
            is_star or parameter.kind is parameter.POSITIONAL_ONLY
        ):
            raise SetupError(
                f"tool {name!r}: parameter {parameter.name!r} cannot be given by name, as a model's"
                f" arguments are; {'give it a list' if is_star else 'leave out the / after it'}"
            )


def parameter_names(function: ToolFunction) -> list[str]:
    """Return the names of a tool's parameters, those with `*` and `**` among them.

    Raises:
        SetupError: it cannot be called, or Python does not know its parameters.
    """
    return list(_signature(function, tool_name(function)).parameters)


def _signature(function: ToolFunction, name: str) -> inspect.Signature:
    if not callable(function):
        raise SetupError(f"a tool must be a function, not {function!r}")
    try:
        return inspect.signature(function)
    except ValueError as error:
        raise SetupError(f"tool {name!r}: its parameters are unknown; wrap it in a def") from error


def _hints(function: ToolFunction, name: str, hidden: frozenset[str]) -> dict[str, Any]:
    """Return the annotations by name, those that are text evaluated where the tool was defined."""
    written = _written(function)
    try:
        return get_type_hints(written, include_extras=True)
    except Exception:
        # One of them fails: which, and does the model need it?
        return _hints_one_by_one(written, name, hidden)


def _hints_one_by_one(written: ToolFunction, name: str, hidden: frozenset[str]) -> dict[str, Any]:
    namespace = getattr(inspect.unwrap(written), "__globals__", {})
    hints: dict[str, Any] = {}
    parameter = "?"
    try:
        for parameter, annotation in inspect.get_annotations(written).items():
            if parameter != "return" and parameter not in hidden:
                one = _Annotations({parameter: annotation})
                hints |= get_type_hints(one, namespace, include_extras=True)
    except Exception as error:
        raise SetupError(
            f"tool {name!r}: the annotation of parameter {parameter!r} cannot be evaluated "
            f"({one_line(error)}); import its names at the top of the module, outside "
            "TYPE_CHECKING and functions"
        ) from error
    return hints


class _Annotations:
    """Bears some of a function's annotations, for `get_type_hints`."""

    def __init__(self, annotations: Mapping[str, Any]) -> None:
        self.__annotations__ = dict(annotations)


def _written(function: ToolFunction) -> ToolFunction:
    """Return the function or method that was written for a tool."""
    while isinstance(function, functools.partial):
        function = function.func
    if inspect.isroutine(function) or inspect.isclass(function):
        return function
    return getattr(function, "__wrapped__", None) or type(function).__call__


def _docstring_of(function: ToolFunction) -> str:
    written = _written(function)
    if written is function:
        return inspect.getdoc(function) or ""
    # A partial or an object: their own words, else those of what was written, else of the class.
    own = getattr(function, "__dict__", {}).get("__doc__")
    class_words = None if isinstance(function, functools.partial) else type(function).__doc__
    return inspect.cleandoc(own or written.__doc__ or class_words or "")


def _words(annotation: Any) -> str | None:
    if get_origin(annotation) is not Annotated:
        return None
    return next((word for word in get_args(annotation)[1:] if isinstance(word, str)), None)


def _schema(name: str, parameters: Collection[_Parameter]) -> dict[str, Any]:
    from pydantic import create_model
    from pydantic.json_schema import GenerateJsonSchema

    class Quiet(GenerateJsonSchema):
        # A default that JSON cannot hold is left out without a word: the model need not know it.
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    # Fields are numbered: pydantic allows none named `_x`, and warns of one named `copy`.
    fields: dict[str, Any] = {f"field{i}": _field(each) for i, each in enumerate(parameters)}
    model = create_model(f"{name}_args", **fields)
    schema = model.model_json_schema(schema_generator=Quiet)
    for parameter in parameters:
        if parameter.description:
            schema["properties"][parameter.name]["description"] = parameter.description
    return strict_schema(schema)


def _field(parameter: _Parameter) -> tuple[Any, Any]:
    from pydantic import Field

    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        raise ValueError("a strict schema names every parameter; name them instead of **")
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return _list_of_each(parameter.annotation), Field(
            default_factory=list, alias=parameter.name
        )
    default = ... if parameter.default is inspect.Parameter.empty else parameter.default
    return Annotated[parameter.annotation, Field(alias=parameter.name)], default


def _list_of_each(annotation: Any) -> Any:
    """Return the type of `*args`: a list of what each is annotated with, descriptions aside."""
    from pydantic.fields import FieldInfo

    if get_origin(annotation) is not Annotated:
        return list[annotation]
    constraints = FieldInfo.from_annotation(annotation).metadata
    each = get_args(annotation)[0]
    return list[Annotated[(each, *constraints)] if constraints else each]  # type: ignore[misc]


def _not_possible(name: str, parameters: list[_Parameter], error: Exception) -> SetupError:
    """Name the parameter that `error` is about: the first one that fails alone."""
    for parameter in parameters:
        try:
            _schema(name, [parameter])
        except Exception as alone:
            return SetupError(
                f"tool {name!r}: no JSON schema for parameter {parameter.name!r}: {_reason(alone)}"
            )
    return SetupError(f"tool {name!r}: no JSON schema for its parameters: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "its type holds itself"
    if type(error) is ValueError:  # one of ours
        return str(error)
    reason = one_line(error).partition(" For further information")[0].partition(". ")[0]
    return (
        f"{reason.removesuffix('.')}; annotate it with a type that JSON can carry, or hide it from "
        "the model with args_to_skip of StatefulToolEnv.add_tool"
    )
