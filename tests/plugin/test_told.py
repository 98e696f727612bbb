"""What the user is told of the environment's own code: its mistakes, slowness and oddities."""

from __future__ import annotations

import pytest

from .conftest import Project

CALCULATOR = """
    import time
    import pytest_evals as vf

    def add(a: int, b: int) -> int:
        '''Add two numbers.'''
        {tool}

    class Env(vf.ToolEnv):
        async def env_response(self, messages, state, **kwargs):
            {hook}
            return await super().env_response(messages, state, **kwargs)

    def correct(completion, answer):
        return float(answer in str(completion[-1]["content"]))

    def load_environment():
        question = "Ann has {{}} apples and finds 8 more. How many has she?"
        rows = [{{"question": question.format(n), "answer": str(n + 8)}} for n in (71, 72)]
        return Env(
            tools=[add], dataset=rows, rubric=vf.Rubric(funcs=[correct]), max_turns=3,
            system_prompt="Use the tools.",
        )
"""


def test_a_tool_that_always_raises_is_told(project: Project, url: str) -> None:
    source = CALCULATOR.format(tool='raise RuntimeError("the database is down")', hook="pass")
    project.environment("adder", source)
    project.evals('[[eval]]\nenv_id = "adder"', url=url)
    result = project.run("bench.toml")

    result.stdout.re_match_lines([r"  tool add raised RuntimeError in (\d+) of \1 calls"])
    for row in project.rows():
        runs = row["tool_runs"]["add"]
        assert runs["errors"] == {"RuntimeError": runs["calls"]}


@pytest.mark.workers
@pytest.mark.parametrize(
    ("tool", "hook", "what"),
    [
        ("time.sleep(0.11); return a + b", "pass", "tool 'add'"),
        ("return a + b", "time.sleep(0.11)", "env_response of Env"),
    ],
    ids=["tool", "hook"],
)
def test_what_blocks_the_loop_is_told(
    project: Project, url: str, tool: str, hook: str, what: str
) -> None:
    project.environment("adder", CALCULATOR.format(tool=tool, hook=hook))
    project.evals('[[eval]]\nenv_id = "adder"', url=url)
    result = project.run("bench.toml")

    assert result.ret == 0
    told = [line for line in result.outlines if "blocked the event loop" in line]
    assert len(told) == 1
    assert told[0].startswith(f"slow: adder: {what} blocked the event loop for up to ")
    assert told[0].endswith(" ms, in 6 rollouts")


def test_a_hook_that_breaks_costs_nothing_that_was_said(project: Project, url: str) -> None:
    project.environment("adder", CALCULATOR.format(tool="return 0", hook='state["board"]'))
    project.evals('[[eval]]\nenv_id = "adder"', url=url)
    result = project.run("bench.toml")

    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*broken: KeyError: 'board'", '*state?"board"?', "*- rollout 0-r0 -*", "*Ann has 71*"]
    )
    for row in project.rows():
        assert (row["state"], row["reward"], row["attempts"]) == ("broken", None, 1)
        assert [message["role"] for message in row["completion"]] == ["assistant"]
        assert row["token_usage"]["output_tokens"] > 0
        assert (row["error"]["error"], row["stop_condition"]) == ("KeyError", "has_error")


@pytest.mark.workers
def test_a_judge_that_is_the_model_under_test_is_told(project: Project, url: str) -> None:
    project.environment(
        "judged",
        f"""
        from openai import AsyncOpenAI
        import pytest_evals as vf

        client = AsyncOpenAI(base_url="{url}", api_key="sk-judge")

        class Env(vf.SingleTurnEnv):
            @vf.teardown
            async def close(self):
                await client.close()

        async def judged(judge, prompt, completion, answer, state):
            return float("yes" in (await judge(prompt, completion, answer, state)).lower())

        def load_environment():
            rubric = vf.JudgeRubric(judge_client=client, judge_model="demo-small")
            rubric.add_reward_func(judged)
            rows = [{{"question": f"What is {{n}} + 1?", "answer": str(n + 1)}} for n in range(4)]
            return Env(dataset=rows, rubric=rubric)
        """,
    )
    project.evals('[[eval]]\nenv_id = "judged"', url=url)
    result = project.run("bench.toml")

    told = f"judged: the judge is the model under test: demo-small at {url}"
    assert result.outlines.count(told) == 1
    assert told in (project.runs()[0] / "run.log").read_text()


@pytest.mark.workers
def test_oddities_are_told_at_collection_and_at_the_end(project: Project, url: str) -> None:
    project.environment(
        "odd",
        """
        import pytest_evals as vf

        def correct(completion, answer):
            return 1.0

        def load_environment():
            rubric = vf.Rubric(funcs=[correct])
            return vf.SingleTurnEnv(dataset=[{"question": "What is 1 + 1?"}], rubrik=rubric)
        """,
    )
    project.evals('[[eval]]\nenv_id = "odd"', url=url)
    result = project.run("bench.toml")

    assert result.ret == 0
    for told in (
        "odd: SingleTurnEnv has no argument 'rubrik', which only became an attribute"
        " (did you mean 'rubric'?)",
        "odd: the rubric has no reward function: every reward is 0.0",
    ):
        assert result.outlines.count(f"evals: {told}") == 1
        assert result.outlines.count(told) == 1
