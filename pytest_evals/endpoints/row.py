"""A row of the registry: one `[[endpoint]]` table -> Endpoint."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..nearest import did_you_mean
from .endpoint import CLIENT_TYPES, DEFAULT_CLIENT_TYPE, Endpoint, ServeCommand
from .keys import NO_KEY, is_key_variable
from .prices import PRICE_KEYS, Price, price_in
from .urls import PORT, is_loopback, public_url, url_problem

# The keys of a row, each with the longer name that verifiers also knows it by.
_ALIASES = {"url": "api_base_url", "key": "api_key_var", "type": "api_client_type"}
KEYS = (
    "endpoint_id",
    "model",
    *(name for pair in _ALIASES.items() for name in pair),
    "headers",
    "extra_headers",
    "serve",
    "ready",
    "startup_timeout",
    *PRICE_KEYS,
)

_TABLE = re.compile(r"\s*\[")
# Only a word in braces is a placeholder: a command may hold JSON.
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]\w*)\}")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MANAGED_URL = f"http://127.0.0.1:{PORT}/v1"
# A day: more is a mistake, and much more is no time that a clock can wait for.
_LONGEST_STARTUP = 86_400


@dataclass(frozen=True, slots=True)
class Row:
    """A row as it was read.

    Attributes:
        path: the file.
        lines: its lines.
        table: the row's keys and values.
        number: its place among the rows, counted from 0.
        head: the index of its `[[endpoint]]` line; None when that is not plain.
    """

    path: Path
    lines: Sequence[str]
    table: Mapping[str, Any]
    number: int
    head: int | None

    @property
    def name(self) -> str:
        """How messages name it."""
        endpoint_id = self.table.get("endpoint_id")
        if isinstance(endpoint_id, str) and endpoint_id:
            return f"endpoint {endpoint_id!r}"
        return f"[[endpoint]] number {self.number + 1}"

    def line(self, key: str | None = None) -> int | None:
        """Return the line of `key`, or else of the row's head; None when it is not plain."""
        if self.head is None:
            return None
        if key is not None:
            assignment = re.compile(rf"\s*[\"']?{re.escape(key)}[\"']?\s*[=.]")
            for at in range(self.head + 1, len(self.lines)):
                if assignment.match(self.lines[at]):
                    return at + 1
                if _TABLE.match(self.lines[at]):
                    break
        return self.head + 1

    def error(self, key: str | None, message: str) -> ConfigError:
        """Return the error for `key`, which need not stand in the row."""
        return ConfigError(self.path, self.line(key), f"{self.name}: {message}")

    def string(self, key: str) -> str | None:
        """Return the text under `key` or its alias, None when neither is there."""
        alias = _ALIASES.get(key)
        given = [name for name in (key, alias) if name is not None and name in self.table]
        for name in given:
            value = self.table[name]
            if not isinstance(value, str) or not value.strip():
                raise self.error(name, f"{name!r} must be a string that is not empty")
        if len(given) == 2 and self.table[given[0]] != self.table[given[1]]:
            raise self.error(given[1], f"{given[0]!r} and {given[1]!r} differ; give one of them")
        return str(self.table[given[0]]) if given else None


def rows_of(
    path: Path, text: str, tables: Sequence[tuple[Mapping[str, Any], int | None]]
) -> list[Row]:
    """Return the rows of a file: its tables, each with the index of the line that heads it."""
    lines = text.split("\n")
    return [Row(path, lines, table, number, head) for number, (table, head) in enumerate(tables)]


def endpoint_of(
    row: Row, shown_path: str, *, any_client_type: bool = False
) -> tuple[str, Endpoint]:
    """Return the id and the endpoint of a row.

    Args:
        row: the row.
        shown_path: the file as the endpoint's label names it.
        any_client_type: somebody may bring clients for formats that are not known here.

    Raises:
        ConfigError: a key is unknown, missing or holds what it must not.
    """
    _check_keys(row)
    endpoint_id, model = row.string("endpoint_id"), row.string("model")
    if endpoint_id is None:
        raise row.error(None, "'endpoint_id' is missing")
    if model is None:
        raise row.error(None, "'model' is missing")
    serve = _serve(row)
    url = _url(row, managed=serve is not None)
    line = row.line()
    where = shown_path if line is None else f"{shown_path}:{line}"
    return endpoint_id, Endpoint(
        model=model,
        url=url,
        key_var=_key_var(row, url),
        label=f"endpoint {endpoint_id!r} ({where})",
        client_type=_client_type(row, any_name=any_client_type),
        headers=_headers(row),
        serve=serve,
        price=_price(row),
    )


def _check_keys(row: Row) -> None:
    """Refuse keys that a row does not have."""
    if "client_type" in row.table:
        raise row.error("client_type", "'client_type' is not supported; write 'api_client_type'")
    for key in row.table:
        if key not in KEYS:
            raise row.error(
                key, f"unknown key {key!r}{did_you_mean(key, KEYS)}; a row has {', '.join(KEYS)}"
            )


def _url(row: Row, *, managed: bool) -> str:
    """Return the base URL."""
    url = row.string("url")
    if url is None:
        if managed:
            return _MANAGED_URL
        raise row.error(None, "'url' is missing (or 'serve', to have the server started)")
    key = "url" if "url" in row.table else "api_base_url"
    problem = url_problem(url)
    if problem is None and managed and PORT not in url:
        problem = f"must hold {PORT}, the port that 'serve' is given"
    if problem is None and managed and not is_loopback(url):
        problem = "must be on 127.0.0.1, where 'serve' starts the server"
    if problem is None and not managed and PORT in url:
        problem = f"must not hold {PORT} without 'serve'"
    if problem is not None:
        raise row.error(key, f"{key!r} {problem}: {public_url(url)!r}")
    return url.rstrip("/")


def _key_var(row: Row, url: str) -> str | None:
    """Return the variable that holds the key, None where the server takes none."""
    name = row.string("key")
    if name == NO_KEY:
        return None
    if name is None:
        if is_loopback(url):
            return None
        raise row.error(
            None,
            "'key' is missing: the name of the environment variable that holds the API key, "
            f'or "{NO_KEY}" when the server takes none',
        )
    if not is_key_variable(name):
        key = "key" if "key" in row.table else "api_key_var"
        raise row.error(
            key,
            f"{key!r} must be the name of an environment variable that holds the API key, "
            "not the key itself",
        )
    return name


def _client_type(row: Row, *, any_name: bool) -> str:
    """Return the wire format."""
    name = row.string("type")
    if name is None:
        return DEFAULT_CLIENT_TYPE
    if name not in CLIENT_TYPES and not any_name:
        key = "type" if "type" in row.table else "api_client_type"
        raise row.error(
            key,
            f"{key!r} is {name!r}{did_you_mean(name, CLIENT_TYPES)}; "
            f"it can be {', '.join(CLIENT_TYPES)}",
        )
    return name


def _headers(row: Row) -> dict[str, str]:
    """Return the extra headers; their values are not shown in errors, they may be secret."""
    if "headers" in row.table and "extra_headers" in row.table:
        raise row.error("extra_headers", "give 'headers' or 'extra_headers', not both")
    key = "headers" if "headers" in row.table else "extra_headers"
    headers = row.table.get(key, {})
    if not isinstance(headers, dict):
        raise row.error(key, f'{key!r} must be a table: {key} = {{ "X-Name" = "value" }}')
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise row.error(key, f"{key!r}: {name!r} is not the name of an HTTP header")
        if not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            raise row.error(key, f"{key!r}: the value of {name!r} must be a line of ASCII text")
    return dict(headers)


def _price(row: Row) -> Price | None:
    """Return the price of the tokens, None when the row says nothing of it."""
    try:
        return price_in(row.table)
    except ValueError as error:
        given = [key for key in PRICE_KEYS if key in row.table]
        key = next((key for key in given if f"{key!r}" in str(error)), given[0])
        raise row.error(key, str(error)) from None


def _serve(row: Row) -> ServeCommand | None:
    """Return the server to start, None when the row starts none."""
    command = row.string("serve")
    if command is None:
        for key in ("ready", "startup_timeout"):
            if key in row.table:
                raise row.error(key, f"{key!r} has a meaning only together with 'serve'")
        return None
    _check_command(row, command)
    options: dict[str, Any] = {}
    ready = row.string("ready")
    if ready is not None:
        if not re.fullmatch(r"/[!-~]*", ready):
            raise row.error("ready", f"'ready' must be a path that begins with /, not {ready!r}")
        options["ready"] = ready
    if "startup_timeout" in row.table:
        seconds = row.table["startup_timeout"]
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not is_number or not 0 < seconds <= _LONGEST_STARTUP:
            raise row.error(
                "startup_timeout",
                f"'startup_timeout' must be seconds, above 0 and at most {_LONGEST_STARTUP}",
            )
        options["startup_timeout"] = float(seconds)
    return ServeCommand(command, row.path.absolute().parent, **options)


def _check_command(row: Row, command: str) -> None:
    """Refuse a command that cannot be run or would not listen where it is looked for."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise row.error("serve", f"'serve' cannot be split into words: {error}") from None
    if not words or "\0" in command:
        raise row.error("serve", "'serve' holds no command that can be run")
    placeholders = set(_PLACEHOLDER.findall(command))
    for name in sorted(placeholders - {"python", "port"}):
        raise row.error(
            "serve", f"'serve' holds {{{name}}}; the placeholders are {{python}} and {PORT}"
        )
    if "port" not in placeholders:
        raise row.error("serve", f"'serve' must hold {PORT}, the free port that is picked for it")
