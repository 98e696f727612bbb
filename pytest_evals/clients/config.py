"""ClientConfig: where a model is served and how to reach it, as code written for verifiers says it.

Eval files name endpoints instead (`endpoints/`); this is for `env.evaluate(client=...)` in scripts
and for environments that build a client of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..endpoints.endpoint import DEFAULT_CLIENT_TYPE


@dataclass(slots=True)
class ClientConfig:
    """Where a model is served and how to reach it.

    The fields and defaults are those of verifiers 0.3.1. Those in the second list are taken, so
    that code which sets them runs, and have no effect: the engine bounds what is in flight.

    Attributes:
        client_type: the wire format, one of `endpoints.endpoint.CLIENT_TYPES`.
        api_key_var: the environment variable that holds the key.
        api_base_url: up to and including the API version.
        endpoint_configs: several servers of one model; the first one is used.
        timeout: seconds a reply may take.
        extra_headers: sent with every request.
        extra_headers_from_state: of each request, by name the key of the rollout's state.

        client_idx, connect_timeout, max_connections, max_keepalive_connections, max_retries,
        renderer_config, renderer_model_name, renderer_pool_size
    """

    client_idx: int = 0
    client_type: str = DEFAULT_CLIENT_TYPE
    api_key_var: str = "PRIME_API_KEY"
    api_base_url: str = "https://api.pinference.ai/api/v1"
    endpoint_configs: list[ClientConfig] = field(default_factory=list)
    timeout: float = 3600.0
    connect_timeout: float = 5.0
    max_connections: int = 28000
    max_keepalive_connections: int = 28000
    max_retries: int = 10
    extra_headers: dict[str, str] = field(default_factory=dict, repr=False)
    extra_headers_from_state: dict[str, str] = field(default_factory=dict)
    renderer_config: Any = None
    renderer_model_name: str | None = None
    renderer_pool_size: int | None = None
