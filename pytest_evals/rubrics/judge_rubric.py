"""JudgeRubric: reward functions that ask another model for its verdict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..clients.sdk import ask_sdk, is_sdk, sdk_url
from ..errors import JudgeError, MissingKeyError, one_line
from ..lifecycle import teardown
from ..messages import Message, UserMessage, text_of
from ..parsers import Completion, Parser
from ..state import State
from .judge_prompt import DEFAULT_JUDGE_PROMPT, fill, question_in, template_problem
from .rubric import Rubric

_KEY = "OPENAI_API_KEY"
# The SDK's default is 2, which a short outage outlives.
_RETRIES = 5


class JudgeRubric(Rubric):
    """A rubric whose reward functions can ask for `judge`, a model that compares two answers.

    It has no reward function of its own. Functions added to it may ask for these objects by name:
    `judge`, `judge_client`, `judge_model`, `judge_prompt`, `judge_sampling_args`, and use them as
    `verdict = await judge(prompt, completion, answer, state)`.

    The judge is never silently the model under test: without a client and a key of its own there is
    no judge, and it is warned of, in the log and the rollout's `state["eval_warnings"]`, when both
    are asked for under one name at one server.

    Args:
        parser: finds the response in a completion; a plain `Parser` when None.
        parallelize_scoring: taken for verifiers' sake and not used.
        judge_client: an `openai.AsyncOpenAI` or `OpenAI`, which tries failed requests again as it
            was told to, or a `Client`. When None, an `AsyncOpenAI` with OPENAI_API_KEY (and
            OPENAI_BASE_URL, if set), closed by `teardown`.
        judge_model: the model id.
        judge_sampling_args: other fields of the request; None values are left out.
        judge_prompt: a template with {question} (the last user message of the prompt), {answer}
            and {response} (what the parser finds in the completion).

    Raises:
        MissingKeyError: there is no client, and OPENAI_API_KEY is not set.
        TypeError: the client is neither of the two kinds.
    """

    def __init__(
        self,
        parser: Parser | None = None,
        parallelize_scoring: bool = False,
        judge_client: Any = None,
        judge_model: str = "gpt-4.1-nano",
        judge_sampling_args: Mapping[str, Any] | None = None,
        judge_prompt: str = DEFAULT_JUDGE_PROMPT,
    ) -> None:
        super().__init__(parser=parser)
        self._owns_client = judge_client is None
        self.judge_client = _default_client(judge_model) if judge_client is None else judge_client
        if not is_sdk(self.judge_client) and not hasattr(self.judge_client, "get_response"):
            raise TypeError(
                f"judge_client must be an openai.AsyncOpenAI or a Client, not {judge_client!r}"
            )
        self.judge_model = judge_model
        self.judge_prompt = judge_prompt
        self.judge_sampling_args: dict[str, Any] = dict(judge_sampling_args or {})
        self._has_warned = False
        self.class_objects.update(
            judge=self.judge,
            judge_client=self.judge_client,
            judge_model=self.judge_model,
            judge_prompt=self.judge_prompt,
            judge_sampling_args=self.judge_sampling_args,
        )
        # No error: reward functions may fill in the template themselves and never call `judge`.
        problem = template_problem(judge_prompt)
        if problem:
            self.logger.warning("judge() cannot fill in the judge_prompt: %s", problem)

    async def judge(
        self,
        prompt: Sequence[Mapping[str, Any]] | str,
        completion: Completion,
        answer: Any,
        state: State | None = None,
        **kwargs: Any,
    ) -> str:
        """Return what the judge says of a completion.

        Args:
            prompt: of the rollout.
            completion: of the rollout, or the text to judge.
            answer: the right one.
            state: keeps the verdicts, by filled-in prompt, in `state["judge_response"]`: the same
                question is asked once.
            **kwargs: not used; some reward functions pass on all that they were given.

        Raises:
            JudgeError: there is no verdict: the judge failed, refused or said nothing.
            ValueError: the template asks for something else.
        """
        response = self.parser.parse_answer(completion)
        filled = fill(
            self.judge_prompt,
            question=question_in(prompt),
            answer=answer,
            response="" if response is None else response,
        )
        known = _verdicts_in(state)
        if filled not in known:
            self._warn_if_same({} if state is None else state)
            known[filled] = await self._ask(filled)
        return known[filled]

    @teardown
    async def close_judge_client(self) -> None:
        """Close the judge's connections, if this rubric made its client."""
        if self._owns_client:
            await self.judge_client.close()

    async def _ask(self, prompt: str) -> str:
        if self._owns_client and self.judge_client.is_closed():  # another run after `teardown`
            self.judge_client = _default_client(self.judge_model)
            self.add_class_object("judge_client", self.judge_client)
        arguments = _request_fields(self.judge_sampling_args)
        client, model = self.judge_client, self.judge_model
        try:
            if is_sdk(client):
                message: Message = await ask_sdk(client, model, prompt, arguments)
            else:
                asked = await client.get_response([UserMessage(content=prompt)], model, arguments)
                message = asked.message
        except TypeError:  # an argument that the client does not take
            raise
        except Exception as error:
            raise JudgeError(f"judge {model!r} failed: {one_line(error)}") from error
        verdict = text_of(message)
        if verdict.strip():
            return verdict
        refusal = message.get("refusal")
        said = f"refused: {str(refusal)[:200]!r}" if refusal else "said nothing"
        raise JudgeError(f"judge {model!r} {said}")

    def _warn_if_same(self, state: dict[str, Any]) -> None:
        """Warn if the judge is the model that it judges: once in the log, and in the rollout."""
        if state.get("model") != self.judge_model:
            return
        client, where = state.get("client"), _url_of(self.judge_client)
        if where and client is not self.judge_client and where == _url_of(client):
            warning = f"the judge is the model under test: {self.judge_model} at {where}"
            state.setdefault("eval_warnings", []).append(warning)
            if not self._has_warned:
                self._has_warned = True
                self.logger.warning("%s", warning)


def _verdicts_in(state: State | None) -> dict[str, str]:
    """Return the verdicts that a rollout keeps; without one, a dict that nobody keeps."""
    if state is None:
        return {}
    if not isinstance(state.get("judge_response"), dict):
        state["judge_response"] = {}
    known: dict[str, str] = state["judge_response"]
    return known


def _default_client(model: str) -> Any:
    if not os.environ.get(_KEY, "").strip():
        raise MissingKeyError(
            f"{_KEY} is not set, needed by JudgeRubric for judge model {model!r}. Set it, or give"
            " JudgeRubric a judge_client, such as openai.AsyncOpenAI(base_url=..., api_key=...)."
        )
    import openai

    return openai.AsyncOpenAI(max_retries=_RETRIES)


def _url_of(client: Any) -> str:
    if is_sdk(client):
        return sdk_url(client)
    url = getattr(client, "url", "")
    return url.rstrip("/") if isinstance(url, str) else ""


def _request_fields(sampling_args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sampling arguments as the endpoint takes them: without None, and one new name."""
    fields = dict(sampling_args)
    limit = fields.pop("max_tokens", None)
    if limit is not None:
        fields["max_completion_tokens"] = limit
    return {name: value for name, value in fields.items() if value is not None}
