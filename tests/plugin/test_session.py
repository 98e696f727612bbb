"""A whole session: what is collected, run, kept and shown."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

TWO_EVALS = """
    [[eval]]
    env_id = "sums"
    num_examples = 4
    rollouts_per_example = 3
    gates = ["reward >= 0.1", "pass@2 >= 0.1", "latency.p95 <= 60", "input_tokens <= 1000"]

    [[eval]]
    env_id = "sums"
    name = "again"
    num_examples = 2
    rollouts_per_example = 1
"""


def test_green_run(project: Project, url: str) -> None:
    project.evals(TWO_EVALS, url=url)
    result = project.run("bench.toml")
    assert result.ret == 0
    result.assert_outcomes(passed=12 + 5 + 2 + 1)
    result.stdout.fnmatch_lines(
        [
            "evals: 2 evals, 14 rollouts of demo-small, at most 32 in flight; *outputs/evals",
            "*= evals =*",
            "eval *",
            "sums * 4x3 *passed*",
            "again * 2x1 *passed, not gated*",
            "*20 passed*",
        ]
    )


def test_node_ids(project: Project, url: str) -> None:
    project.evals(TWO_EVALS, url=url)
    result = project.run("bench.toml", "--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "bench.toml::sums::0-r0",
            "bench.toml::sums::0-r1",
            "bench.toml::sums::3-r2",
            "bench.toml::sums::gate-reward",
            "bench.toml::sums::gate-pass-at-2",
            "bench.toml::sums::gate-latency.p95",
            "bench.toml::sums::gate-input_tokens",
            "bench.toml::sums::gate-error_rate",
            "bench.toml::again::0-r0",
            "bench.toml::again::1-r0",
            "bench.toml::again::gate-error_rate",
        ]
    )
    assert not (project.path / "outputs").exists()


def test_red_gate_says_what_it_judged_first(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 1.5"]', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.re_match_lines(
        [
            r"FAILED bench.toml::sums::gate-reward - reward [\d.]+ < 1.5 \(se .*, 4 examples x 3"
            r" rollouts, 12 of 12 scored, .*\)",
            r"sums .* FAILED",
        ]
    )
    assert project.metadata()["verdict"] == "failed"


def test_results_hold_one_scored_row_per_rollout(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\npass_threshold = 0.5', url=url)
    assert project.run("bench.toml").ret == 0
    rows = project.rows()
    assert [(row["example_id"], row["rollout"]) for row in rows] == [
        (example, rollout) for example in range(4) for rollout in range(3)
    ]
    for row in rows:
        assert row["state"] == "scored"
        assert row["correct"] is (row["reward"] >= 0.5)
        assert row["metrics"]["correct"] == row["reward"]
        assert row["served_model"] == "demo-small-2026-01"
        assert row["token_usage"]["input_tokens"] > 0
        assert row["completion"][0]["content"] == row["prediction"]
        assert row["timing"]["total"] >= 0


def test_metadata_agrees_with_the_rows(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\nmax_tokens = 50', url=url)
    assert project.run("bench.toml").ret == 0
    rows, metadata = project.rows(), project.metadata()
    assert metadata["avg_reward"] == pytest.approx(sum(row["reward"] for row in rows) / 12)
    assert metadata["avg_error"] == 0
    assert metadata["complete"] is True
    assert metadata["states"] == {"scored": 12, "unmeasured": 0, "broken": 0, "missing": 0}
    assert metadata["env_id"] == "sums"
    assert metadata["base_url"] == url
    assert metadata["sampling_args"]["max_tokens"] == 50
    assert [gate["outcome"] for gate in metadata["gates"]] == ["passed"]


def test_same_seed_same_answers(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    assert project.run("bench.toml").ret == 0
    assert project.run("bench.toml").ret == 0
    first, second = project.runs()
    said = [[row["completion"] for row in project.rows(run)] for run in (first, second)]
    assert said[0] == said[1]


def test_rollouts_of_one_example_send_different_seeds(project: Project) -> None:
    with DemoServer() as server:
        project.evals('[[eval]]\nenv_id = "sums"\nnum_examples = 2', url=server.url)
        assert project.run("bench.toml").ret == 0
        seeds = [body["seed"] for body in server.bodies]
    assert len(set(seeds)) == 6


def test_no_seed_is_sent_without_rollout_seed(project: Project) -> None:
    with DemoServer() as server:
        project.evals(
            f"""
            [[eval]]
            env_id = "sums"
            num_examples = 1
            model = "demo-small"
            api_base_url = "{server.url}"
            """
        )
        assert project.run("bench.toml").ret == 0
        assert all("seed" not in body for body in server.bodies)


def test_output_dir(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    assert project.run("bench.toml", "--evals-output-dir=kept").ret == 0
    assert len(list(project.path.glob("kept/evals/sums--demo-small/*/results.jsonl"))) == 1
    assert not (project.path / "outputs").exists()


def test_command_line_gate_is_added(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 0"]', url=url)
    result = project.run("bench.toml", "--evals-gate=reward >= 1.5")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED bench.toml::sums::gate-reward-2 - reward * < 1.5 *"])


def test_session_limit_holds_over_all_evals(project: Project) -> None:
    with DemoServer(latency=0.02) as server:
        project.evals(TWO_EVALS, url=server.url)
        path = project.path / "bench.toml"
        path.write_text("max_concurrent = 3\n" + path.read_text())
        assert project.run("bench.toml").ret == 0
        assert server.peak == 3


def test_limit_inside_an_eval_caps_that_eval(project: Project) -> None:
    with DemoServer(latency=0.02) as server:
        project.evals(
            '[[eval]]\nenv_id = "sums"\nmax_concurrent = 2\nrollouts_per_example = 4',
            url=server.url,
        )
        assert project.run("bench.toml").ret == 0
        assert server.peak == 2


def test_junit_has_figures_and_true_durations(project: Project) -> None:
    with DemoServer(latency=0.05) as server:
        project.evals(
            '[[eval]]\nenv_id = "sums"\ngates = ["reward >= 0.1", "pass@2 >= 2"]', url=server.url
        )
        # A gate that can never pass is refused, so it is one that merely fails.
        (project.path / "bench.toml").write_text(
            (project.path / "bench.toml").read_text().replace('"pass@2 >= 2"', '"reward >= 1.5"')
        )
        assert project.run("bench.toml", "--junitxml=evals.xml").ret == 1
    cases = {
        case.get("name"): case
        for case in ElementTree.parse(project.path / "evals.xml").iter("testcase")
    }
    assert len(cases) == 12 + 3
    rollout = cases["0-r0"]
    assert float(rollout.get("time", "0")) >= 0.05
    properties = {p.get("name"): p.get("value") for p in rollout.iter("property")}
    assert properties["evals.state"] == "scored"
    assert float(properties["evals.reward"] or "nan") in (0.0, 1.0)
    assert properties["evals.metric.correct"] == properties["evals.reward"]
    gate = {p.get("name"): p.get("value") for p in cases["gate-reward"].iter("property")}
    assert gate["evals.verdict"] == "passed"
    assert gate["evals.gate"] == "reward >= 0.1"
    failure = cases["gate-reward-2"].find("failure")
    assert failure is not None
    assert (failure.get("message") or "").startswith("reward 0.")


def test_words_and_letters(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\nnum_examples = 1\ngates = ["reward >= 0"]', url=url)
    result = project.run("bench.toml", "-v")
    result.stdout.re_match_lines(
        [
            r"bench.toml::sums::0-r\d SCORED [01] .*",
            r"bench.toml::sums::gate-reward GATE PASSED .*",
        ]
    )


def test_transcript_is_shown_when_asked_for(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\nnum_examples = 1', url=url)
    quiet = project.run("bench.toml")
    assert "- rollout 0-r0 -" not in quiet.stdout.str()
    told = project.run("bench.toml", "-rA")
    told.stdout.fnmatch_lines(["*- rollout 0-r0 -*", "*What is 0 + 0?*"])


@pytest.mark.workers
def test_pass_reward_fails_the_items_below_it(project: Project, url: str) -> None:
    project.evals(
        '[[eval]]\nenv_id = "sums"\nenv_args = { answer = "never" }\npass_reward = 1', url=url
    )
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(failed=12, passed=1)
    result.stdout.fnmatch_lines(["FAILED bench.toml::sums::0-r0 - reward 0 < 1 (pass_reward)"])
    assert project.metadata()["verdict"] == "failed"


def test_an_item_that_is_run_again_keeps_its_scored_rollout(project: Project) -> None:
    # As pytest-rerunfailures does.
    project.pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
            for last in (False, True):
                reports = runtestprotocol(item, nextitem=nextitem if last else item, log=False)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
            return True
        """
    )
    with DemoServer() as server:
        project.evals(
            '[[eval]]\nenv_id = "sums"\nenv_args = { answer = "never" }\npass_reward = 1',
            url=server.url,
        )
        result = project.run("bench.toml")
        assert server.requests == 12
    result.assert_outcomes(failed=12, passed=1)
    assert len(project.rows()) == 12


def test_plain_tests_run_beside_evals(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    project.pytester.makepyfile(
        test_plain="""
        import pytest

        @pytest.fixture(scope="module")
        def resource():
            yield "up"

        def test_one(resource):
            assert resource == "up"

        def test_two(resource):
            assert resource == "up"
        """
    )
    result = project.run("bench.toml", "test_plain.py", "--setup-show")
    assert result.ret == 0
    result.assert_outcomes(passed=12 + 1 + 2)
    assert result.stdout.str().count("SETUP    M resource") == 1


def test_environment_without_a_file(project: Project, url: str) -> None:
    result = project.run(
        "environments/sums.py",
        "--evals-provider=local",
        "--evals-model=demo-small",
        "--evals-num-examples=2",
        "--evals-rollouts-per-example=2",
        "--evals-gate=reward >= 0",
        "--collect-only",
        "-q",
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["environments/sums.py::sums::1-r1", "environments/sums.py::sums::gate-reward"]
    )


def test_dry_runs_spend_nothing(project: Project) -> None:
    with DemoServer() as server:
        project.evals('[[eval]]\nenv_id = "sums"', url=server.url)
        for option in ("--setup-plan", "--setup-only", "--collect-only"):
            assert project.run("bench.toml", option).ret == 0
        assert server.requests == 0
    assert not (project.path / "outputs").exists()
