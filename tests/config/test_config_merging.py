"""Merging: the stronger level wins, table by table."""

from __future__ import annotations

from pytest_evals.config.merging import (
    merge_block,
    merge_levels,
    merge_sampling_args,
    over,
)


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


def test_env_id_and_the_session_limit_are_not_inherited() -> None:
    top_level = {"env_id": "a", "max_concurrent": 8, "num_examples": 3}
    assert merge_block({"env_id": "b"}, top_level) == {"env_id": "b", "num_examples": 3}


def test_levels_from_weak_to_strong() -> None:
    environment, ini, command_line, file = ({"num_examples": number} for number in (50, 40, 30, 20))
    found = [
        merge_levels({}, [], {}),
        merge_levels({}, [{}, {}], environment),
        merge_levels({}, [{}, ini], environment),
        merge_levels({}, [command_line, ini], environment),
        merge_levels(file, [command_line, ini], environment),
    ]
    assert [values["num_examples"] for values in found] == [5, 50, 40, 30, 20]


def test_built_in_values() -> None:
    assert merge_levels({}, [], {}) == {
        "num_examples": 5,
        "rollouts_per_example": 3,
        "model": "openai/gpt-4.1-mini",
    }


def test_an_endpoint_of_the_file_drops_model_and_provider_of_weaker_levels() -> None:
    command_line = {"model": "m", "provider": "openai"}
    merged = merge_levels({"endpoint_id": "local"}, [command_line], {})
    assert merged["endpoint_id"] == "local"
    assert not merged.keys() & {"model", "provider"}
    file = {"endpoint_id": "local", "provider": "vllm"}
    assert merge_levels(file, [command_line], {})["provider"] == "vllm"


def test_sampling_args_beat_the_short_keys_and_hold_them_only_when_given() -> None:
    assert merge_sampling_args({}) == {}
    values = {"max_tokens": 10, "temperature": 0.0, "sampling_args": {"max_tokens": 20}}
    assert merge_sampling_args(values) == {"max_tokens": 20, "temperature": 0.0}
