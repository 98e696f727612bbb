"""The client of vLLM's chat completions with token ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ..endpoints.endpoint import Endpoint
from ..errors import InvalidModelResponseError, RejectedError
from ..messages import Message, Response
from .chat_reply import read_reply
from .connection import route
from .failures import REQUEST_ERRORS
from .http_client import HttpClient, encoded
from .openai_chat_completions import request_body
from .reading import json_object
from .request_slots import RequestSlots
from .retries import Retries
from .stitching import Continued, Turn, continued
from .target import Target
from .tokens import are_ids, chat_tokens_of

_FOR_TOKENIZING = ("model", "tools", "chat_template_kwargs")


def _request_body(
    prompt: Sequence[Message],
    model: str,
    sampling_args: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    body = request_body(prompt, model, sampling_args, tools)
    return {**body, "logprobs": True, "return_token_ids": True}


def _read_reply(raw: bytes, target: Target) -> Response:
    response = read_reply(raw, target)
    tokens = chat_tokens_of(json_object(raw, target))
    return response if tokens is None else replace(response, tokens=Turn(tokens))


class OpenAIChatCompletionsTokenClient(HttpClient):
    """Asks for token ids and log probabilities, and says what was said before in token ids.

    A response has its `tokens` where the server gives them. From the second turn on the request
    carries the ids of the conversation besides its messages, stitched as `stitching` describes. It
    needs the routes `/tokenize` and `/v1/chat/completions/tokens` for that. A server without them
    is sent the messages, and so is one that cannot tokenize what comes next.

    Arguments are those of `HttpClient`.
    """

    path: ClassVar = "/chat/completions"
    limit: ClassVar = "max_completion_tokens"
    _write = staticmethod(_request_body)
    _read = staticmethod(_read_reply)

    def __init__(
        self,
        endpoint: Endpoint,
        key: str | None,
        *,
        timeout: float = 600.0,
        connect_timeout: float = 10.0,
        retries: Retries | None = None,
        slots: RequestSlots | None = None,
    ) -> None:
        super().__init__(
            endpoint,
            key,
            timeout=timeout,
            connect_timeout=connect_timeout,
            retries=retries,
            slots=slots,
        )
        parts = urlsplit(endpoint.url)
        # Beside the API's version, not below it.
        root = parts._replace(path=parts.path.rstrip("/").removesuffix("/v1")).geturl()
        self._tokenize_url = route(root, "/tokenize")
        self._tokens_url = route(endpoint.url, "/chat/completions/tokens")
        self._stitches = True

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        """Ask `model` to continue `prompt`; see `Client.get_response`."""
        body = self._write(prompt, model, sampling_args, tools)
        response = await self._continue(prompt, body) or await self._ask(self._url, body)
        if response.tokens is not None:
            # Copies: an environment may change a message in place, and the ids with it are stale.
            said = [dict(message) for message in (*prompt, response.message)]
            object.__setattr__(response.tokens, "said", said)
        return response

    async def _continue(
        self, prompt: Sequence[Message], body: Mapping[str, Any]
    ) -> Response | None:
        """Return the answer to the conversation in token ids, None where it is not to be had."""
        conversation = continued(prompt) if self._stitches else None
        ids = await self._ids_of(conversation, body) if conversation else None
        if ids is None:
            return None
        try:
            return await self._ask(self._tokens_url, {**body, "tokens": ids})
        except RejectedError:
            # Mostly a server without the route. Of a bad key the usual one will tell.
            self._stitches = False
            return None

    async def _ids_of(self, conversation: Continued, body: Mapping[str, Any]) -> list[int] | None:
        common = {name: body[name] for name in _FOR_TOKENIZING if name in body}
        whole, alone = [
            await self._tokenize({**common, **fields}) for fields in conversation.to_tokenize()
        ]
        if whole is None or alone is None:
            return None
        return conversation.stitched(whole, alone)

    async def _tokenize(self, body: Mapping[str, Any]) -> list[int] | None:
        """Return token ids, None for any failure: the messages can still be sent."""
        if not self._stitches:
            return None
        try:
            reply = await self._connection.post(self._tokenize_url, encoded(body))
            self._stitches = reply.status != 404
            ids = json_object(reply.body, self._target).get("tokens")
        except (*REQUEST_ERRORS, InvalidModelResponseError):
            return None
        return ids if reply.status == 200 and are_ids(ids) else None
