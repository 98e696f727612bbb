"""Arguments: sampling arguments, as the bodies of requests take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import SetupError

_LIMITS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def split_arguments(sampling_args: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Return the arguments that are not None, and the content of `extra_body`.

    Raises:
        TypeError: `extra_body` is not a mapping.
    """
    extra = sampling_args.get("extra_body")
    if not isinstance(extra, Mapping | None):
        raise TypeError(f"sampling_args: extra_body must be a table, not {extra!r}")
    plain = {
        name: value
        for name, value in sampling_args.items()
        if value is not None and name != "extra_body"
    }
    return plain, extra or {}


def name_limit(arguments: dict[str, Any], name: str) -> None:
    """Give the limit on the answer's tokens the name that a format has for it, if there is one.

    Of several, the format's own wins, then the newer one.
    """
    found = {limit: arguments.pop(limit) for limit in _LIMITS if limit in arguments}
    for limit in (name, *_LIMITS):
        if limit in found:
            arguments[name] = found[limit]
            return


def drop_unspoken(arguments: dict[str, Any], client_type: str) -> None:
    """Remove what a format has no word for and that changes nothing: one choice, a seed.

    Raises:
        SetupError: several choices are asked for.
    """
    choices = arguments.pop("n", 1)
    if choices != 1:
        raise refused(client_type, f"n = {choices}", "one reply is one answer: leave n out")
    arguments.pop("seed", None)


def table_of(arguments: Mapping[str, Any], name: str, client_type: str) -> Mapping[str, Any]:
    """Return an argument that must be a table, {} where it is not given.

    Raises:
        SetupError: it is something else.
    """
    value = arguments.get(name, {})
    if not isinstance(value, Mapping):
        raise refused(client_type, f"{name} = {value!r:.60}", "it must be a table")
    return value


def refused(client_type: str, what: str, advice: str) -> SetupError:
    """Return the error of settings that a format cannot express.

    Not a `ModelError`: it says nothing of the endpoint, which other evals may ask.
    """
    return SetupError(f"{client_type} takes no {what}; {advice}")
