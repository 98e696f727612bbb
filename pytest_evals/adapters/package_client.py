"""PackageClient: this package's client as environments of the verifiers package ask it."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from ..clients.asking import note_state
from ..clients.client import Client
from ..errors import Error, InvalidModelResponseError
from ..messages import Response
from ..state import UsageTracker
from .package_errors import packages_error
from .package_messages import own_message, own_response, own_tools, packages_response


class Asked:
    """What one rollout asked the model.

    Args:
        client: what its requests go through.

    Attributes:
        usage: the tokens of its calls.
        state: of verifiers, of the rollout; None before its first call.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.usage = UsageTracker()
        self.state: Any = None
        self._types = import_module("verifiers.types")
        self._errors = import_module("verifiers.errors")
        # By identity: responses of pydantic cannot be keys. Each pair keeps its objects alive.
        self._given: dict[int, tuple[Any, Response]] = {}

    async def ask(
        self,
        prompt: Any,
        model: str,
        sampling_args: Mapping[str, Any] | None,
        tools: Sequence[Any] | None,
    ) -> Any:
        """Ask the model to continue `prompt`; messages, tools and response are those of verifiers.

        Raises:
            verifiers.errors.Error: of the class that the client's own error corresponds to.
        """
        messages = [prompt] if isinstance(prompt, str) else prompt
        try:
            response = await self.client.get_response(
                [own_message(_message(message)) for message in messages],
                model,
                dict(sampling_args or {}),
                own_tools(tools) or None,
            )
        except Error as error:
            raise packages_error(error, self._errors) from error
        if response.usage is not None:
            self.usage.add(response.usage)
        try:
            given = packages_response(response, self._types)
        except ValueError as error:  # pydantic's: a field is not what verifiers takes
            own = InvalidModelResponseError(f"verifiers cannot take the reply: {error}")
            raise packages_error(own, self._errors) from own
        self._given[id(given)] = (given, response)
        return given

    def response_of(self, given: Any) -> Response | None:
        """Return the response that verifiers' object `given` was made of.

        None for a step that has none; one that an environment made by itself is read.
        """
        if given is None:
            return None
        known = self._given.get(id(given))
        return own_response(given) if known is None else known[1]


def packages_client(asked: Asked) -> Any:
    """Return a `verifiers.clients.Client` that asks through `asked`."""
    return _client_class()(asked)


def _message(given: Any) -> Any:
    return {"role": "user", "content": given} if isinstance(given, str) else given


@functools.cache
def _client_class() -> type:
    base: Any = import_module("verifiers.clients").Client

    async def get_response(
        self: Any,
        prompt: Any,
        model: str,
        sampling_args: Any,
        tools: Any = None,
        state: Any = None,
        **_: Any,
    ) -> Any:
        if self.client.state is None:
            self.client.state = state
        if state is not None:
            note_state(state)
        return await self.client.ask(prompt, model, sampling_args, tools)

    def not_called(self: Any, *args: Any, **kwargs: Any) -> Any:
        # What the get_response() of verifiers is made of.
        raise NotImplementedError("this client's one way in is get_response()")

    async def close(self: Any) -> None:
        """Do nothing: whoever made the client inside closes it."""

    members: dict[str, Any] = dict.fromkeys(base.__abstractmethods__, not_called)
    members |= {"get_response": get_response, "close": close, "__doc__": packages_client.__doc__}
    return type("PackageClient", (base,), members)
