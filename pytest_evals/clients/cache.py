"""CachedClient: one rollout's client, which looks for an answer before it asks for one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..endpoints.endpoint import Endpoint
from ..endpoints.urls import public_url
from ..errors import CacheMissError
from ..messages import (
    Message,
    Response,
    ResponseMessage,
    ResponseTokens,
    Usage,
    as_message,
)
from .client import Client

_MAY_BE_NONE = type(None)


class Responses(Protocol):
    """Where answers are kept, by the digest of the request and its occurrence in the rollout."""

    @property
    def reads_only(self) -> bool:
        """Whether the model is not to be asked for what is not there."""
        ...

    def digest(self, request: Mapping[str, Any]) -> bytes:
        """Return what identifies a request."""
        ...

    def find(self, request: bytes, occurrence: int) -> dict[str, Any] | None:
        """Return what was answered, None where nothing is known."""
        ...

    def keep(
        self, request: bytes, occurrence: int, answer: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Add an answer; return the one that is there already, if there is one."""
        ...

    def replace(self, request: bytes, occurrence: int, answer: Mapping[str, Any]) -> None:
        """Put an answer where another one may be."""
        ...


@dataclass(frozen=True, slots=True)
class ResponseCache:
    """What is known of the answers of one endpoint.

    Attributes:
        responses: where they are kept.
        endpoint: as it was resolved: of a managed one the port is another each time.
    """

    responses: Responses
    endpoint: Endpoint


class CachedClient:
    """A client for one rollout: equal requests of it are told apart by their order.

    Refusals and errors are not kept.

    Args:
        client: asks the model.
        cache: what is known.
        example_id, rollout: the rollout.

    Attributes:
        hits: answers that were known before the rollout asked.
        input_tokens, output_tokens: of those; nobody is paid for them again.
        free: tokens of those, and of its own answers that another try of it was given.
        asked: answers of the model.
        problem: why an answer could not be looked up or kept; None as a rule.
    """

    def __init__(
        self,
        client: Client,
        cache: ResponseCache,
        example_id: int | str,
        rollout: int,
    ) -> None:
        self._client = client
        self._responses = cache.responses
        self._place = {**_identity(cache.endpoint), "example": example_id, "rollout": rollout}
        self._taken: dict[bytes, set[int]] = {}
        self._own: set[tuple[bytes, int]] = set()
        self._last: tuple[bytes, int] | None = None
        self._useless: set[tuple[bytes, int]] = set()
        self.free = Usage(0, 0)
        self.hits = self.input_tokens = self.output_tokens = self.asked = 0
        self.problem: str | None = None

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        """Return the answer that is known, or ask for one.

        Raises:
            CacheMissError: none is known, and the model is not to be asked.
            Error: whatever the client raises.
        """
        request = self._responses.digest(
            {
                **self._place,
                "model": model,
                "messages": prompt,
                "sampling": sampling_args,
                "tools": tools or None,
            }
        )
        taken = self._taken.setdefault(request, set())
        occurrence = next(n for n in range(len(taken) + 1) if n not in taken)
        taken.add(occurrence)
        self._last = (request, occurrence)
        try:
            found = self._found(request, occurrence)
            if found is not None:
                return found
            response = await self._client.get_response(prompt, model, sampling_args, tools)
        except BaseException:
            # Nothing is kept of it, so the next one like it takes its place.
            taken.discard(occurrence)
            raise
        self.asked += 1
        self._own.add((request, occurrence))
        return response if is_refusal(response) else self._kept(request, occurrence, response)

    def _found(self, request: bytes, occurrence: int) -> Response | None:
        reads_only = self._responses.reads_only
        if (request, occurrence) in self._useless and not reads_only:
            return None
        try:
            found = self._responses.find(request, occurrence)
        except Exception as error:
            if reads_only:
                raise CacheMissError(f"the response cache cannot be read: {error}") from error
            self.problem = f"the response cache cannot be read: {error}"
            return None
        response = None if found is None else read_answer(found)
        if response is None:
            if not reads_only:
                return None
            raise CacheMissError(_miss(is_known=found is not None))
        usage = response.usage or Usage(0, 0)
        self.free += usage
        if (request, occurrence) not in self._own:
            self.hits += 1
            self.input_tokens += usage.prompt_tokens
            self.output_tokens += usage.completion_tokens
        return response

    def _kept(self, request: bytes, occurrence: int, response: Response) -> Response:
        known = None
        try:
            if (request, occurrence) in self._useless:
                self._responses.replace(request, occurrence, answer_of(response))
                self._useless.discard((request, occurrence))
            else:
                known = self._responses.keep(request, occurrence, answer_of(response))
        except Exception as error:  # paid for: it counts although it is not kept
            self.problem = f"an answer was not kept in the response cache: {error}"
            return response
        # Another eval or process was first with the same rollout: what is kept is what a replay
        # says, so it counts here too.
        found = None if known is None else read_answer(known)
        return response if found is None else found

    def begin_again(self, *, was_useless: bool = False) -> None:
        """Begin another try of the rollout: its requests are the first of their kind again.

        Args:
            was_useless: the last answer was none that could be used, so it is asked for anew.
        """
        if was_useless and self._last is not None:
            self._useless.add(self._last)
        self._last = None
        self._taken.clear()

    async def close(self) -> None:
        """Do nothing: whoever made the client inside closes it."""


def is_refusal(response: Response) -> bool:
    """Whether the model or a content filter of its provider refused to answer."""
    return response.was_filtered or bool(response.message.get("refusal"))


def answer_of(response: Response) -> dict[str, Any]:
    """Return what is kept of a response."""
    usage, tokens = response.usage, response.tokens
    return {
        "message": dict(response.message),
        "is_plain": not isinstance(response.message, ResponseMessage),
        "model": response.model,
        "id": response.id,
        "created": response.created,
        "finish_reason": response.finish_reason,
        "usage": None
        if usage is None
        else [usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens],
        "requests": response.requests,
        "tokens": None if tokens is None else dict(tokens),
    }


def read_answer(kept: Mapping[str, Any]) -> Response | None:
    """Return the response that was kept; None where this is none."""
    try:
        return _read(kept)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _read(kept: Mapping[str, Any]) -> Response:
    fields, usage, tokens = kept["message"], kept["usage"], kept["tokens"]
    reason = kept["finish_reason"]
    for value, *kinds in (
        (fields, dict),
        (kept["model"], str),
        (kept["id"], str),
        (kept["created"], int),
        (kept["requests"], int),
        (usage, list, _MAY_BE_NONE),
        (tokens, dict, _MAY_BE_NONE),
        (fields.get("content"), str, list, _MAY_BE_NONE),
    ):
        if type(value) not in kinds:
            raise TypeError(value)
    if reason not in ("stop", "length", "tool_calls", None):
        raise ValueError(reason)
    if usage is not None and not all(type(count) is int for count in usage):
        raise TypeError(usage)
    return Response(
        message=as_message(fields) if kept["is_plain"] else ResponseMessage(fields),
        model=kept["model"],
        id=kept["id"],
        created=kept["created"],
        finish_reason=reason,
        usage=None if usage is None else Usage(*usage),
        requests=kept["requests"],
        tokens=None if tokens is None else ResponseTokens(tokens),
    )


def _identity(endpoint: Endpoint) -> dict[str, Any]:
    """Return what says which endpoint it is, without what may be secret."""
    serve = endpoint.serve
    where = {"url": public_url(endpoint.url)} if serve is None else {"serve": serve.command}
    return {"type": endpoint.client_type, **where}


def _miss(*, is_known: bool) -> str:
    advice = "record it with --evals-cache=read-write"
    if is_known:
        return f"the answer in the response cache cannot be read; {advice}"
    return (
        "the response cache holds no answer to this request, and --evals-cache=read does not ask"
        f" the model; {advice} (refusals and errors are never kept, and any change of model,"
        " endpoint, messages, tools or sampling is another request)"
    )
