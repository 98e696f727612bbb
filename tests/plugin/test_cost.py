"""What rollouts cost: in rows, reports and gates, and nowhere where a price is not known."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.engine import retrying
from pytest_evals.engine.account import stored_cost

from .conftest import Project

EVAL = '[[eval]]\nenv_id = "sums"\nrollouts_per_example = 2\n'
PRICES = '[[price]]\nmodel = "demo-small"\ninput_price = 10\noutput_price = 1000\n'


@pytest.fixture
def priced(project: Project) -> Project:
    """A project with a table of prices, named in the ini file."""
    (project.path / "money").mkdir()
    (project.path / "money" / "prices.toml").write_text(PRICES)
    project.pytester.makeini("[pytest]\nevals_prices = money/prices.toml\n")
    return project


@pytest.mark.workers
def test_the_cost_of_rows_is_that_of_the_run(priced: Project, url: str) -> None:
    priced.evals(EVAL + 'gates = ["cost_usd <= 1", "cost_usd > 0"]\n', url=url)
    result = priced.run("bench.toml", "--junitxml=out.xml")
    result.assert_outcomes(passed=11)
    total = 0.0
    for row in priced.rows():
        usage = row["token_usage"]
        assert row["cost"]["input_usd"] == pytest.approx(usage["input_tokens"] * 10e-6)
        assert row["cost"]["output_usd"] == pytest.approx(usage["output_tokens"] * 1000e-6)
        assert row["cost"]["total_usd"] == pytest.approx(
            row["cost"]["input_usd"] + row["cost"]["output_usd"]
        )
        total += row["cost"]["total_usd"]
    assert total > 0
    assert priced.metadata()["cost"]["total_usd"] == pytest.approx(total)
    assert priced.metadata()["gates"][0]["value"] == pytest.approx(total / 8)
    result.stdout.fnmatch_lines(["eval * cost *", f"sums * ${total:.4f} *"])
    assert 'name="evals.cost_usd"' in (priced.path / "out.xml").read_text()


def test_a_cost_that_is_not_known_is_told_nowhere(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    result = project.run("bench.toml")
    result.assert_outcomes(passed=9)
    assert "cost" not in project.rows()[0]
    assert project.metadata()["cost"] is None
    result.stdout.no_fnmatch_line("eval * cost *")


@pytest.mark.workers
def test_a_gate_on_a_cost_that_is_not_known(project: Project) -> None:
    with DemoServer() as server:
        path = project.evals(EVAL + 'gates = [\n  "cost_usd <= 1",\n]\n', url=server.url)
        result = project.run("bench.toml")
        assert server.requests == 0
    assert result.ret == 1
    line = path.read_text().split("\n").index('  "cost_usd <= 1",') + 1
    result.stdout.fnmatch_lines(
        [f"*bench.toml:{line}: gate 'cost_usd <= 1': the price of model 'demo-small' is not known*"]
    )


@pytest.mark.workers
def test_a_table_that_cannot_be_used_is_one_error(priced: Project, url: str) -> None:
    (priced.path / "money" / "prices.toml").write_text(PRICES.replace("1000", "-1"))
    priced.evals(EVAL + EVAL + 'name = "two"\n', url=url)
    result = priced.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*prices.toml:1: *'output_price' must be USD per million tokens*"])
    assert result.parseoutcomes()["errors"] == 1
    other = priced.run("bench.toml", "--evals-prices=none.toml")
    other.stdout.fnmatch_lines(["*none.toml: the table of prices does not exist*"])


def test_what_the_cache_knows_has_its_price_and_is_not_paid(priced: Project) -> None:
    args = ("bench.toml", "--evals-cache=read-write")
    with DemoServer() as server:
        priced.evals(EVAL + 'gates = ["cost_usd <= 1"]\n', url=server.url)
        priced.run(*args, "--evals-num-examples=2").assert_outcomes(passed=6)
        priced.run(*args, "--evals-num-examples=3").assert_outcomes(passed=8)
    first, second = priced.runs()
    rows = priced.rows(second)
    costs = [row["cost"]["total_usd"] for row in rows]
    assert all(costs)
    assert [row["paid"]["total_usd"] for row in rows[:4]] == [0.0] * 4
    assert not any("paid" in row for row in rows[4:])
    assert priced.metadata(second)["cost"]["total_usd"] == pytest.approx(sum(costs))
    assert priced.metadata(second)["paid"]["total_usd"] == pytest.approx(sum(costs[4:]))
    assert priced.metadata(first)["cost"] == priced.metadata(first)["paid"]
    assert priced.metadata(first)["usage"] is not None
    assert priced.metadata(second)["usage"] is not None


def test_the_price_of_the_registry_comes_first(priced: Project, url: str) -> None:
    (priced.path / "configs").mkdir()
    (priced.path / "configs" / "endpoints.toml").write_text(
        f'[[endpoint]]\nendpoint_id = "free"\nmodel = "demo-small"\nurl = "{url}"\n'
        "input_price = 0\noutput_price = 0\n"
    )
    priced.evals(EVAL + 'endpoint_id = "free"\ngates = ["cost_usd <= 0"]\n')
    result = priced.run("bench.toml")
    result.assert_outcomes(passed=10)
    assert priced.metadata()["cost"] == {"input_usd": 0, "output_usd": 0, "total_usd": 0}
    result.stdout.fnmatch_lines(["sums * $0.0000 *"])


def test_a_function_has_no_cost(project: Project) -> None:
    project.pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.evals(gates=["cost_usd <= 1"])
        def test_it():
            pass
        """
    )
    result = project.run("test_it.py")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*an eval that is a test function has no 'cost_usd'*"])


def test_a_run_that_began_without_prices(priced: Project) -> None:
    no_prices = priced.path / "none.toml"
    no_prices.write_text("")
    with DemoServer() as server:
        path = priced.evals(EVAL, url=server.url)
        args = ("bench.toml", "--evals-resume", "--evals-max-concurrent=1")
        first = priced.run(*args, f"--evals-prices={no_prices}", "--evals-max-tokens-total=30")
        assert first.ret == 1
        path.write_text(path.read_text() + 'gates = ["cost_usd <= 1"]\n')
        second = priced.run(*args)
    assert second.ret == 1
    second.stdout.fnmatch_lines(
        ["*cost_usd <= 1 undecided: the cost of * of 8 scored rollouts is not known*"]
    )
    assert 0 < sum("cost" in row for row in priced.rows()) < 8
    assert priced.metadata()["cost"] is None


def test_a_replay_does_not_turn_gates_green(priced: Project) -> None:
    with DemoServer() as server:
        priced.evals(
            EVAL + 'gates = ["cost_usd <= 0.001", "latency.mean <= 100"]\n', url=server.url
        )
        first = priced.run("bench.toml", "--evals-cache=read-write")
    first.assert_outcomes(passed=10, failed=1)
    second = priced.run("bench.toml", "--evals-cache=read")
    second.assert_outcomes(passed=9, failed=2)
    second.stdout.fnmatch_lines(
        ["*cost_usd * > 0.001 *", "*latency.mean <= 100 undecided: the response cache answered*"]
    )


FAILS_ONCE = """
    import pytest_evals as vf

    TRIES = []

    class Fails(vf.MultiTurnEnv):
        async def env_response(self, messages, state):
            TRIES.append(1)
            if len(TRIES) == 1:
                raise vf.SandboxError("once")
            return [vf.UserMessage(content="And what is 2 + 2?")]

    def load_environment():
        rows = [{"question": "What is 1 + 1?", "answer": "2"}]
        return Fails(dataset=rows, max_turns=2, rubric=vf.Rubric(funcs=[lambda completion: 1.0]))
"""


@pytest.mark.parametrize("cache", ["off", "read-write"])
def test_what_a_try_that_failed_cost(
    priced: Project, monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    monkeypatch.setattr(retrying, "_FIRST_WAIT", 0.0)
    priced.environment("fails", FAILS_ONCE)
    with DemoServer() as server:
        priced.evals(
            '[[eval]]\nenv_id = "fails"\nrollouts_per_example = 1\nmax_retries = 1\n',
            url=server.url,
        )
        result = priced.run("bench.toml", f"--evals-cache={cache}")
        asked = server.requests
    assert result.ret == 0, result.stdout.str()
    (row,) = priced.rows()
    assert len(row["retries"]) == 1
    assert asked == (3 if cache == "off" else 2)
    assert "from_cache" not in row  # its own first answer was not known before
    usage, cost = row["token_usage"], row["cost"]
    assert usage["input_tokens"] > usage["final_input_tokens"]
    assert cost["input_usd"] == pytest.approx(usage["input_tokens"] * 10e-6)
    assert ("paid" in row) == (cache != "off")
    paid = row.get("paid", cost)
    assert 0 < paid["total_usd"] <= cost["total_usd"]
    assert priced.metadata()["cost"] == cost
    assert priced.metadata()["paid"] == paid


JUDGED = """
    import pathlib
    import pytest_evals as vf

    async def judged(completion):
        if not pathlib.Path("judge-is-up").exists():
            raise vf.JudgeError("judge is down")
        return 1.0

    def load_environment():
        rows = [{"question": "What is 1 + 1?", "answer": "2"}]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[judged]))
"""


def test_a_rollout_that_was_only_scored_has_its_cost(priced: Project) -> None:
    priced.environment("judged", JUDGED)
    with DemoServer() as server:
        priced.evals('[[eval]]\nenv_id = "judged"\nrollouts_per_example = 1\n', url=server.url)
        assert priced.run("bench.toml", "--evals-resume").ret == 1
        (priced.path / "judge-is-up").touch()
        result = priced.run("bench.toml", "--evals-resume", "--junitxml=out.xml")
        assert server.requests == 1
    assert result.ret == 0
    (row,) = priced.rows()
    cost = row["cost"]["total_usd"]
    assert cost > 0
    text = (priced.path / "out.xml").read_text()
    assert f'name="evals.cost_usd" value="{cost}"' in text


@pytest.mark.parametrize("cost", ["null", "3", '{"total_usd": "x"}', "{}"])
def test_a_stored_cost_that_is_none(cost: str) -> None:
    assert stored_cost(f'{{"cost": {cost}}}') is None
    assert stored_cost('{"cost": {"total_usd": 2}}') == 2.0
