"""Making the client of an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ..endpoints.endpoint import DEFAULT_CLIENT_TYPE, Endpoint
from ..endpoints.urls import url_problem
from ..errors import SetupError
from ..messages import UserMessage
from .client import Client
from .request_slots import RequestSlots
from .retries import Retries, RetryPolicy

# client type -> class, in the module of the type's name
_CLASSES = {
    "openai_chat_completions": "OpenAIChatCompletionsClient",
    "openai_completions": "OpenAICompletionsClient",
    "openai_chat_completions_token": "OpenAIChatCompletionsTokenClient",
    "openai_responses": "OpenAIResponsesClient",
    "anthropic_messages": "AnthropicMessagesClient",
}


def check_client_type(endpoint: Endpoint) -> None:
    """Raise unless there is a client for the endpoint's wire format.

    Raises:
        SetupError: there is none.
    """
    if endpoint.client_type not in _CLASSES:
        raise SetupError(
            f"{endpoint.label}: client type {endpoint.client_type!r} is not supported; "
            f"supported: {', '.join(_CLASSES)}"
        )


def check_arguments(endpoint: Endpoint, sampling_args: Mapping[str, Any]) -> None:
    """Raise where the wire format of an endpoint has no word for one of these.

    Raises:
        SetupError: it has none; or `extra_body` is no table.
    """
    if not isinstance(sampling_args.get("extra_body") or {}, Mapping):
        raise SetupError("sampling_args: extra_body must be a table").of_keys("sampling_args")
    # Chat completions take anything; of a format that a hook brings nothing is known.
    if endpoint.client_type not in _CLASSES or endpoint.client_type == DEFAULT_CLIENT_TYPE:
        return
    module = import_module(f".{endpoint.client_type}", __package__)
    write = getattr(module, _CLASSES[endpoint.client_type])._write
    try:
        write([UserMessage(content="")], endpoint.model, sampling_args, None)
    except SetupError as error:
        raise error.of_keys(*(f"sampling_args.{key}" for key in sampling_args)) from None


# Another server can be asked instead: this one is not waited for.
ONE_OF_SEVERAL = RetryPolicy(retries_failing=2)


def make_client(
    endpoint: Endpoint,
    key: str | None,
    slots: RequestSlots | None = None,
    policy: RetryPolicy | None = None,
) -> Client:
    """Return a client of `endpoint`, not yet connected.

    Args:
        endpoint: where to; for a managed endpoint with the port filled in.
        key: the API key, as `endpoints.keys.read_key` gives it; None where the server takes none.
        slots: how many requests may be in flight; None for a limit of the client's own.
        policy: how failed requests are tried again; None for the default one.

    Raises:
        SetupError: the client type is not supported, or the URL or the environment's proxy for it
            cannot be used.
    """
    check_client_type(endpoint)
    problem = url_problem(endpoint.url)
    if problem:
        raise SetupError(
            f"{endpoint.label}: its url {problem}; it must be like http://127.0.0.1:8000/v1"
        )
    # Imported here: `aiohttp` takes 0.2 s that runs without this endpoint should not pay.
    module = import_module(f".{endpoint.client_type}", __package__)
    retries = None if policy is None else Retries(policy, slots)
    client: Client = getattr(module, _CLASSES[endpoint.client_type])(
        endpoint, key, slots=slots, retries=retries
    )
    return client
