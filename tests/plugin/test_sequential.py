"""Sequential sessions: one rollout at a time, each in its item, where a debugger can be used."""

from __future__ import annotations

import pexpect
import pytest

from .conftest import Project

# Python says so of every process that has threads and forks for a terminal, as this one does.
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")

PROMPT = r"\(Pdb\) "

# No server: the model is an object that asks for the tool `add` if there is one, then answers.
CONFTEST = """
    import asyncio
    from pytest_evals.messages import AssistantMessage, Response, ToolCall, Usage

    class Model:
        running = 0

        async def get_response(self, prompt, model, sampling_args, tools=None):
            Model.running += 1
            assert Model.running == 1, "two at once"
            await asyncio.sleep(0)
            Model.running -= 1
            if tools and prompt[-1]["role"] == "user":
                call = ToolCall(id="c", name="add", arguments='{"a": 1, "b": 2}')
                message = AssistantMessage(content=None, tool_calls=[call])
                return Response(message, finish_reason="tool_calls", usage=Usage(3, 2))
            text = prompt[-1]["content"].upper()
            return Response(AssistantMessage(content=text), finish_reason="stop", usage=Usage(3, 2))

        async def close(self):
            pass

    def pytest_evals_make_client():
        return Model()
"""

REWARD = """
    import pytest_evals as vf

    def correct(completion, answer):
        value = 41
        breakpoint()
        value += 1
        return 1.0

    def load_environment(examples=2):
        rows = [{"question": f"q{n}", "answer": f"a{n}"} for n in range(examples)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
"""

HOOK = """
    import pytest_evals as vf

    class Talk(vf.MultiTurnEnv):
        async def env_response(self, messages, state, **kwargs):
            reply = "go on"
            breakpoint()
            return [{"role": "user", "content": reply}]

    def load_environment():
        return Talk(dataset=[{"question": "q0"}], max_turns=2, rubric=vf.Rubric(funcs=[fine]))

    def fine():
        return 1.0
"""

TOOL = """
    import pytest_evals as vf

    def add(a: int, b: int) -> int:
        \"\"\"Add.\"\"\"
        total = a + b
        breakpoint()
        return total

    def fine():
        return 1.0

    def load_environment():
        rubric = vf.Rubric(funcs=[fine])
        return vf.ToolEnv(tools=[add], dataset=[{"question": "q0"}, {"question": "q1"}],
                          rubric=rubric)
"""

BROKEN = """
    import pytest_evals as vf

    async def broken(completion):
        local = "found me"
        raise ValueError("a bug")

    def load_environment():
        return vf.SingleTurnEnv(dataset=[{"question": "q0"}], rubric=vf.Rubric(funcs=[broken]))
"""


@pytest.fixture
def debugged(project: Project) -> Project:
    """A project whose model needs no server."""
    project.pytester.makeconftest(CONFTEST)
    return project


def write(project: Project, source: str, more: str = "") -> None:
    project.environment("env", source)
    text = f'[[eval]]\nenv_id = "env"\nrollouts_per_example = 1\n{more}'
    project.evals(text, url="http://127.0.0.1:9/v1")


def spawn(project: Project, *args: str) -> pexpect.spawn[bytes]:
    if project.plugin_args:
        pytest.skip("the same as with xdist")
    command = ["-p", "no:asyncio", "-p", "no:randomly", "bench.toml", *args]
    return project.pytester.spawn_pytest(" ".join(command), expect_timeout=20.0)


def finish(child: pexpect.spawn[bytes]) -> tuple[str, int]:
    child.expect(pexpect.EOF)
    output = (child.before or b"").decode()
    child.close()
    assert child.exitstatus is not None, output
    return output, child.exitstatus


def say(child: pexpect.spawn[bytes], command: str, answer: str) -> None:
    child.expect(PROMPT)
    child.sendline(command)
    child.expect(answer)


class TestBreakpoint:
    def test_in_a_reward_function(self, debugged: Project) -> None:
        write(debugged, REWARD)
        child = spawn(debugged, "--evals-sequential")
        child.expect("PDB set_trace")
        child.expect(r"env\.py\(7\)correct\(\)")
        say(child, "p answer, value", r"\('a0', 41\)")
        say(child, "n", r"env\.py\(8\)correct\(\)")
        say(child, "p value", "42")
        say(child, "c", r"env\.py\(7\)correct\(\)")
        say(child, "p answer", "'a1'")
        say(child, "c", "3 passed")
        assert finish(child)[1] == 0

    def test_in_a_hook_of_an_environment(self, debugged: Project) -> None:
        write(debugged, HOOK)
        child = spawn(debugged, "--evals-sequential")
        child.expect(r"env\.py\(8\)env_response\(\)")
        say(child, "p messages[-1]['content']", "'Q0'")
        say(child, "reply = 'changed'", "")
        say(child, "c", "2 passed")
        assert finish(child)[1] == 0
        (row,) = debugged.rows()
        assert row["completion"][1]["content"] == "changed"

    def test_in_a_tool(self, debugged: Project) -> None:
        write(debugged, TOOL)
        child = spawn(debugged, "--evals-sequential", "-k", "0-r0", "--evals-partial")
        child.expect(r"env\.py\(8\)add\(\)")
        say(child, "p total", "3")
        say(child, "c", "1 passed")
        assert finish(child)[1] == 0

    @pytest.mark.parametrize("source", [TOOL, HOOK], ids=["tool", "hook"])
    def test_quitting_leaves_the_rollout_as_if_never_run(
        self, debugged: Project, source: str
    ) -> None:
        write(debugged, source)
        child = spawn(debugged, "--evals-sequential")
        say(child, "q", r"stopped after 0 of \d rollouts had reported")
        child.expect("Quitting debugger")
        output, code = finish(child)
        assert code == 2
        assert "(Pdb)" not in output
        assert not list(debugged.path.glob("outputs/evals/*/*/results.jsonl"))

    def test_quitting_in_a_reward_function_keeps_what_the_model_said(
        self, debugged: Project
    ) -> None:
        write(debugged, REWARD)
        child = spawn(debugged, "--evals-sequential")
        say(child, "c", r"correct\(\)")
        say(child, "q", r"1 of 2 rollouts scored: 1 without a result")
        child.expect("NOT JUDGED.*: stopped after 1 of 2 rollouts had reported")
        assert finish(child)[1] == 2
        assert [row["state"] for row in debugged.rows()] == ["scored", "generated"]

    def test_the_end_of_input_ends_the_session_too(self, debugged: Project) -> None:
        write(debugged, REWARD)
        child = spawn(debugged, "--evals-sequential")
        child.expect(PROMPT)
        child.sendeof()
        child.expect("Quitting debugger")
        assert finish(child)[1] == 2
        assert [row["state"] for row in debugged.rows()] == ["generated"]

    def test_ctrl_c_at_the_prompt_is_the_debuggers(self, debugged: Project) -> None:
        write(debugged, REWARD, "num_examples = 1")
        child = spawn(debugged, "--evals-sequential")
        child.expect(PROMPT)
        child.sendintr()
        child.expect("--KeyboardInterrupt--")
        say(child, "p answer", "'a0'")
        say(child, "c", "2 passed")
        assert finish(child)[1] == 0

    def test_no_time_limit_passes_at_the_prompt(self, debugged: Project) -> None:
        write(
            debugged,
            """
            import pytest_evals as vf

            class Slow(vf.SingleTurnEnv):
                async def setup_state(self, state):
                    breakpoint()
                    return state

            def load_environment():
                return Slow(dataset=[{"question": "q0"}], rubric=vf.Rubric(funcs=[lambda: 1.0]))
            """,
            "timeout = 0.3",
        )
        child = spawn(debugged, "--evals-sequential")
        say(child, "import time; time.sleep(0.5)", "")
        say(child, "c", "2 passed")
        assert finish(child)[1] == 0
        (row,) = debugged.rows()
        assert row["stop_condition"] == "max_turns_reached"

    def test_in_a_plain_test_beside_rollouts_that_run_ahead(self, debugged: Project) -> None:
        write(debugged, REWARD.replace("breakpoint()", "pass"))
        debugged.pytester.makepyfile(
            """
            def test_plain():
                where = "in the test"
                breakpoint()
                where = "further on"
            """
        )
        name = "test_in_a_plain_test_beside_rollouts_that_run_ahead.py"
        child = spawn(debugged, name, "--evals-max-concurrent=1")
        child.expect(r"ahead\.py\(\d\)test_plain\(\)")
        say(child, "p where", "'in the test'")
        say(child, "c", "4 passed")
        assert finish(child)[1] == 0


class TestPostMortem:
    def test_opens_in_the_reward_function(self, debugged: Project) -> None:
        write(debugged, BROKEN)
        child = spawn(debugged, "--pdb")
        child.expect("ValueError: a bug")
        child.expect("entering PDB")
        child.expect(r"env\.py\(6\)broken\(\)")
        say(child, "p local", "'found me'")
        say(child, "c", "gate-error_rate: no prompt: a gate judges figures")
        child.expect("1 failed, 1 error")
        output, code = finish(child)
        assert code == 1
        assert "(Pdb)" not in output

    def test_opens_where_the_environment_asked_what_failed(self, debugged: Project) -> None:
        write(
            debugged,
            """
            import pytest_evals as vf

            async def judged(prompt, completion, answer, state, judge):
                local = "found me"
                await judge(prompt, completion, answer, state)

            def load_environment():
                from openai import AsyncOpenAI

                client = AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="x", max_retries=0)
                rubric = vf.JudgeRubric(judge_client=client, judge_model="judge")
                rubric.add_reward_func(judged)
                return vf.SingleTurnEnv(dataset=[{"question": "q", "answer": "a"}], rubric=rubric)
            """,
        )
        child = spawn(debugged, "--pdb")
        child.expect(r"env\.py\(6\)judged\(\)")
        say(child, "p local", "'found me'")
        say(child, "q", "Quitting debugger")
        assert finish(child)[1] == 2

    def test_asks_nothing_where_no_code_of_the_user_ran(
        self, project: Project, impatient: None
    ) -> None:
        write(project, REWARD, "num_examples = 1")
        result = project.run("bench.toml", "--pdb")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["evals: bench.toml::env::0-r0: no prompt: no code of yours*"])
        result.stdout.fnmatch_lines(["evals: bench.toml::env::gate-error_rate: no prompt: a gate*"])
        assert "entering PDB" not in result.stdout.str()

    def test_opens_in_an_environment_that_does_not_load(self, debugged: Project) -> None:
        write(debugged, "def load_environment():\n    local = 'found me'\n    return 1 / 0\n")
        child = spawn(debugged, "--pdb")
        child.expect(r"env\.py\(3\)load_environment\(\)")
        say(child, "p local", "'found me'")
        say(child, "c", "1 error")
        assert finish(child)[1] == 1

    def test_asks_nothing_about_a_mistake_in_a_file(self, debugged: Project) -> None:
        write(debugged, REWARD, "num_exampels = 1")
        result = debugged.run("bench.toml", "--pdb")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["evals: bench.toml: no prompt: no code of yours*"])

    def test_opens_in_a_hook(self, debugged: Project) -> None:
        write(debugged, HOOK.replace("breakpoint()", "raise LookupError(reply)"))
        child = spawn(debugged, "--pdb")
        child.expect(r"env\.py\(7\)env_response\(\)")
        say(child, "p reply", "'go on'")
        say(child, "q", "Quitting debugger")
        assert finish(child)[1] == 2


class TestTrace:
    def test_stops_in_the_first_function_of_each_rollout(self, debugged: Project) -> None:
        write(debugged, REWARD.replace("breakpoint()", "pass"))
        child = spawn(debugged, "--trace")
        child.expect(r"env\.py\(5\)correct\(\)")
        say(child, "p answer", "'a0'")
        say(child, "c", r"env\.py\(5\)correct\(\)")
        say(child, "p answer", "'a1'")
        say(child, "c", "3 passed")
        assert finish(child)[1] == 0

    @pytest.mark.parametrize(
        ("source", "place"),
        [(HOOK, r"env\.py\(6\)env_response"), (BROKEN, r"env\.py\(5\)broken")],
        ids=["hook", "async-reward"],
    )
    def test_stops_in_coroutines(self, debugged: Project, source: str, place: str) -> None:
        write(debugged, source.replace("breakpoint()", "pass"))
        child = spawn(debugged, "--trace")
        child.expect(place)
        say(child, "q", "Quitting debugger")
        assert finish(child)[1] == 2

    def test_runs_on_where_no_function_is_the_users(self, debugged: Project) -> None:
        write(
            debugged,
            """
            import pytest_evals as vf

            def load_environment():
                return vf.SingleTurnEnv(dataset=[{"question": "q0"}], rubric=vf.Rubric())
            """,
        )
        result = debugged.run("bench.toml", "--trace")
        assert result.ret == 0
        assert "PDB" not in result.stdout.str()


def test_ctrl_c_ends_a_rollout_that_waits(debugged: Project) -> None:
    write(
        debugged,
        """
        import asyncio
        import pytest_evals as vf

        class Waits(vf.SingleTurnEnv):
            async def setup_state(self, state):
                print("waiting", flush=True)
                try:
                    await asyncio.Event().wait()
                finally:
                    print("ended", flush=True)

        def load_environment():
            return Waits(dataset=[{"question": "q0"}], rubric=vf.Rubric(funcs=[lambda: 1.0]))
        """,
    )
    child = spawn(debugged, "--evals-sequential", "-s")
    child.expect("waiting")
    child.sendintr()
    child.expect("ended")
    child.expect("KeyboardInterrupt")
    output, code = finish(child)
    assert code == 2
    assert "INTERNALERROR" not in output


class TestWithoutADebugger:
    def test_items_run_in_order_and_hold_what_their_rollouts_print(self, debugged: Project) -> None:
        write(
            debugged,
            """
            import pytest_evals as vf

            class Prints(vf.SingleTurnEnv):
                async def setup_state(self, state):
                    print("setting up", state["example_id"])
                    return state

            def correct(example_id):
                print("scoring", example_id)
                return 1.0

            def load_environment():
                rows = [{"question": f"q{n}"} for n in range(3)]
                return Prints(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
            """,
        )
        result = debugged.run("bench.toml", "--evals-sequential", "-v", "-rP")
        assert result.ret == 0
        result.stdout.fnmatch_lines(
            ["evals: *one at a time*"]
            + [f"bench.toml::env::{n}-r0 SCORED 1*" for n in range(3)]
            + ["bench.toml::env::gate-error_rate GATE PASSED*"]
        )
        for n in range(3):
            result.stdout.fnmatch_lines(
                [f"* env::{n}-r0 *", "*Captured stdout setup*", f"setting up {n}", f"scoring {n}"]
            )
        assert not list(debugged.path.glob("outputs/evals/*/*/run.log"))

    def test_a_group_is_rolled_out_when_its_first_item_asks(self, debugged: Project) -> None:
        write(
            debugged,
            """
            import pytest_evals as vf

            def ranked(completions) -> list[float]:
                print("ranking", len(completions))
                return [float(n) for n in range(len(completions))]

            def load_environment():
                rows = [{"question": "q0"}, {"question": "q1"}]
                return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[ranked]))
            """,
        )
        text = (debugged.path / "bench.toml").read_text()
        (debugged.path / "bench.toml").write_text(text.replace("example = 1", "example = 3"))
        result = debugged.run("bench.toml", "--evals-sequential", "-v", "-rP")
        assert result.ret == 0
        result.stdout.fnmatch_lines(
            [
                f"bench.toml::env::{example}-r{rollout} SCORED {rollout}*"
                for example in range(2)
                for rollout in range(3)
            ]
        )
        assert result.stdout.str().count("ranking 3") == 2
        assert {row["state"] for row in debugged.rows()} == {"scored"}

    def test_part_of_a_group_is_incomplete(self, debugged: Project) -> None:
        write(
            debugged,
            """
            import pytest_evals as vf

            def ranked(completions) -> list[float]:
                return [1.0 for _ in completions]

            def load_environment():
                return vf.SingleTurnEnv(dataset=[{"question": "q0"}],
                                        rubric=vf.Rubric(funcs=[ranked]))
            """,
        )
        text = (debugged.path / "bench.toml").read_text()
        (debugged.path / "bench.toml").write_text(text.replace("example = 1", "example = 3"))
        result = debugged.run("bench.toml", "--evals-sequential", "-k", "not r1")
        assert result.ret == 1
        result.stdout.fnmatch_lines(["*group is incomplete: 2 of 3*"])

    def test_x_stops_it(self, debugged: Project) -> None:
        write(debugged, BROKEN.replace('"q0"}]', '"q0"}, {"question": "q1"}]'))
        result = debugged.run("bench.toml", "--evals-sequential", "-x")
        assert result.ret == 1
        result.assert_outcomes(errors=1)
        assert len(debugged.rows()) == 1

    def test_rewards_that_block_are_not_counted(self, debugged: Project) -> None:
        write(
            debugged,
            """
            import time
            import pytest_evals as vf

            def slow():
                time.sleep(0.12)
                return 1.0

            def load_environment():
                return vf.SingleTurnEnv(dataset=[{"question": "q"}], rubric=vf.Rubric(funcs=[slow]))
            """,
        )
        result = debugged.run("bench.toml", "--evals-sequential")
        assert result.ret == 0
        assert "slow reward" not in result.stdout.str()


class TestBreakpointInTheBackground:
    @pytest.mark.parametrize("source", [REWARD, HOOK, TOOL], ids=["reward", "hook", "tool"])
    def test_is_refused_with_a_hint(self, debugged: Project, source: str) -> None:
        write(debugged, source, "num_examples = 1")
        result = debugged.run("bench.toml", "--evals-max-concurrent=1")
        assert result.ret == 1
        result.assert_outcomes(errors=1, failed=1)
        result.stdout.fnmatch_lines(["*a breakpoint in a rollout: * --evals-sequential*"])
        result.stdout.fnmatch_lines(["    breakpoint()"])
        assert "PDB" not in result.stdout.str()
        assert [row["state"] for row in debugged.rows()] == ["broken"]


def test_nothing_is_left_open_where_nothing_runs(debugged: Project) -> None:
    write(debugged, REWARD)
    result = debugged.run("bench.toml", "--evals-sequential", "--collect-only", "-Werror")
    assert result.ret == 0
    assert "ResourceWarning" not in result.stdout.str()
