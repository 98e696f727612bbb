"""SDK: asking a model through the `openai.OpenAI` or `AsyncOpenAI` that somebody else made."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from typing import Any

from ..endpoints.secrets import Secrets
from ..endpoints.urls import public_url
from ..errors import InvalidModelResponseError, ModelError, is_outage
from ..messages import AssistantMessage
from .target import Target

_QUOTED = 300


def is_sdk(client: Any) -> bool:
    """Whether `client` has the `chat.completions.create` of the openai package."""
    return hasattr(getattr(getattr(client, "chat", None), "completions", None), "create")


def sdk_url(sdk: Any) -> str:
    """Return where an SDK client sends its requests, "" when it does not say."""
    url = getattr(sdk, "base_url", None)
    return "" if url is None else public_url(str(url)).rstrip("/")


async def ask_sdk(
    sdk: Any, model: str, prompt: str, arguments: Mapping[str, Any]
) -> AssistantMessage:
    """Ask `model` to answer one user message; failed requests are retried as `sdk` was told to.

    Args:
        sdk: one that `is_sdk` takes; a synchronous one is called in a thread.
        model: the model id.
        prompt: the text of the message.
        arguments: other arguments of `chat.completions.create`.

    Raises:
        InvalidModelResponseError: the reply holds no message.
        ModelError: the server did not answer as it should; the text holds no key of `sdk`.
    """
    create = sdk.chat.completions.create
    call = {**arguments, "model": model, "messages": [{"role": "user", "content": prompt}]}
    try:
        if inspect.iscoroutinefunction(inspect.unwrap(create)):
            reply = await create(**call)
        else:
            reply = await asyncio.to_thread(create, **call)
            if inspect.isawaitable(reply):
                reply = await reply
    except Exception as error:
        if is_outage(error):
            raise _failed(sdk, error) from error
        raise
    choices = getattr(reply, "choices", None)
    message = getattr(choices[0], "message", None) if choices else None
    if message is None:
        raise InvalidModelResponseError(f"the reply of {sdk_url(sdk)} holds no message")
    return AssistantMessage(
        content=getattr(message, "content", None), refusal=getattr(message, "refusal", None)
    )


def _failed(sdk: Any, error: Exception) -> ModelError:
    secrets = Secrets()
    key = getattr(sdk, "api_key", None)
    if isinstance(key, str):
        secrets.add(key)
    target = Target(sdk_url(sdk), timeout=0.0, secrets=secrets)
    words = target.quote(f"{type(error).__name__}: {error}", _QUOTED)
    return ModelError(f"{target.url} did not answer: {words}")
