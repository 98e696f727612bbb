"""Endpoint: where one model is served and how to speak to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .prices import Price

DEFAULT_CLIENT_TYPE = "openai_chat_completions"
# The wire formats a registry may name; the clients say which of them they speak.
CLIENT_TYPES = (
    DEFAULT_CLIENT_TYPE,
    "openai_completions",
    "openai_chat_completions_token",
    "openai_responses",
    "anthropic_messages",
    "renderer",
    "nemorl_chat_completions",
)


@dataclass(frozen=True, slots=True)
class ServeCommand:
    """A server that the plugin starts itself.

    Attributes:
        command: as written, with `{python}` and `{port}` still in it.
        ready: the path that answers 200 once the server can take requests.
        startup_timeout: seconds it may take until then.
        folder: where the command runs: the folder of the registry file.
    """

    command: str
    folder: Path
    ready: str = "/v1/models"
    startup_timeout: float = 120.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A resolved endpoint.

    Attributes:
        model: the model id to ask for.
        url: base URL up to and including the API version, without a trailing slash; for a managed
            endpoint it holds `{port}` until the server runs.
        key_var: the environment variable that holds the key; None when the server takes none.
        label: how messages name it: `endpoint 'local' (configs/endpoints.toml:3)`,
            `provider 'prime'`, `api_base_url 'http://127.0.0.1:8000/v1'`.
        client_type: the wire format, one of `CLIENT_TYPES`.
        headers: extra headers of every request; not part of the repr, they may hold secrets.
        serve: the server to start; None when it runs already.
        price: of its tokens, as the registry says; None when it does not.
        key_optional: whether requests go without a key while `key_var` is not set.
        headers_from_state: headers of each request, by name the key of the rollout's state.
        replicas: other servers of the same model, in order; they have no replicas.
    """

    model: str
    url: str
    key_var: str | None
    label: str
    client_type: str = DEFAULT_CLIENT_TYPE
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    serve: ServeCommand | None = None
    key_optional: bool = False
    price: Price | None = None
    headers_from_state: Mapping[str, str] = field(default_factory=dict)
    replicas: tuple[Endpoint, ...] = ()

    @property
    def servers(self) -> tuple[Endpoint, ...]:
        """It and its replicas."""
        return (self, *self.replicas)
