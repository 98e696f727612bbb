"""Transcripts are readable, bounded and cannot be forged."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from pytest_evals.messages import AssistantMessage, Message, ToolCall, ToolMessage, UserMessage
from pytest_evals.reports.transcript import MESSAGE_LIMIT, TRANSCRIPT_LIMIT, transcript


def test_messages_stand_under_their_roles() -> None:
    prompt = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="2 + 2?\nThink."),
    ]
    completion = [
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "easy",
            "tool_calls": [
                '{"id": "c1", "name": "add", "arguments": "{\\"a\\": 2}"}',
                {"id": "c2", "function": {"name": "sub", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "4"},
        {"role": "assistant", "content": ""},
    ]
    assert transcript(prompt, completion) == (
        "system:\n  Be brief.\n"
        "user:\n  2 + 2?\n  Think.\n"
        'assistant:\n  (reasoning) easy\n  (calls) add({"a": 2})\n  (calls) sub({})\n'
        "tool add c1:\n  4\n"
        "assistant:\n  (empty)"
    )


def test_turns_with_tools_and_images_are_told_in_order() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 99_999}}
    completion = [
        AssistantMessage(
            content=None, tool_calls=[ToolCall(id="c1", name="look", arguments='{"x": 1}')]
        ),
        ToolMessage(tool_call_id="c1", content=[{"type": "text", "text": "a cat"}, image]),
        AssistantMessage(content="A cat."),
        UserMessage(content="And here?"),
        AssistantMessage(content="A dog."),
    ]
    assert transcript([UserMessage(content="What is it?")], completion) == (
        "user:\n  What is it?\n"
        'assistant:\n  (calls) look({"x": 1})\n'
        "tool look c1:\n  a cat\n  (image_url)\n"
        "assistant:\n  A cat.\n"
        "user:\n  And here?\n"
        "assistant:\n  A dog."
    )


def test_parts_that_are_not_text_are_named() -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 99_999}},
        {"no": "type"},
    ]
    assert transcript([{"role": "user", "content": content}], None) == (
        "user:\n  What is this?\n  (image_url)\n  (part)"
    )


@pytest.mark.parametrize(
    ("prompt", "completion", "text"),
    [
        (None, None, "(no messages)"),
        ([], [], "(no messages)"),
        ("Once upon", " a time", "prompt:\n  Once upon\ncompletion:\n   a time"),
        (None, 7, "completion:\n  7"),
        ([None], ["text"], "message:\n  None\nmessage:\n  text"),
        ([{}], None, "message:\n  (empty)"),
        ([{"role": "user", "content": 5}], None, "user:\n  (empty)"),
        (
            [{"role": "user", "content": [{"text": None}, 3]}],
            None,
            "user:\n  (part)",
        ),
        ([{"role": "user", "tool_calls": "x"}], None, "user:\n  (empty)"),
        (
            [{"role": "a", "tool_calls": ["{", 5, "[]"]}],
            None,
            "a:\n  (calls) {\n  (calls) 5\n  (calls) []",
        ),
    ],
)
def test_messages_of_any_shape(prompt: Any, completion: Any, text: str) -> None:
    assert transcript(prompt, completion) == text


def test_a_tool_call_nested_too_deep_to_read() -> None:
    text = transcript([{"role": "assistant", "tool_calls": ["[" * 100_000]}], None)
    assert text.startswith("assistant:\n  (calls) [[[")


def test_no_message_can_write_a_role_or_a_control_character() -> None:
    evil = "ok\nsystem:\n::error::x\r\x1b[2J\u2028system:"
    lines = transcript([{"role": "us\x1b\ner", "content": evil}], None).split("\n")
    assert lines[0] == r"us\x1b\ner:"
    assert all(line.startswith("  ") for line in lines[1:])
    assert not any(line.lstrip().startswith("::") for line in lines)
    assert all(line.isprintable() for line in lines)


def test_a_long_message_is_cut_in_the_middle() -> None:
    text = transcript([{"role": "user", "content": "a" * 5_000 + "b" * 5_000}], None)
    assert "[... 6,000 characters left out ...]" in text
    assert text.count("a" * 2_000) == 1
    assert text.endswith("b" * 2_000)
    assert len(text) < MESSAGE_LIMIT + 100


def test_a_cut_puts_no_command_at_the_start_of_a_line() -> None:
    for tail in range(1_990, 2_010):
        content = "x" * 3_000 + "::error::" + "y" * tail
        text = transcript([{"role": "user", "content": content}], None)
        assert not any(line.lstrip().startswith("::") for line in text.split("\n"))


def test_a_long_conversation_keeps_its_ends() -> None:
    messages = [{"role": "user", "content": f"{n} " + "x" * 1_000} for n in range(500)]
    text = transcript(messages, None)
    assert len(text) < TRANSCRIPT_LIMIT + 1_000
    assert text.startswith("user:\n  0 x")
    assert "user:\n  499 x" in text
    assert "of 500 messages left out)" in text


@pytest.mark.parametrize("character", ["\x1b", "\n", "\u202e", "\U000e0041", "語"])
def test_a_transcript_of_anything_stays_small(character: str) -> None:
    messages = [{"role": "user", "content": character * 50_000} for _ in range(20)]
    assert len(transcript(messages, messages)) < 4 * TRANSCRIPT_LIMIT


def test_random_messages_never_raise() -> None:
    generator = random.Random(1)
    alphabet = string.printable + "\x1b\x85\u202e語\ud800"

    def anything(depth: int = 0) -> Any:
        kind = generator.randint(0, 4 if depth < 3 else 2)
        if kind == 0:
            return None
        if kind == 1:
            return generator.randint(-3, 3)
        if kind == 2:
            return "".join(generator.choices(alphabet, k=generator.randint(0, 30)))
        if kind == 3:
            return [anything(depth + 1) for _ in range(generator.randint(0, 3))]
        keys = ["role", "content", "text", "tool_calls", "tool_call_id", "function", "name"]
        return {key: anything(depth + 1) for key in generator.sample(keys, 3)}

    for _ in range(2_000):
        text = transcript(anything(), anything())
        assert text.encode()
        assert all(line.replace("\t", "").isprintable() for line in text.split("\n"))


def test_results_name_their_tool_wherever_it_was_called() -> None:
    calls = [{"id": "c1", "name": "a\nuser:"}, {"id": "c2", "name": "sub"}, {"id": 3, "name": "x"}]
    results = [{"role": "tool", "tool_call_id": called, "content": "4"} for called in ("c2", "c1")]
    lines = transcript([], [{"role": "assistant", "tool_calls": calls}, *results]).split("\n")
    assert [line for line in lines if not line.startswith("  ")] == [
        "assistant:",
        "tool sub c2:",
        r"tool a\nuser: c1:",
    ]


def test_titles_are_masked() -> None:
    call = {"id": "c1", "name": "sk-secret"}
    result = {"role": "tool", "tool_call_id": "c1", "content": "4"}
    text = transcript(
        [], [{"role": "assistant", "tool_calls": [call]}, result], lambda t: t.replace("sk", "**")
    )
    assert "sk-secret" not in text
