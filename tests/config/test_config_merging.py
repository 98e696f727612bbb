"""Merging: the stronger level wins, table by table."""

from __future__ import annotations

import pytest

from pytest_evals.config.assignments import read_assignments
from pytest_evals.config.merging import (
    BUILT_IN,
    assign,
    merge_levels,
    merge_sampling_args,
    over,
)
from pytest_evals.config.values import merged_headers


def test_a_table_replaces_the_weaker_one_as_a_whole() -> None:
    assert over({"env_args": {"a": 1}}, {"env_args": {"b": 2}, "name": "x"}) == {
        "env_args": {"a": 1},
        "name": "x",
    }


def test_model_and_endpoint_id_drop_the_inherited_other_one() -> None:
    assert over({"model": "m"}, {"endpoint_id": "e"}) == {"model": "m"}
    assert over({"endpoint_id": "e"}, {"model": "m"}) == {"endpoint_id": "e"}
    assert over({}, {"endpoint_id": "e"}) == {"endpoint_id": "e"}


def test_merging_changes_neither_table() -> None:
    upper, lower = {"model": "m"}, {"endpoint_id": "e", "env_args": {"a": 1}}
    over(upper, lower)
    assert (upper, lower) == ({"model": "m"}, {"endpoint_id": "e", "env_args": {"a": 1}})


def test_levels_from_weak_to_strong() -> None:
    tables = [{"num_examples": number} for number in (20, 30, 40, 50)]
    found = [merge_levels([*tables[start:], BUILT_IN])["num_examples"] for start in range(5)]
    assert found == [20, 30, 40, 50, 5]


def test_built_in_values() -> None:
    assert merge_levels([{}, {}, BUILT_IN]) == {
        "num_examples": 5,
        "rollouts_per_example": 3,
        "model": "openai/gpt-4.1-mini",
    }


ADDRESS = {"api_base_url": "http://x", "api_key_var": "K", "api_client_type": "t"}


def test_a_server_that_a_stronger_level_names_is_not_sent_what_is_meant_for_another() -> None:
    weaker = {"model": "m", "provider": "openai", **ADDRESS}
    assert merge_levels([{"endpoint_id": "local"}, weaker]) == {"endpoint_id": "local"}
    assert merge_levels([{"provider": "vllm"}, weaker]) == {"provider": "vllm", "model": "m"}
    assert merge_levels([{"model": "x"}, weaker]) == {**weaker, "model": "x"}
    elsewhere = {"api_base_url": "https://other"}
    assert "provider" not in merge_levels([elsewhere, weaker])
    of_one_level = {**elsewhere, "provider": "openai"}
    assert merge_levels([of_one_level, weaker])["provider"] == "openai"
    of_the_file = {"endpoint_id": "local", **ADDRESS}
    assert merge_levels([of_the_file, weaker]) == of_the_file


def test_what_a_stronger_level_says_in_short_beats_sampling_args_of_a_weaker_one() -> None:
    weaker = {"sampling_args": {"temperature": 1, "top_p": 0.5}}
    merged = merge_levels([{"temperature": 0.0, "max_tokens": 5}, weaker])
    assert merge_sampling_args(merged) == {"temperature": 0.0, "max_tokens": 5, "top_p": 0.5}
    stronger = {"sampling_args": {"temperature": 1}}
    assert merge_sampling_args(merge_levels([stronger, {"temperature": 0}])) == {"temperature": 1}


def test_assigned_values_beat_all_and_reach_into_tables() -> None:
    values = {"env_args": {"a": {"b": 1, "c": 2}, "d": 3}, "model": "m", "num_examples": 4}
    texts = ["num_examples=1", "env_args.a.b=9", "env_args.e=[1]", 'endpoint_id="e"']
    assert assign(values, read_assignments(texts)) == {
        "env_args": {"a": {"b": 9, "c": 2}, "d": 3, "e": [1]},
        "endpoint_id": "e",
        "num_examples": 1,
    }
    assert values["env_args"] == {"a": {"b": 1, "c": 2}, "d": 3}
    whole = assign(values, read_assignments(["env_args={x=1}", "env_args.y=2"]))
    assert whole["env_args"] == {"x": 1, "y": 2}
    inside_a_number = assign({"env_args": {"a": 1}}, read_assignments(["env_args.a.b=2"]))
    assert inside_a_number == {"env_args": {"a": {"b": 2}}}


SAMPLING = {"sampling_args": {"temperature": 1, "top_p": 1}}


@pytest.mark.parametrize(
    ("texts", "sampling"),
    [
        (["temperature=0.5"], {"temperature": 0.5, "top_p": 1}),
        (["temperature=0.5", "sampling_args.top_p=0"], {"temperature": 0.5, "top_p": 0}),
        (["sampling_args.top_p=0", "temperature=0.5"], {"temperature": 0.5, "top_p": 0}),
        (["temperature=0.5", "sampling_args.temperature=2"], {"temperature": 2, "top_p": 1}),
        (["temperature=0.5", "sampling_args={}"], {"temperature": 0.5}),
        (["temperature=0.5", "sampling_args={temperature=2}"], {"temperature": 2}),
    ],
)
def test_assigned_sampling(texts: list[str], sampling: dict[str, float]) -> None:
    assert merge_sampling_args(assign(SAMPLING, read_assignments(texts))) == sampling


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("headers.X-A='3'", {"X-A": "3", "X-B": "2"}),
        ("headers.x-a='3'", {"x-a": "3", "X-B": "2"}),
        ("headers={x-b='3'}", {"x-b": "3", "X-A": "1"}),
        ("headers.X-C='3'", {"X-A": "1", "X-B": "2", "X-C": "3"}),
        ("header=['X-B: 3']", {"X-A": "0", "X-B": "3"}),
    ],
)
def test_assigned_headers_beat_the_lines_of_the_file(text: str, headers: dict[str, str]) -> None:
    values = {"headers": {"X-A": "0"}, "header": ["X-A: 1", "X-B: 2"]}
    found = assign(values, read_assignments([text]))
    assert merged_headers(found["headers"], found["header"]) == headers


def test_sampling_args_beat_the_short_keys_and_hold_them_only_when_given() -> None:
    assert merge_sampling_args({}) == {}
    values = {"max_tokens": 10, "temperature": 0.0, "sampling_args": {"max_tokens": 20}}
    assert merge_sampling_args(values) == {"max_tokens": 20, "temperature": 0.0}
