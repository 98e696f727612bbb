"""The registry: `endpoints.toml` -> endpoints by id."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import ConfigError
from .endpoint import Endpoint
from .prices import PRICE_KEYS, Price
from .row import Row, endpoint_of, rows_of
from .toml_file import read_rows

FILE_NAME = "endpoints.toml"


@dataclass(frozen=True, slots=True)
class Registry:
    """The endpoints of one file.

    Attributes:
        path: the file.
        endpoints: by id; several rows of one id are replicas of one model, in file order.
    """

    path: Path
    endpoints: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)

    def find(self, endpoint_id: str) -> Endpoint | None:
        """Return the first row of that id, with the others as its replicas, or None."""
        first, *others = self.endpoints.get(endpoint_id) or (None,)
        if first is None or not others:
            return first
        replicas = tuple(replace(each, client_type=first.client_type) for each in others if each)
        return replace(first, replicas=replicas)


def load_registry(path: Path, *, required: bool, any_client_type: bool = False) -> Registry:
    """Read a registry.

    Args:
        path: the file, or the folder that holds `endpoints.toml`.
        required: whether it must exist; where it need not, a missing one has no endpoints.
        any_client_type: somebody may bring clients for formats that are not known here.

    Raises:
        ConfigError: it cannot be read, is no TOML, or a row is not valid.
    """
    if path.is_dir():
        path = path / FILE_NAME
    if path.suffix == ".py":
        raise ConfigError(path, None, f"the registry must be TOML: rewrite it as {FILE_NAME}")
    if not required and not path.exists():
        return Registry(path)
    text, tables = read_rows(path, "endpoint", "the endpoint registry")
    endpoints: dict[str, list[Endpoint]] = {}
    shown = _shown(path)
    for row in rows_of(path, text, tables):
        endpoint_id, endpoint = endpoint_of(row, shown, any_client_type=any_client_type)
        replicas = endpoints.setdefault(endpoint_id, [])
        replicas.append(endpoint)
        _check_replica(row, replicas[0], endpoint)
        if len(replicas) > 1 and any(each.serve for each in replicas):
            raise row.error(
                "serve",
                f"the rows of endpoint_id {endpoint_id!r} are replicas, and one has 'serve'; a"
                " server that is started here has an endpoint_id of its own",
            )
    return Registry(path, {name: tuple(rows) for name, rows in endpoints.items()})


def _check_replica(row: Row, first: Endpoint, endpoint: Endpoint) -> None:
    """Refuse a row that says otherwise than the first of its id; what it leaves out is as there."""
    types = [key for key in ("type", "api_client_type") if key in row.table]
    prices = [key for key in PRICE_KEYS if key in row.table]
    differs = None
    if endpoint.model != first.model:
        differs = "model", f"model {first.model!r}", repr(endpoint.model)
    elif types and endpoint.client_type != first.client_type:
        differs = types[0], f"type {first.client_type!r}", repr(endpoint.client_type)
    elif prices and endpoint.price != first.price:
        differs = prices[0], _in_words(first.price), _in_words(endpoint.price)
    if differs is not None:
        key, one, other = differs
        raise row.error(
            key,
            f"rows of one endpoint_id are replicas of one model, but {first.label} has {one} and"
            f" this one {other}",
        )


def _in_words(price: Price | None) -> str:
    if price is None:
        return "no price"
    return f"the prices {price.input:g} and {price.output:g}"


def _shown(path: Path) -> str:
    """Return the path as messages show it: from the current folder where it lies inside."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 -- resolve() would follow links
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else path)
