"""Endpoints of a session: each resolved once, with its key read and its secrets noted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from ..config.spec import EvalSpec
from ..config.values import merged_headers
from ..endpoints.endpoint import Endpoint
from ..endpoints.keys import read_key
from ..endpoints.providers import DEFAULT_MODEL
from ..endpoints.resolution import resolve_endpoint, unlisted_model
from ..endpoints.secrets import Secrets, secrets_of
from ..errors import MissingKeyError, SetupError

_DEFAULT_REGISTRY = Path("configs") / "endpoints.toml"
# What every request says of its rollout, unless an eval says otherwise: gateways route by it.
_FROM_STATE = {"X-Session-ID": "example_id"}


class SessionEndpoints:
    """The endpoints of the session's evals.

    Evals whose models are served in the same way share one Endpoint object, and with it a client,
    a server and what is known of its health.

    Args:
        folder: where pytest was called; evals that name no registry use the one in its `configs`.
        secrets: takes every key and secret header.
        are_clients_brought: whether a hook may make the client of a format that is not known here.
    """

    def __init__(
        self, folder: Path, secrets: Secrets, are_clients_brought: Callable[[], bool]
    ) -> None:
        self._registry = folder / _DEFAULT_REGISTRY
        self._secrets = secrets
        self._are_clients_brought = are_clients_brought
        self._known: list[Endpoint] = []
        self._keys: dict[int, str | None] = {}
        self._without_key: list[Endpoint] = []

    def of(self, spec: EvalSpec) -> Endpoint:
        """Return where an eval's model is served.

        Raises:
            SetupError: the registry or a setting of the eval cannot be used.
        """
        endpoint = resolve_endpoint(
            model=spec.model,
            endpoint_id=spec.endpoint_id,
            endpoints_path=spec.endpoints_path,
            provider=spec.provider,
            api_base_url=spec.api_base_url,
            api_key_var=spec.api_key_var,
            api_client_type=spec.api_client_type,
            headers=spec.headers,
            headers_from_state=merged_headers({**_FROM_STATE, **spec.headers_from_state}, ()),
            default_path=self._registry,
            any_client_type=self._are_clients_brought(),
        )
        if endpoint in self._known:
            return self._known[self._known.index(endpoint)]
        self._known.append(endpoint)
        for secret in [each for server in endpoint.servers for each in secrets_of(server)]:
            self._secrets.add(secret)
        return endpoint

    def read_key(self, endpoint: Endpoint, evals: Iterable[EvalSpec]) -> bool:
        """Read the key of an endpoint; False when it is missing and that was said before.

        Args:
            evals: of the same file, to name those that lack the same key.

        Raises:
            MissingKeyError: the first time it is missing.
        """
        if endpoint in self._without_key:
            return False
        if id(endpoint) in self._keys:
            return True
        try:
            keys = {id(server): read_key(server) for server in endpoint.servers}
        except MissingKeyError as error:
            self._without_key.append(endpoint)
            sharing = [spec for spec in evals if self._shares(spec, endpoint)]
            told = [str(error), *dict.fromkeys(filter(None, map(self._unlisted, sharing)))]
            told.append(f"evals without a key: {', '.join(spec.name for spec in sharing)}")
            raise MissingKeyError("\n".join(told)) from None
        self._keys |= keys
        for key in filter(None, keys.values()):
            self._secrets.add(key)
        return True

    def _unlisted(self, spec: EvalSpec) -> str:
        """Say that an eval's model may be a mistyped alias; "" where it says who serves it."""
        if spec.model in (None, DEFAULT_MODEL) or spec.provider or spec.api_base_url:
            return ""
        assert spec.model is not None
        return unlisted_model(spec.model, spec.endpoints_path, self._registry)

    def _shares(self, spec: EvalSpec, endpoint: Endpoint) -> bool:
        try:
            return self.of(spec) is endpoint
        except SetupError:
            return False  # its own error, when it is collected

    def key_of(self, endpoint: Endpoint) -> str | None:
        """Return the key of an endpoint; None where the server takes none."""
        return self._keys.get(id(endpoint))

    def reached(self, endpoint: Endpoint, reached: Endpoint) -> Endpoint:
        """Give `reached`, an endpoint with its port filled in, the key of `endpoint`."""
        self._keys[id(reached)] = self._keys.get(id(endpoint))
        self._known.append(reached)  # keeps it alive, and its id its own
        return reached
