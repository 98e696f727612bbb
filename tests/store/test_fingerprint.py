"""Whether a run measured what is asked for now."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_evals.store.fingerprint import Difference, dataset_digest, differences, digests

EXAMPLES = [{"example_id": number, "prompt": f"What is {number}?"} for number in range(5)]
NOW: dict[str, Any] = {
    "env_id": "sums",
    "env_version": "1.0",
    "env_args": {"level": 3},
    "extra_env_kwargs": {},
    "model": "m",
    "url": "http://x/v1",
    "client_type": "openai_chat_completions",
    "sampling_args": {"n": 1, "extra_body": {}, "temperature": 0.5},
    "num_examples": 5,
    "rollouts_per_example": 3,
    "shuffle_seed": None,
    "dataset": dataset_digest(digests(EXAMPLES), 5),
}


def found(
    saved: dict[str, Any], *, is_legacy: bool = False, examples: Any = EXAMPLES, **now: Any
) -> list[Difference]:
    def mask(text: str) -> str:
        return text.replace("hunter2", "***")

    return differences(saved, NOW | now, digests(examples), mask, is_legacy=is_legacy)


@pytest.mark.parametrize(
    ("key", "value", "names"),
    [
        ("env_id", "products", ["env_id"]),
        ("env_version", "1.1", ["env_version"]),
        ("env_version", None, ["env_version"]),
        ("env_args", {"level": 4}, ["env_args.level"]),
        ("env_args", {}, ["env_args.level"]),
        ("env_args", {"level": 3, "deep": {"a": 1}}, ["env_args.deep"]),
        ("sampling_args", {"temperature": 0.7}, ["sampling_args.temperature"]),
        ("model", "n", ["model"]),
        ("url", "http://y/v1", ["url"]),
        ("client_type", "openai_responses", ["client_type"]),
        ("rollouts_per_example", 2, ["rollouts_per_example"]),
        ("shuffle_seed", 0, ["shuffle_seed"]),
    ],
)
def test_each_field_is_named_with_both_values(key: str, value: Any, names: list[str]) -> None:
    assert found({"fingerprint": NOW}) == []
    told = found({"fingerprint": NOW}, **{key: value})
    assert [name for name, _, _ in told] == names


def test_more_examples_are_no_difference_fewer_are() -> None:
    longer = [*EXAMPLES, {"example_id": 5, "prompt": "new"}]
    assert found({"fingerprint": NOW}, examples=longer, num_examples=6) == []
    fewer = [("num_examples", 5, 4)]
    assert found({"fingerprint": NOW}, num_examples=4) == fewer
    assert found({"fingerprint": NOW}, examples=EXAMPLES[:4], num_examples=4) == fewer


def test_the_content_of_the_dataset() -> None:
    changed = [*EXAMPLES[:-1], {**EXAMPLES[-1], "prompt": "another"}]
    ((name, before, now),) = found({"fingerprint": NOW}, examples=changed)
    assert (name, before == now) == ("content of the first 5 examples", False)


def test_digests_of_values_without_a_form_in_json() -> None:
    assert digests([{"f": object()}]) == digests([{"f": object()}]) != digests([{"f": 1}])
    assert digests([{"b": 1, "a": float("nan")}]) == digests([{"a": float("nan"), "b": 1}])
    circular: dict[str, Any] = {}
    circular["self"] = circular
    keyed: dict[Any, str] = {(1, 2): "key"}
    assert len(digests([circular, keyed])) == 2 * len(digests([{}]))


def test_secrets_are_masked_on_both_sides() -> None:
    saved = {"fingerprint": NOW | {"env_args": {"password": "***"}}}
    assert found(saved, env_args={"password": "hunter2"}) == []
    assert found(saved, env_args={"password": "hunter2", "level": "hunter2"}) == [
        ("env_args.level", "not set", "***")
    ]


def test_a_managed_server_counts_by_its_command() -> None:
    served = {key: value for key, value in NOW.items() if key != "url"} | {"serve": "run a"}
    told = differences(
        {"fingerprint": served},
        {**served, "serve": "run b"},
        digests(EXAMPLES),
        str,
        is_legacy=False,
    )
    assert told == [("serve", "run a", "run b")]


def test_a_managed_server_is_another_than_one_that_runs() -> None:
    neither = {key: value for key, value in NOW.items() if key != "url"}
    served = neither | {"serve": "run a"}

    def told(saved: dict[str, Any], now: dict[str, Any]) -> list[Difference]:
        return differences({"fingerprint": saved}, now, digests(EXAMPLES), str, is_legacy=False)

    url = NOW["url"]
    assert told(NOW, served) == [("serve", "not set", "run a"), ("url", url, "not set")]
    assert told(served, NOW) == [("serve", "run a", "not set"), ("url", "not set", url)]
    assert told(neither, served) == told(neither, NOW) == []


LATE = {
    "env_id": "sums", "env_args": {"level": 3}, "model": "m", "base_url": "http://x/v1/",
    "num_examples": 5, "rollouts_per_example": 3, "shuffle": False, "shuffle_seed": None,
    "sampling_args": {"n": 1, "extra_body": {}, "max_tokens": None, "temperature": 0.5},
    "version_info": {"vf_version": "0.3.1", "env_version": "1.0"},
}  # fmt: skip


def test_metadata_of_verifiers() -> None:
    assert found(LATE) == []
    assert found(LATE | {"base_url": "http://y"}) == [("url", "http://y", "http://x/v1")]
    assert found(LATE | {"shuffle": True}) == [("shuffle_seed", 0, None)]
    old = {"env": "sums", "model": "m", "num_examples": 5, "rollouts_per_example": 3, "time": 3}
    assert found(old) == []
    assert found(old | {"env": "other"}) == [("env_id", "other", "sums")]


def test_metadata_that_say_too_little() -> None:
    assert [name for name, _, _ in found({})] == ["env_id", "rollouts_per_example", "num_examples"]
    assert [name for name, _, _ in found({"num_examples": "five", "env": "sums"})] == [
        "rollouts_per_example",
        "num_examples",
    ]


def test_the_rule_of_verifiers_compares_four_fields() -> None:
    other = LATE | {"env_args": {}, "base_url": "http://y", "sampling_args": {}}
    assert found(other, is_legacy=True, examples=[]) == []
    assert found({}, is_legacy=True) == [
        ("env_id", "not said", "sums"),
        ("model", "not said", "m"),
        ("rollouts_per_example", "not said", 3),
        ("num_examples", "not said", 5),
    ]
    assert found(LATE, is_legacy=True, num_examples=4) == [("num_examples", 5, 4)]
