"""Judges: found in whatever holds a rubric, and described alike in every process."""

from __future__ import annotations

import math
from typing import Any
from unittest import mock

import pytest_evals as vf
from pytest_evals.plugin.judges import judges_of


def judge(model: str, **sampling: Any) -> vf.JudgeRubric:
    client = mock.Mock(spec=["get_response"])
    return vf.JudgeRubric(judge_client=client, judge_model=model, judge_sampling_args=sampling)


def environment(rubric: vf.Rubric) -> vf.SingleTurnEnv:
    return vf.SingleTurnEnv(dataset=[{"question": "?", "answer": "!"}], rubric=rubric)


def test_one_in_a_group_in_a_group_of_environments() -> None:
    group = vf.RubricGroup([vf.Rubric(), judge("a", temperature=0)])
    found = judges_of(vf.EnvGroup([environment(group), environment(judge("b"))]))
    assert [each["model"] for each in found] == ["a", "b"]
    assert found[0]["sampling_args"] == {"temperature": 0}
    assert found[0]["prompt"] == found[1]["prompt"]


def test_none_in_other_rubrics() -> None:
    assert judges_of(environment(vf.Rubric(funcs=[lambda: 1.0]))) == []
    assert judges_of(None) == []


def test_another_prompt_is_another_judge() -> None:
    one, other = judge("a"), judge("a")
    other.judge_prompt = "Is {response} {answer}?"
    (first,), (second,) = judges_of(environment(one)), judges_of(environment(other))
    assert first["prompt"] != second["prompt"]


def test_what_json_has_no_form_for_is_the_same_in_every_process() -> None:
    first, second = (judges_of(environment(judge("a", stop=object()))) for _ in range(2))
    assert first == second
    assert judges_of(environment(judge("a", x={(1, 2): math.nan})))[0]["model"] == "a"


def test_objects_of_any_kind() -> None:
    class Hostile:
        @property
        def rubric(self) -> Any:
            raise RuntimeError("no")

    assert judges_of(Hostile()) == []
    assert judges_of(mock.MagicMock()) == []
    endless: Any = type("Endless", (), {})()
    endless.rubric = endless
    assert judges_of(endless) == []
