"""Given clients: whatever a script hands to `evaluate` as its client, made into one of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..clients.client import Client
from ..clients.config import ClientConfig
from ..errors import SetupError

if TYPE_CHECKING:
    from ..endpoints.endpoint import Endpoint

# Headers that the openai package writes by itself; ours go in their place.
_OF_THE_SDK = frozenset({"accept", "content-type", "user-agent", "authorization"})
_WITHOUT_KEY = 'Set it, or give another api_key_var: "EMPTY" for a server without keys.'


@dataclass(frozen=True, slots=True)
class GivenClient:
    """A client, and what is known of where it leads.

    Attributes:
        client: asks the model.
        endpoint: what it is a client of; without a url for one that says nothing of itself.
        mask: replaces its secrets in a text.
        is_ours: whether it was made here, so that it is closed here.
    """

    client: Client
    endpoint: Endpoint
    mask: Callable[[str], str]
    is_ours: bool


def client_from(given: Any, model: str) -> GivenClient:
    """Return the client to ask `model` with.

    Args:
        given: a `Client`; a `ClientConfig`, a dict of its fields or anything else with
            `api_base_url` and `api_key_var`; an `openai.AsyncOpenAI` or `OpenAI`, of which the
            address, the key and the headers are used.
        model: the model id to ask for.

    Raises:
        SetupError: it is something else, or what it says cannot be used.
        MissingKeyError: the variable that it names is not set; not for a server on this machine.
    """
    from ..clients.factory import make_client
    from ..clients.sdk import is_sdk
    from ..endpoints.endpoint import Endpoint
    from ..endpoints.keys import read_key
    from ..endpoints.secrets import Secrets, secrets_of

    if callable(getattr(given, "get_response", None)):
        endpoint = Endpoint(model, url="", key_var=None, label=type(given).__name__)
        return GivenClient(given, endpoint, str, is_ours=False)
    if isinstance(given, Mapping):
        given = _config_from(given)
    key: str | None
    if is_sdk(given):
        endpoint, key = _of_sdk(given, model), getattr(given, "api_key", None) or None
    elif hasattr(given, "api_base_url") and hasattr(given, "api_key_var"):
        endpoint = _of_config(given, model)
        key = read_key(endpoint, advice=_WITHOUT_KEY)
    else:
        raise SetupError(
            f"client is {type(given).__name__}; give a Client, a ClientConfig (api_base_url, "
            "api_key_var) or an openai.AsyncOpenAI"
        )
    secrets = Secrets()
    for secret in (key or "", *secrets_of(endpoint)):
        secrets.add(secret)
    return GivenClient(make_client(endpoint, key), endpoint, secrets.mask, is_ours=True)


def _config_from(fields: Mapping[str, Any]) -> ClientConfig:
    names = [field.name for field in dataclasses.fields(ClientConfig)]
    unknown = [name for name in fields if name not in names]
    if unknown:
        raise SetupError(f"client has no field {unknown[0]!r}; it has {', '.join(names)}")
    return ClientConfig(**fields)


def _of_config(config: Any, model: str) -> Endpoint:
    from ..endpoints.endpoint import DEFAULT_CLIENT_TYPE, Endpoint
    from ..endpoints.keys import NO_KEY
    from ..endpoints.urls import is_loopback

    servers = getattr(config, "endpoint_configs", None)
    if servers:
        config = servers[0]
    url = str(config.api_base_url).rstrip("/")
    return Endpoint(
        model=model,
        url=url,
        key_var=None if config.api_key_var in (None, "", NO_KEY) else config.api_key_var,
        label=f"client with api_base_url {url!r}",
        client_type=getattr(config, "client_type", DEFAULT_CLIENT_TYPE),
        headers=dict(getattr(config, "extra_headers", None) or {}),
        key_optional=is_loopback(url),
        headers_from_state=dict(getattr(config, "extra_headers_from_state", None) or {}),
    )


def _of_sdk(sdk: Any, model: str) -> Endpoint:
    from ..endpoints.endpoint import Endpoint

    kind = type(sdk).__name__
    if "Azure" in kind:  # it has addresses and keys of its own
        raise SetupError(f"client is {kind}, which is not supported: give a Client that wraps it")
    headers = {
        name: value
        for name, value in dict(getattr(sdk, "default_headers", None) or {}).items()
        if isinstance(value, str)
        and name.lower() not in _OF_THE_SDK
        and not name.lower().startswith("x-stainless-")
    }
    return Endpoint(
        model=model,
        url=str(sdk.base_url).rstrip("/"),
        key_var=None,
        label=f"the openai.{kind}",
        headers=headers,
    )
