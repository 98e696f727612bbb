"""Sessions with a budget: what starts, what is said, and that nothing of it is green."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.plugin.budget import SessionBudget

from .conftest import Project

EVAL = """
[[eval]]
env_id = "sums"
rollouts_per_example = 2
num_examples = 20
env_args = { examples = 20 }
"""
PRICES = '[[price]]\nmodel = "demo-small"\ninput_price = 0\noutput_price = 1000000\n'
# One that is done before the other one begins.
TWO = """
[[eval]]
env_id = "sums"
name = "first"
num_examples = 2
rollouts_per_example = 2
gates = ["reward >= 0"]

[[eval]]
env_id = "sums"
name = "second"
env_args = { examples = 20 }
num_examples = 20
rollouts_per_example = 2
gates = ["reward >= 0"]
"""


def tokens(row: dict[str, Any]) -> int:
    """Return the tokens of a row."""
    usage = row["token_usage"]
    return int(usage["input_tokens"] + usage["output_tokens"])


def tokens_of(project: Project) -> int:
    """Return the tokens in all rows."""
    return sum(tokens(row) for folder in project.runs() for row in project.rows(folder))


@pytest.mark.workers
def test_nothing_starts_once_the_tokens_are_used(project: Project) -> None:
    with DemoServer() as server:
        project.evals(EVAL, url=server.url)
        result = project.run(
            "bench.toml", "--evals-max-tokens-total=100", "--evals-max-concurrent=4", "-rs",
            "--junitxml=out.xml",
        )  # fmt: skip
        asked = server.requests
    rows = project.rows()
    assert len(rows) == asked < 40
    assert {row["state"] for row in rows} == {"scored"}
    # What was in flight when it was spent went on.
    assert tokens_of(project) >= 100
    per_rollout = max(
        sum(row["token_usage"][key] for key in ("input_tokens", "output_tokens")) for row in rows
    )
    assert tokens_of(project) <= 100 + 8 * per_rollout
    left = 40 - asked
    assert result.ret == 1
    result.stdout.fnmatch_lines(["go on: pytest * bench.toml *=100 * --evals-resume"])
    result.assert_outcomes(passed=asked, skipped=left, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*evals: budget of the session: max_tokens_total = 100*",
            "*SKIPPED*not started: max_tokens_total = 100 is spent (*",
            "sums * INCONCLUSIVE, not gated",
            f"budget: max_tokens_total = 100 is spent (* used by then): {left} rollouts of sums not"
            f" started; {tokens_of(project)} tokens used in all",
        ]
    )
    metadata = project.metadata()
    assert metadata["verdict"] == "inconclusive"
    assert metadata["states"]["missing"] == metadata["not_started"] == left
    assert metadata["stopped_by"].startswith("max_tokens_total = 100 is spent")
    (gate,) = metadata["gates"]
    assert gate["outcome"] == "inconclusive"
    assert "max_tokens_total = 100 is spent" in gate["reason"]
    suite = next(ET.parse(project.path / "out.xml").iter("testsuite"))
    assert (suite.get("skipped"), suite.get("failures")) == (str(left), "1")
    states = [p.get("value") for p in suite.iter("property") if p.get("name") == "evals.state"]
    assert states.count("missing") == left
    assert states.count("scored") == asked


@pytest.mark.workers
def test_a_finished_eval_keeps_its_verdict(project: Project, url: str) -> None:
    project.evals("max_tokens_total = 350\n" + TWO, url=url)
    result = project.run("bench.toml", "--evals-max-concurrent=2")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["first * passed", "second * INCONCLUSIVE"])
    first, second = sorted(project.runs(), key=lambda folder: folder.parent.name)
    assert project.metadata(first)["verdict"] == "passed"
    assert project.metadata(first)["stopped_by"] is None
    assert project.metadata(second)["verdict"] == "inconclusive"
    assert result.parseoutcomes()["failed"] == 2


ONE = '[[eval]]\nenv_id = "sums"\nnum_examples = 1\nrollouts_per_example = 1\n'


@pytest.mark.workers
@pytest.mark.parametrize("sequential", [False, True])
def test_what_was_all_in_flight_is_judged_and_not_green(
    project: Project, url: str, sequential: bool
) -> None:
    more = ["--evals-sequential"] if sequential else []
    if sequential and "-n" in project.plugin_args:
        pytest.skip("one or the other")
    project.evals("max_tokens_total = 1\n" + ONE + 'gates = ["reward >= 0"]', url=url)
    result = project.run("bench.toml", "--junitxml=out.xml", *more)
    assert result.ret == 1
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        [
            "FAILED bench.toml::budget of the session - max_tokens_total = 1 is spent (*",
            "sums * passed",
            "budget: max_tokens_total = 1 is spent (14 used by then): all rollouts of sums had"
            " started; 14 tokens used in all",
        ]
    )
    result.stdout.no_fnmatch_line("*not started*")
    metadata = project.metadata()
    assert metadata["verdict"] == "passed"
    assert metadata["not_started"] == 0
    assert metadata["stopped_by"].startswith("max_tokens_total = 1 is spent")
    suite = next(ET.parse(project.path / "out.xml").iter("testsuite"))
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    # What is left to do is to judge it within a budget, and nothing is asked again.
    project.evals(ONE + 'gates = ["reward >= 0"]', url=url)
    again = project.run("bench.toml", "--lf", *more)
    assert again.ret == 0, again.stdout.str()
    assert len(project.runs()) == 1


@pytest.mark.workers
def test_a_server_that_counts_nothing_is_not_green(project: Project) -> None:
    project.pytester.makeconftest(UNCOUNTED.replace("self.asked == 2", "True"))
    project.evals(ONE, url="http://127.0.0.1:9/v1")
    result = project.run("bench.toml", "--evals-max-tokens-total=1000")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "budget: max_tokens_total = 1000 cannot be kept: the server counted no tokens in 1 of"
            " 1 answers: all rollouts of sums had started*",
        ]
    )
    assert "cannot be kept" in project.metadata()["stopped_by"]


def test_time_that_ends_while_all_is_in_flight(project: Project) -> None:
    with DemoServer(latency=0.6) as server:
        project.evals(EVAL, url=server.url)
        result = project.run("bench.toml", "--evals-max-duration=0.3", "--evals-max-concurrent=40")
    assert result.ret == 1
    result.assert_outcomes(passed=41, failed=1)
    assert project.metadata()["stopped_by"].startswith("max_duration = 0.3 is over")


def test_time_that_ends_once_nothing_is_in_flight(project: Project, url: str) -> None:
    project.evals(ONE, url=url)
    # Plain tests run before what has ended reports; this one ends after the budget.
    project.pytester.makepyfile(
        test_plain="""
        import threading

        def test_plain():
            for thread in threading.enumerate():
                if thread.name == "pytest-evals-budget":
                    thread.join()
        """
    )
    result = project.run("bench.toml", "test_plain.py", "--evals-max-duration=1.5")
    assert result.ret == 0, result.stdout.str()
    assert project.metadata()["stopped_by"] is None


def test_an_eval_of_which_nothing_started_is_inconclusive(project: Project, url: str) -> None:
    project.evals("max_tokens_total = 1\n" + TWO, url=url)
    result = project.run("bench.toml", "--evals-max-concurrent=1")
    assert result.ret == 1
    second = next(run for run in project.runs() if run.parent.name.startswith("second"))
    assert project.metadata(second)["states"]["missing"] == 40
    assert not (second / "results.jsonl").exists()
    assert project.metadata(second)["verdict"] == "inconclusive"
    assert all(gate["outcome"] == "inconclusive" for gate in project.metadata(second)["gates"])


@pytest.mark.workers
def test_what_answers_cost(project: Project, url: str) -> None:
    (project.path / "prices.toml").write_text(PRICES)
    project.evals(EVAL, url=url)
    result = project.run(
        "bench.toml", "--evals-prices=prices.toml", "--evals-max-cost-usd=20",
        "--evals-max-concurrent=2",
    )  # fmt: skip
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["budget: max_cost_usd = 20 is spent (* USD used by then): *; * USD used in all"]
    )
    assert project.metadata()["cost"]["total_usd"] >= 20
    assert 0 < len(project.rows()) < 40


@pytest.mark.workers
def test_a_cost_budget_on_an_unknown_price(project: Project) -> None:
    with DemoServer() as server:
        path = project.evals("max_cost_usd = 3\n" + EVAL, url=server.url)
        result = project.run("bench.toml")
        assert server.requests == 0
    assert result.ret == 1
    line = path.read_text().split("\n").index("max_cost_usd = 3") + 1
    result.stdout.fnmatch_lines(
        [f"*bench.toml:{line}: max_cost_usd = 3: the price of model 'demo-small' is not known*"]
    )
    assert not project.runs()


@pytest.mark.workers
def test_after_its_time_nothing_starts(project: Project) -> None:
    # Each answer takes half of the time that the session has.
    with DemoServer(latency=0.3) as server:
        project.evals(EVAL, url=server.url)
        result = project.run("bench.toml", "--evals-max-duration=0.6", "--evals-max-concurrent=4")
        asked = server.requests
    (folder,) = project.runs()
    # Where workers take long to begin, nothing starts in time.
    rows = project.rows(folder) if (folder / "results.jsonl").exists() else []
    assert len(rows) == asked < 40
    assert all(row["state"] == "scored" for row in rows)
    assert project.metadata(folder)["not_started"] == 40 - asked
    assert result.ret == 1
    result.stdout.fnmatch_lines(["budget: max_duration = 0.6 is over (* s): *"])


@pytest.mark.workers
def test_its_time_begins_once_the_servers_run(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "endpoints.toml").write_text(
        '[[endpoint]]\nendpoint_id = "m"\nmodel = "demo-small"\nserve = "{python} served.py {port}"'
    )
    (project.path / "served.py").write_text(
        "import runpy, sys\n"
        "open('serving', 'w').close()\n"
        "sys.argv = ['demo', '--port', sys.argv[1]]\n"
        "runpy.run_module('pytest_evals.demo', run_name='__main__')\n"
    )
    start, serving = SessionBudget.start, []

    def note(budget: SessionBudget, *args: Any) -> None:
        serving.append((project.path / "serving").exists())
        start(budget, *args)

    monkeypatch.setattr(SessionBudget, "start", note)
    project.evals('endpoint_id = "m"\nendpoints_path = "endpoints.toml"\n' + EVAL)
    assert project.run("bench.toml", "--evals-max-duration=1000").ret == 0
    assert serving == [True]


def test_one_rollout_at_a_time(project: Project, url: str) -> None:
    project.evals("max_tokens_total = 30\n" + EVAL, url=url)
    result = project.run("bench.toml", "--evals-sequential")
    assert result.ret == 1
    rows = project.rows()
    assert 30 <= tokens_of(project) <= 30 + max(map(tokens, rows))
    result.assert_outcomes(passed=len(rows), skipped=40 - len(rows), failed=1)


def test_a_budget_that_is_not_spent_changes_nothing(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    limits = ("--evals-max-tokens-total=1000000", "--evals-max-duration=1000")
    result = project.run("bench.toml", *limits)
    result.assert_outcomes(passed=41)
    assert project.metadata()["not_started"] == 0
    assert project.metadata()["stopped_by"] is None
    result.stdout.no_fnmatch_line("budget: *")


GROUPED = """
    import pytest_evals as vf

    def ranks(completions):
        return [1.0 for _ in completions]

    def load_environment():
        rows = [{"question": f"What is {n} + {n}?", "answer": "0"} for n in range(20)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[ranks]))
"""


def test_groups_that_lack_members_wait_for_them(project: Project, url: str) -> None:
    project.environment("grouped", GROUPED)
    project.evals('[[eval]]\nenv_id = "grouped"\nrollouts_per_example = 3\n', url=url)
    result = project.run("bench.toml", "--evals-max-tokens-total=40", "--evals-max-concurrent=1")
    assert result.ret == 1
    outcomes = result.parseoutcomes()
    assert "errors" not in outcomes
    states = [row["state"] for row in project.rows()]
    assert set(states) <= {"scored", "generated"}
    assert outcomes["skipped"] == 15 - states.count("scored")
    assert project.metadata()["verdict"] == "inconclusive"


BREAKS = """
    import pytest_evals as vf

    class Breaks(vf.SingleTurnEnv):
        async def rollout(self, input, client, model, sampling_args=None):
            await super().rollout(input, client, model, sampling_args)
            raise KeyError("lost")

    def load_environment():
        rows = [{"question": f"What is {n} + {n}?", "answer": "0"} for n in range(20)]
        return Breaks(dataset=rows, rubric=vf.Rubric(funcs=[lambda completion: 1.0]))
"""


@pytest.mark.workers
def test_answers_of_broken_rollouts_count(project: Project, url: str) -> None:
    project.environment("breaks", BREAKS)
    project.evals('[[eval]]\nenv_id = "breaks"\nnum_examples = 20\n', url=url)
    result = project.run("bench.toml", "--evals-max-tokens-total=60", "--evals-max-concurrent=2")
    assert result.ret == 1
    assert result.parseoutcomes()["skipped"] > 30
    assert {row["state"] for row in project.rows()} == {"broken"}


OWN_CLIENT = """
    import pytest_evals as vf
    from pytest_evals.messages import AssistantMessage

    class Own(vf.SingleTurnEnv):
        async def rollout(self, input, client, model, sampling_args=None):
            state = await self.init_state(input, client, model, sampling_args)
            state["completion"] = [AssistantMessage(content="0")]
            self.increment_state_usage(state, 10, 10)
            state.stop("done")
            return state

    def load_environment():
        rows = [{"question": f"What is {n} + {n}?", "answer": "0"} for n in range(20)]
        return Own(dataset=rows, rubric=vf.Rubric(funcs=[lambda completion: 1.0]))
"""


def test_what_an_environment_counts_itself(project: Project, url: str) -> None:
    project.environment("own", OWN_CLIENT)
    project.evals('[[eval]]\nenv_id = "own"\nnum_examples = 20\n', url=url)
    result = project.run("bench.toml", "--evals-max-tokens-total=60", "--evals-max-concurrent=1")
    assert result.ret == 1
    assert len(project.rows()) == 3


def test_answers_of_the_cache_are_free(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    project.run("bench.toml", "--evals-cache=read-write").assert_outcomes(passed=41)
    result = project.run("bench.toml", "--evals-cache=read-write", "--evals-max-tokens-total=1")
    result.assert_outcomes(passed=41)


def test_a_partial_run_is_not_green_either(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    result = project.run(
        "bench.toml", "-k", "r0", "--evals-partial", "--evals-max-tokens-total=1",
        "--evals-max-concurrent=1",
    )  # fmt: skip
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*rollouts were not started*"])


def test_hooks_hear_of_what_began_only(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        """
        seen = []

        def pytest_evals_rollout_complete(result):
            seen.append(result.outcome)

        def pytest_unconfigure():
            print("seen", set(seen))
        """
    )
    project.evals("max_tokens_total = 1\n" + EVAL, url=url)
    result = project.run("bench.toml")
    result.stdout.fnmatch_lines(["seen {'scored'}"])


class TestLevels:
    """Which limit counts."""

    def words(self, project: Project, *args: str) -> str:
        result = project.run("bench.toml", "--collect-only", *args)
        lines = [line for line in result.outlines if "budget of the session" in line]
        return lines[0].partition("budget of the session: ")[2] if lines else ""

    def test_the_smallest_counts_and_set_beats_all(self, project: Project, url: str) -> None:
        project.evals("max_tokens_total = 50\nmax_duration = 7.5\n" + EVAL, url=url)
        ini = "[pytest]\nevals_max_tokens_total = 40\nevals_max_duration = 90\n"
        project.pytester.makeini(ini)
        assert self.words(project) == "max_tokens_total = 40, max_duration = 7.5"
        assert self.words(project, "--evals-max-tokens-total=30").startswith(
            "max_tokens_total = 30,"
        )
        assert self.words(project, "--evals-max-tokens-total=60").startswith(
            "max_tokens_total = 40,"
        )
        assert self.words(project, "--evals-set", "max_tokens_total=99") == (
            "max_tokens_total = 99, max_duration = 7.5"
        )

    def test_no_budget_is_no_word(self, project: Project, url: str) -> None:
        project.evals(EVAL, url=url)
        assert self.words(project) == ""

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("max_cost_usd = 0", "greater than 0"),
            ('max_cost_usd = "5"', "must be a number"),
            ("max_cost_usd = inf", "finite number"),
            ("max_tokens_total = 0", "at least 1"),
            ("max_tokens_total = 1.5", "must be an integer"),
            ("max_duration = -1", "greater than 0"),
            ("max_duration = nan", "finite number"),
        ],
    )
    def test_values_of_a_file(self, project: Project, text: str, says: str) -> None:
        project.evals(f"{text}\n{EVAL}")
        result = project.run("bench.toml")
        assert result.ret == 1
        result.stdout.fnmatch_lines([f"*bench.toml:1: {text.split()[0]}*{says}*"])

    @pytest.mark.parametrize("block", ["eval", "ablation"])
    def test_it_is_no_key_of_a_block(self, project: Project, block: str) -> None:
        sweep = "sweep.temperature = [0, 1]\n" if block == "ablation" else ""
        project.evals(f'[[{block}]]\nenv_id = "sums"\nmax_duration = 5\n{sweep}')
        result = project.run("bench.toml")
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            ["*bench.toml:3: *max_duration*belongs at the top of the file*"]
        )

    @pytest.mark.parametrize("name", ["max-cost-usd", "max-tokens-total", "max-duration"])
    @pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "x", "1e999"])
    def test_values_of_options_and_ini_keys(self, project: Project, name: str, value: str) -> None:
        result = project.run("bench.toml", f"--evals-{name}={value}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*--evals-{name}: must be a*number *"])
        key = f"evals_{name.replace('-', '_')}"
        project.pytester.makeini(f"[pytest]\n{key} = {value}\n")
        result = project.run("bench.toml")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"*ini key {key} must be a*number *"])


def test_functions_cannot_be_counted(project: Project) -> None:
    project.pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.evals(rollouts=3)
        def test_it():
            pass
        """
    )
    result = project.run("test_it.py", "--evals-max-cost-usd=1")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*max_cost_usd = 1: what a test function asks*is not known here*"])
    project.run("test_it.py", "--evals-max-duration=100").assert_outcomes(passed=4)


def test_rollouts_that_wait_to_generate_are_not_started(project: Project) -> None:
    with DemoServer() as server:
        project.evals(EVAL, url=server.url)
        result = project.run(
            "bench.toml", "--evals-max-tokens-total=1", "--evals-max-concurrent=16",
            "--evals-max-concurrent-generation=2",
        )  # fmt: skip
        asked = server.requests
    assert result.ret == 1
    assert 0 < asked <= 4
    states = [row["state"] for row in project.rows()]
    assert states == ["scored"] * asked
    result.assert_outcomes(passed=asked, skipped=40 - asked, failed=1)
    assert project.metadata()["not_started"] == 40 - asked
    assert project.metadata()["stopped_by"].startswith("max_tokens_total = 1 is spent")


UNCOUNTED = """
    from pytest_evals.messages import Message, Response, Usage

    class Carrier:
        asked = 0

        async def get_response(self, prompt, model, sampling_args, tools=None):
            self.asked += 1
            usage = None if self.asked == 2 else Usage(10, 10)
            return Response(Message(role="assistant", content="0"), usage=usage)

        async def close(self):
            pass

    def pytest_evals_make_client(endpoint):
        return Carrier()
"""


@pytest.mark.parametrize(
    ("spent", "ends"), [(60, " (1 answer had no *)"), (20, "not started; 20 tokens used in all")]
)
def test_answers_without_counts_are_told(project: Project, spent: int, ends: str) -> None:
    project.pytester.makeconftest(UNCOUNTED)
    project.evals(EVAL, url="http://127.0.0.1:9/v1")
    result = project.run(
        "bench.toml", f"--evals-max-tokens-total={spent}", "--evals-max-concurrent=1"
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"budget: max_tokens_total = {spent} is spent (*): *{ends}"])
