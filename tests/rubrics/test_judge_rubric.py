from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import httpx2
import openai
import pytest

from pytest_evals.errors import JudgeError, MissingKeyError, ModelError, RewardError, outcome_of
from pytest_evals.messages import Message, Response, UserMessage
from pytest_evals.parsers import XMLParser
from pytest_evals.rubrics.judge_prompt import DEFAULT_JUDGE_PROMPT
from pytest_evals.rubrics.judge_rubric import JudgeRubric
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.rubrics.rubric_group import RubricGroup
from pytest_evals.state import State, new_state

PROMPT = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": "2+2?"},
]
COMPLETION = [{"role": "assistant", "content": "four"}]


class Asked:
    """A server for judges: says what it is told to, and keeps what it was asked."""

    def __init__(self, *verdicts: Any) -> None:
        self.verdicts = list(verdicts)
        self.bodies: list[dict[str, Any]] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.bodies.append(json.loads(request.content))
        verdict = self.verdicts.pop(0) if self.verdicts else "yes"
        if isinstance(verdict, int):
            return httpx2.Response(verdict, json={"error": {"message": "busy"}})
        message = {"role": "assistant", "content": verdict}
        if isinstance(verdict, dict):
            message = {"role": "assistant", **verdict}
        return httpx2.Response(200, json={"choices": [{"index": 0, "message": message}]})

    @property
    def prompts(self) -> list[str]:
        return [body["messages"][0]["content"] for body in self.bodies]


def rubric(server: Asked, **kwargs: Any) -> JudgeRubric:
    client = openai.AsyncOpenAI(
        api_key="sk-very-secret-123456",
        base_url="http://judge.test/v1",
        max_retries=0,
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(server)),
    )
    return JudgeRubric(judge_client=client, **kwargs)


def finished(model: str = "tested", client: Any = None) -> State:
    row = {"example_id": 0, "prompt": PROMPT, "answer": "4"}
    state = new_state(row, client=client, model=model, sampling_args={})
    state["completion"] = COMPLETION
    return state


async def verdict_of(judge: Any, prompt: Any, completion: Any, answer: str, state: State) -> float:
    verdict = await judge(prompt, completion, answer, state)
    return float("yes" in verdict.lower())


# What the judge is asked.


async def test_the_default_prompt_with_the_question_really_in_it() -> None:
    server = Asked("Yes.")
    judge = rubric(server)
    judge.add_reward_func(verdict_of)
    state = finished()
    await judge.score_rollout(state)

    assert state["reward"] == 1.0
    assert server.bodies == [
        {
            "model": "gpt-4.1-nano",
            "messages": [
                {
                    "role": "user",
                    "content": DEFAULT_JUDGE_PROMPT.format(
                        question="2+2?", answer="4", response="four"
                    ),
                }
            ],
        }
    ]


TEMPLATE = "{question}|{answer}|{response}"


@pytest.mark.parametrize(
    ("prompt", "question"),
    [
        (PROMPT, "2+2?"),
        ([UserMessage(content="typed")], "typed"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"},
                                       {"type": "text", "text": "b"}]}], "a b"),
        ([{"role": "user", "content": "first"}, {"role": "assistant", "content": "?"},
          {"role": "user", "content": "last"}, {"role": "assistant", "content": "prefill"}],
         "last"),
        ([{"role": "system", "content": "only this"}], "only this"),
        ([{"role": "user", "content": None}], ""),
        ([], ""),
        ("a text", "a text"),
    ],
)  # fmt: skip
async def test_the_question_is_the_last_of_the_user(prompt: Any, question: str) -> None:
    server = Asked()
    await rubric(server, judge_prompt=TEMPLATE).judge(prompt, COMPLETION, "4")

    assert server.prompts == [f"{question}|4|four"]


async def test_the_response_is_what_the_parser_finds() -> None:
    server = Asked()
    judge = rubric(server, judge_prompt=TEMPLATE, parser=XMLParser(["answer"]))
    await judge.judge(PROMPT, [{"role": "assistant", "content": "so <answer>4</answer>"}], "4")
    await judge.judge(PROMPT, "a text with <answer>5</answer>", "4")
    await judge.judge(PROMPT, [{"role": "assistant", "content": "no tag"}], "4")

    assert server.prompts == ["2+2?|4|4", "2+2?|4|5", "2+2?|4|"]


async def test_braces_in_what_is_filled_in_are_left_alone() -> None:
    server = Asked()
    judge = rubric(server, judge_prompt='{question} {{"verdict": true}} {response}')
    await judge.judge("{answer} {x}", "{0}", "4")

    assert server.prompts == ['{answer} {x} {"verdict": true} {0}']


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{question} {gold}", r"asks for \{gold\}; judge\(\) fills in \{question\}"),
        ("{question} {}", r"asks for \{\}"),
        ("{0}", r"asks for \{0\}"),
        ('{"a": 1} {question}', "asks for"),
        ("{question", "expected '}' before end of string; write a literal brace twice"),
        ("question}", "Single '}' encountered"),
    ],
)
async def test_a_template_that_cannot_be_filled_in(
    template: str, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    judge = rubric(Asked(), judge_prompt=template)  # reward functions may fill it in themselves

    assert "judge() cannot fill in the judge_prompt" in caplog.text
    with pytest.raises(ValueError, match=problem):
        await judge.judge(PROMPT, COMPLETION, "4")


async def test_sampling_arguments() -> None:
    server = Asked()
    given = {"max_tokens": 9, "temperature": 0.0, "seed": None, "extra_body": {"top_k": 1}}
    judge = rubric(server, judge_model="j", judge_sampling_args=given)
    await judge.judge(PROMPT, COMPLETION, "4")
    judge.judge_sampling_args["max_tokens"] = None
    judge.judge_model = "k"
    await judge.judge(PROMPT, COMPLETION, "4")

    first, second = server.bodies
    assert (first["model"], first["max_completion_tokens"], first["top_k"]) == ("j", 9, 1)
    assert first["temperature"] == 0.0
    assert {"seed", "max_tokens"}.isdisjoint(first)
    assert second["model"] == "k"
    assert "max_completion_tokens" not in second
    assert given["max_tokens"] == 9


async def test_reward_functions_get_the_judges_parts_by_name() -> None:
    seen: dict[str, Any] = {}

    def look(
        judge: Any, judge_client: Any, judge_model: Any, judge_prompt: Any,
        judge_sampling_args: Any, parser: Any,
    ) -> float:  # fmt: skip
        seen.update(locals())
        return 1.0

    judge = rubric(Asked(), judge_sampling_args={"top_p": 0.5})
    judge.add_reward_func(look)
    await judge.score_rollout(finished())

    assert seen["judge"] == judge.judge
    assert seen["judge_client"] is judge.judge_client
    assert seen["judge_model"] == "gpt-4.1-nano"
    assert seen["judge_prompt"] == DEFAULT_JUDGE_PROMPT
    assert seen["judge_sampling_args"] == {"top_p": 0.5}
    assert seen["parser"] is judge.parser


async def test_everything_a_reward_function_got_may_be_passed_on() -> None:
    async def grade(judge: Any, prompt: Any, completion: Any, answer: Any, state: Any,
                    **kwargs: Any) -> float:  # fmt: skip
        await judge(prompt, completion, answer, state, **kwargs)
        return 1.0

    judge = rubric(Asked())
    judge.add_reward_func(grade)
    state = finished()
    await judge.score_rollout(state)

    assert state["error"] is None


# What is kept.


async def test_verdicts_are_kept_with_the_rollout_and_asked_for_once() -> None:
    server = Asked("yes", "no")
    judge = rubric(server, judge_prompt=TEMPLATE)
    judge.add_reward_func(verdict_of)
    judge.add_reward_func(verdict_of, 0.5)
    state = finished()
    await judge.score_rollout(state)
    other = await judge.judge(PROMPT, "5", "4", state)

    assert state["reward"] == 1.5
    assert state["judge_response"] == {"2+2?|4|four": "yes", "2+2?|4|5": "no"}
    assert other == "no"
    assert len(server.bodies) == 2


async def test_what_else_a_rollout_keeps_under_that_name_is_replaced() -> None:
    state = finished()
    state["judge_response"] = "a text"
    await rubric(Asked("no"), judge_prompt="?").judge(PROMPT, COMPLETION, "4", state)

    assert state["judge_response"] == {"?": "no"}


async def test_verdicts_asked_for_at_once_are_all_kept() -> None:
    state = finished()
    judge = rubric(Asked(), judge_prompt=TEMPLATE)
    await asyncio.gather(*(judge.judge(PROMPT, text, "4", state) for text in ("a", "b", "c")))

    assert sorted(state["judge_response"]) == ["2+2?|4|a", "2+2?|4|b", "2+2?|4|c"]


async def test_without_a_rollout_nothing_is_kept() -> None:
    server = Asked("yes", "no")
    judge = rubric(server)

    assert await judge.judge(PROMPT, COMPLETION, "4") == "yes"
    assert await judge.judge(PROMPT, COMPLETION, "4") == "no"


# Failures.


@pytest.mark.parametrize("reward_errors", ["broken", "zero"])
@pytest.mark.parametrize(
    ("verdict", "text"),
    [
        (500, "judge 'gpt-4.1-nano' failed: ModelError: http://judge.test/v1 did not answer"),
        (429, "did not answer: RateLimitError"),
        (401, "did not answer: AuthenticationError"),
        ("", "judge 'gpt-4.1-nano' said nothing"),
        ("  \n", "said nothing"),
        ({"content": None}, "said nothing"),
        ({"content": None, "refusal": "I will not"}, "refused: 'I will not'"),
    ],
)
async def test_no_verdict_is_unmeasured_and_never_0(
    verdict: Any, text: str, reward_errors: Any
) -> None:
    judge = rubric(Asked(verdict))
    judge.add_reward_func(verdict_of)
    judge.reward_errors = reward_errors
    state = finished()
    await judge.score_rollout(state)

    assert isinstance(state["error"], JudgeError)
    assert text in str(state["error"])
    assert "sk-very-secret" not in str(state["error"])
    assert outcome_of(state["error"]) == "unmeasured"
    assert state["reward"] is None
    assert state["judge_response"] == {}


@pytest.mark.parametrize("reward_errors", ["broken", "zero"])
@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        OSError("no route"),
        ValueError("no JSON"),
        ExceptionGroup("tasks", [KeyError("choices")]),
    ],
    ids=repr,
)
async def test_whatever_its_client_raises_is_no_verdict(
    error: Exception, reward_errors: Any
) -> None:
    class Failing:
        async def get_response(self, *args: Any, **kwargs: Any) -> Any:
            raise error

    judge = JudgeRubric(judge_client=Failing())
    judge.add_reward_func(verdict_of)
    judge.reward_errors = reward_errors
    state = finished()
    await judge.score_rollout(state)

    assert isinstance(state["error"], JudgeError)
    assert type(error).__name__ in str(state["error"])
    assert state["error"].__cause__ is error


async def test_an_argument_that_no_endpoint_knows_is_a_mistake() -> None:
    judge = rubric(Asked(), judge_sampling_args={"temprature": 1})
    judge.add_reward_func(verdict_of)
    state = finished()
    await judge.score_rollout(state)

    assert isinstance(state["error"], RewardError)
    assert "temprature" in str(state["error"])


async def test_cancelling_a_judge_is_no_verdict_either() -> None:
    started = asyncio.Event()

    class Hangs:
        url = "http://judge.test/v1"

        async def get_response(self, *args: Any) -> Response:
            started.set()
            await asyncio.Event().wait()
            raise AssertionError

    judge = JudgeRubric(judge_client=Hangs())
    judge.add_reward_func(verdict_of)
    task = asyncio.create_task(judge.score_rollout(finished()))
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


# Which client.


class OwnClient:
    """A client of this package."""

    def __init__(self, error: Exception | None = None, url: str = "http://here.test/v1") -> None:
        self.error = error
        self.url = url
        self.asked: list[tuple[Sequence[Message], str, Mapping[str, Any]]] = []

    async def get_response(
        self, prompt: Sequence[Message], model: str, sampling_args: Mapping[str, Any]
    ) -> Response:
        self.asked.append((prompt, model, sampling_args))
        if self.error:
            raise self.error
        return Response(Message(role="assistant", content="no"))


async def test_a_client_of_this_package_can_be_the_judges() -> None:
    client = OwnClient()
    judge = JudgeRubric(
        judge_client=client, judge_model="j", judge_prompt="?", judge_sampling_args={"top_p": 1}
    )

    assert await judge.judge(PROMPT, COMPLETION, "4") == "no"
    assert client.asked == [([{"role": "user", "content": "?"}], "j", {"top_p": 1})]


async def test_its_failure_is_a_judges_failure() -> None:
    judge = JudgeRubric(judge_client=OwnClient(ModelError("down")))

    with pytest.raises(JudgeError, match="failed: ModelError: down") as caught:
        await judge.judge(PROMPT, COMPLETION, "4")
    assert isinstance(caught.value.__cause__, ModelError)


@pytest.mark.parametrize("client", ["http://judge.test/v1", object(), 0])
def test_what_is_no_client(client: Any) -> None:
    with pytest.raises(TypeError, match=r"must be an openai\.AsyncOpenAI or a Client"):
        JudgeRubric(judge_client=client)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_client_and_key_there_is_no_judge(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    else:
        monkeypatch.setenv("OPENAI_API_KEY", value)

    with pytest.raises(MissingKeyError, match=r"OPENAI_API_KEY is not set.*'nano'.*judge_client"):
        JudgeRubric(judge_model="nano")


async def test_a_client_that_the_rubric_made_is_closed_and_made_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abcdefgh")
    # A port that nothing can listen on: the second client is used, and fails.
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    judge = JudgeRubric()
    first = judge.judge_client
    assert first.api_key == "sk-abcdefgh"
    assert first.max_retries >= 2

    await judge.teardown()
    assert first.is_closed()
    monkeypatch.setattr("pytest_evals.rubrics.judge_rubric._RETRIES", 0)
    with pytest.raises(JudgeError, match=r"http://127\.0\.0\.1:1/v1 did not answer"):
        await judge.judge(PROMPT, COMPLETION, "4")
    assert judge.judge_client is not first
    assert judge.class_objects["judge_client"] is judge.judge_client
    await judge.teardown()
    assert judge.judge_client.is_closed()


async def test_a_client_that_was_given_stays_open() -> None:
    judge = rubric(Asked())
    await judge.teardown()

    assert not judge.judge_client.is_closed()
    assert await judge.judge(PROMPT, COMPLETION, "4") == "yes"


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_judge_that_is_the_model_under_test_is_warned_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    judge = rubric(Asked(), judge_model="m")
    judge.add_reward_func(verdict_of)
    told = "the judge is the model under test: m at http://judge.test/v1"
    for _ in range(2):
        state = finished("m", OwnClient(url="http://judge.test/v1"))
        await judge.score_rollout(state)
        assert state["eval_warnings"] == [told]

    assert warnings_in(caplog) == [told]


async def test_another_model_server_or_an_explicit_wish_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    judge = rubric(Asked(), judge_model="m")
    judge.add_reward_func(verdict_of)
    await judge.score_rollout(finished("other", OwnClient(url="http://judge.test/v1")))
    await judge.score_rollout(finished("m", OwnClient(url="http://other.test/v1")))
    await judge.score_rollout(finished("m", None))
    shared = OwnClient()
    wished = JudgeRubric(judge_client=shared, judge_model="m")
    wished.add_reward_func(verdict_of)
    state = finished("m", shared)
    await wished.score_rollout(state)

    assert state["reward"] == 0.0
    assert warnings_in(caplog) == []


# In company.


async def test_a_judge_without_functions_adds_nothing_to_a_group() -> None:
    judge = rubric(Asked())

    async def grade(judge: Any, completion: Any) -> float:
        return float("yes" in await judge(PROMPT, completion, "4"))

    graded = Rubric([grade])
    graded.add_class_object("judge", judge.judge)
    group = RubricGroup([graded, judge])
    state = finished()
    await group.score_rollout(state)

    assert (state["reward"], state["metrics"]) == (1.0, {"grade": 1.0})


async def test_a_subclass_with_a_verdict_of_its_own() -> None:
    class Strict(JudgeRubric):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.add_reward_func(self.correct)

        async def correct(self, prompt: Any, completion: Any, answer: str, state: State) -> float:
            return float(await self.judge(prompt, completion, answer, state) == "yes")

    state = finished()
    await Strict(judge_client=OwnClient()).score_rollout(state)

    assert (state["error"], state["reward"]) == (None, 0.0)
