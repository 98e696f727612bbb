"""The tools of a request: functions with names and schemas that the server takes."""

from __future__ import annotations

import re
from typing import Any

from .refusal import RequestError

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_tools(tools: object) -> list[dict[str, Any]]:
    """Return the tools of a request.

    Raises:
        RequestError: they are none.
    """
    if not isinstance(tools, list) or not tools:
        raise _invalid("tools", "must be an array with a tool; leave it out otherwise")
    names: set[str] = set()
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if not isinstance(tool, dict) or tool.get("type") != "function":
            raise _invalid(f"{where}.type", "must be 'function'")
        name = _check_function(tool.get("function"), f"{where}.function")
        if name in names:
            raise _invalid(f"{where}.function.name", f"{name!r} is used twice")
        names.add(name)
    return tools


def _check_function(function: object, where: str) -> str:
    """Return the name of a function that may be called."""
    if not isinstance(function, dict):
        raise _invalid(where, "is missing")
    name = function.get("name")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise _invalid(f"{where}.name", f"does not match {_NAME.pattern!r}")
    if not isinstance(function.get("description", ""), str):
        raise _invalid(f"{where}.description", "must be a string")
    strict = function.get("strict")
    if not isinstance(strict, bool | None):
        raise _invalid(f"{where}.strict", "must be true or false")
    parameters = function.get("parameters")
    if "parameters" in function:
        _check_schema(parameters, f"{where}.parameters")
    if strict:
        _check_strict(parameters or {}, f"{where}.parameters")
    return name


def _check_schema(schema: object, where: str) -> None:
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise _invalid(where, "must be a JSON schema of type object")
    properties = schema.get("properties", {})
    if not isinstance(properties, dict) or not all(
        isinstance(p, dict) for p in properties.values()
    ):
        raise _invalid(f"{where}.properties", "must be an object of schemas")


def _check_strict(schema: dict[str, Any], where: str) -> None:
    """Check what the server asks of a schema that it enforces."""
    if schema.get("additionalProperties") is not False:
        raise _invalid(f"{where}.additionalProperties", "must be false where strict is true")
    required = schema.get("required")
    left_out = set(schema.get("properties", ())) ^ set(
        required if isinstance(required, list) else ()
    )
    if left_out:
        raise _invalid(
            f"{where}.required",
            f"must name every property where strict is true; see {', '.join(sorted(left_out))}",
        )


def _invalid(where: str, problem: str) -> RequestError:
    return RequestError(400, f"{where} {problem}", param=where)
