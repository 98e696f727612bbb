"""First examples: what is said of each eval before the table, and that it stays short."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_evals.reports.columns import width_of
from pytest_evals.reports.first_examples import FirstExample, render_first_examples


def example(name: str = "sums", **row: Any) -> FirstExample:
    filled = {
        "example_id": 3,
        "rollout": 0,
        "state": "scored",
        "reward": 1.0,
        "prompt": [{"role": "user", "content": "What is 1 + 1?"}],
        "completion": [{"role": "assistant", "content": "2"}],
    }
    return FirstExample(name, "demo", "http://127.0.0.1:1/v1", 20, 3, {**filled, **row})


def lines(*examples: FirstExample, width: int = 80, in_full: bool = False) -> list[str]:
    return render_first_examples(examples, str, width=width, in_full=in_full)


def test_settings_prompt_completion_and_reward() -> None:
    assert lines(example()) == [
        "sums: demo at http://127.0.0.1:1/v1, 20 examples x 3 rollouts",
        "  example 3, rollout 0: reward 1.000",
        "    user: What is 1 + 1?",
        "    assistant: 2",
    ]


def test_settings_that_were_made() -> None:
    made = FirstExample("sums", "demo", "", 1, 1, None, {"env_args": '{"level": 3}'})
    assert lines(made) == ["sums: demo, 1 examples x 1 rollout", '  env_args = {"level": 3}']


def test_an_error_stands_in_place_of_the_completion() -> None:
    error = {"error": "ModelError", "message": "HTTP 500\nno\x1b[2J"}
    shown = lines(example(state="unmeasured", reward=None, error=error))
    assert shown[1:] == [
        "  example 3, rollout 0: unmeasured: ModelError: HTTP 500 no\\x1b[2J",
        "    user: What is 1 + 1?",
    ]


def test_plain_texts_tool_calls_and_images() -> None:
    call = {"id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}}
    prompt = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}]
    completion = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "1"},
    ]
    assert lines(example(prompt=prompt, completion=completion))[2:] == [
        "    user: (image_url)",
        '    assistant: (calls) add({"a": 1})',
        "    tool add: 1",
    ]
    assert lines(example(prompt="One, two,", completion=" three"))[2:] == [
        "    prompt: One, two,",
        "    completion:  three",
    ]


@pytest.mark.parametrize("width", [20, 40, 81, 400])
@pytest.mark.parametrize("evals", [1, 2, 5])
@pytest.mark.parametrize("letter", ["x", "漢", "word ", "\n", "e\u0301", "\t", "::error::\n"])
def test_it_is_short_and_fits(width: int, evals: int, letter: str) -> None:
    completion = [{"role": "assistant", "content": letter * 30_000}] * 40
    shown = lines(*[example(f"e{n}", completion=completion) for n in range(evals)], width=width)
    assert len(shown) <= 45
    assert all(line.startswith(("  ", "e")) for line in shown)
    if letter != "::error::\n":
        assert max(map(width_of, shown)) <= 2 * max(width, 40)


def test_a_long_message_keeps_both_ends() -> None:
    text = "\n".join(["first", *map(str, range(1000)), "last"])
    shown = lines(example(completion=[{"role": "assistant", "content": text}]))
    assert shown[3:] == [
        "    assistant: first", "      0", "      1", "      [...]", "      999", "      last",
    ]  # fmt: skip


def test_long_conversations_leave_out_the_middle() -> None:
    turns = [{"role": "assistant", "content": f"turn {n}"} for n in range(10)]
    shown = lines(example(completion=turns))
    assert "    (6 messages left out)" in shown
    assert shown[-1] == "    assistant: turn 9"


def test_of_many_evals_only_the_first_are_shown() -> None:
    shown = lines(*[example(f"e{n}") for n in range(500)])
    assert shown[-1] == "(495 more evals: what they said is in their results)"
    assert len(shown) < 40


@pytest.mark.parametrize("in_full", [True, False])
def test_nothing_in_it_acts_on_the_reader(in_full: bool) -> None:
    hostile = "\x1b]0;owned\x07\r\x9b2J\u202e\n::error file=a::b\n##[error]c"
    row = example(
        name="e\x1b[1m",
        example_id=f"x{hostile}",
        prompt=[{"role": f"user{hostile}", "content": hostile}],
        completion=[{"role": "assistant", "content": hostile * 2}],
    )
    text = "\n".join(lines(row, in_full=in_full))
    assert not set(text) & set("\x1b\x07\r\x9b\u202e")
    assert "##[" not in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())


def test_secrets_are_masked_before_anything_is_cut() -> None:
    secret = "sk-" + "s" * 5_000

    def mask(text: str) -> str:
        return text.replace(secret, "***")

    row = example(prompt=f"{secret} {secret}", completion=[{"role": secret, "content": secret}])
    for in_full in (True, False):
        shown = render_first_examples([row], mask, width=60, in_full=in_full)
        assert "sss" not in "\n".join(shown)
        assert "***" in "\n".join(shown)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": None, "completion": None},
        {"prompt": 17, "completion": {"a": 1}},
        {"prompt": ["x", None], "completion": [{}]},
        {"reward": "high"},
        {"reward": float("nan")},
        {"error": "plain text"},
        {"example_id": None, "rollout": None},
    ],
)
@pytest.mark.parametrize("in_full", [True, False])
def test_odd_rows(row: dict[str, Any], in_full: bool) -> None:
    assert lines(example(**row), in_full=in_full)[0].startswith("sums: demo")
