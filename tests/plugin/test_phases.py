"""The phases of rollout items: cheaper where nobody looks, and otherwise as they ever were."""

from __future__ import annotations

import gc
import json
import re

import pytest

from pytest_evals.plugin import garbage

from .conftest import Project

EVAL = """
    max_concurrent = 1

    [[eval]]
    env_id = "sums"
    num_examples = 3
    rollouts_per_example = 2
    pass_reward = 0.5
    gates = ["reward >= 0"]
"""

# Keeps every event that others can see of an item, without taking part in its phases.
RECORD = """
    import json
    from pathlib import Path

    EVENTS = []

    def pytest_runtest_logstart(nodeid, location):
        EVENTS.append(["start", nodeid, location])

    def pytest_runtest_logreport(report):
        EVENTS.append(
            [report.when, report.nodeid, report.location, report.outcome, str(report.longrepr),
             sorted(report.keywords), report.sections, report.user_properties]
        )

    def pytest_runtest_logfinish(nodeid, location):
        EVENTS.append(["finish", nodeid, location])

    def pytest_sessionfinish():
        Path("events.json").write_text(json.dumps(EVENTS))
"""
TAKE_PART = """
    def pytest_runtest_call(item):
        pass
"""


@pytest.fixture
def plugin_args() -> list[str]:
    """Run each session once: xdist changes nothing in one process."""
    return []


@pytest.mark.parametrize("args", [(), ("-x",), ("-rA",), ("-v", "-p", "no:logging"), ("-s",)])
def test_what_others_see_of_an_item_is_the_same(
    project: Project, url: str, args: tuple[str, ...]
) -> None:
    project.evals(EVAL, url=url)
    seen = []
    for source in (RECORD, RECORD + TAKE_PART):
        project.pytester.makeconftest(source)
        result = project.run("bench.toml", *args)
        shown = result.stdout.str().partition("= evals =")[0]  # that tells of times as well
        events = json.loads((project.path / "events.json").read_text())
        seen.append((events, shown))
    assert seen[0][0]
    assert seen[0] == seen[1]


def test_only_gates_are_captured(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    project.pytester.makeconftest(
        """
        import json
        from pathlib import Path

        NAMES = set()

        def pytest_configure(config):
            manager = config.pluginmanager.getplugin("capturemanager")
            capture = manager.item_capture
            manager.item_capture = lambda when, item: NAMES.add(item.name) or capture(when, item)

        def pytest_sessionfinish():
            Path("names.json").write_text(json.dumps(sorted(NAMES)))
        """
    )
    project.run("bench.toml")
    names = json.loads((project.path / "names.json").read_text())
    assert names == ["gate-error_rate", "gate-reward"]


def test_what_a_hook_prints_in_a_phase_is_captured(project: Project, url: str) -> None:
    project.evals(EVAL.replace("pass_reward = 0.5", "pass_reward = 2"), url=url)
    project.pytester.makeconftest(
        """
        import logging

        def pytest_runtest_setup(item):
            print("printed by a hook")
            logging.getLogger("of.a.hook").warning("logged by a hook")
        """
    )
    result = project.run("bench.toml")
    assert "printed by a hook" not in result.stdout.str().partition("FAILURES")[0]
    result.stdout.fnmatch_lines(
        [
            "*Captured stdout setup*",
            "printed by a hook",
            "*Captured log setup*",
            "*logged by a hook*",
        ]
    )


def test_what_a_hook_prints_of_a_rollout_is_captured(project: Project, url: str) -> None:
    project.evals(EVAL.replace("pass_reward = 0.5", "pass_reward = 2"), url=url)
    project.pytester.makeconftest(
        """
        def pytest_evals_rollout_complete(result):
            print("seen by a hook")
        """
    )
    result = project.run("bench.toml")
    assert "seen by a hook" not in result.stdout.str().partition("FAILURES")[0]
    result.stdout.fnmatch_lines(["*Captured stdout setup*", "seen by a hook"])


def test_hooks_of_another_folder_stay_there(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    other = project.path / "other"
    other.mkdir()
    (other / "conftest.py").write_text("def pytest_runtest_setup(item): raise KeyError(item.name)")
    (other / "test_plain.py").write_text("def test_plain(): pass")
    project.pytester.makeconftest(RECORD)
    result = project.run("bench.toml", "other")
    result.assert_outcomes(passed=5 + 2, failed=1, errors=1)


def test_plain_tests_and_gates_are_captured(project: Project, url: str) -> None:
    project.evals(
        """
        [[eval]]
        env_id = "sums"
        num_examples = 1
        rollouts_per_example = 1
        gates = ["loudness >= 2"]
        """,
        url=url,
    )
    project.pytester.makeconftest(
        """
        def pytest_evals_metric():
            print("measured loudly")
            return 1.0
        """
    )
    project.pytester.makepyfile(test_plain="def test_plain(): print('plain output'); assert False")
    result = project.run("bench.toml", "test_plain.py")
    shown = result.stdout.str().partition("FAILURES")
    assert "measured loudly" not in shown[0]
    assert "plain output" not in shown[0]
    result.stdout.fnmatch_lines(["plain output", "*gate-loudness*", "measured loudly"])


def test_a_live_log_is_shown(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    result = project.run("bench.toml", "-o", "log_cli=true")
    result.stdout.fnmatch_lines(["bench.toml::sums::0-r0 *"])


class TestReleasedReports:
    """Reports that say nothing are not kept to the end of the session."""

    SUMMARY = """
        def pytest_terminal_summary(terminalreporter):
            stats = terminalreporter.stats
            counts = {name: len(reports) for name, reports in stats.items() if reports}
            terminalreporter.write_line(f"kept {sorted(counts.items())}")
    """

    def test_those_of_setup_and_teardown_are_let_go(self, project: Project, url: str) -> None:
        project.evals(EVAL, url=url)
        project.pytester.makeconftest(self.SUMMARY)
        project.pytester.makepyfile(test_plain="def test_plain(): pass")
        result = project.run("bench.toml", "test_plain.py")
        result.stdout.fnmatch_lines(["kept [[]('', 2), ('failed', 1), ('passed', 8)[]]"])

    def test_durations_count_them_all(self, project: Project, url: str) -> None:
        project.evals(EVAL, url=url)
        result = project.run("bench.toml", "--durations=0", "-vv")
        lines = re.findall(r"^\d+\.\d\ds (\w+) +bench", result.stdout.str(), re.MULTILINE)
        assert sorted(lines) == ["call"] * 8 + ["setup"] * 8 + ["teardown"] * 8

    def test_output_of_a_teardown_is_shown_with_the_failure(
        self, project: Project, url: str
    ) -> None:
        project.evals(EVAL.replace("pass_reward = 0.5", "pass_reward = 2"), url=url)
        project.pytester.makeconftest(
            """
            def pytest_runtest_teardown(item):
                print("printed while torn down")
            """
        )
        result = project.run("bench.toml")
        result.stdout.fnmatch_lines(["*Captured stdout teardown*", "printed while torn down"])


@pytest.mark.parametrize("many", [6, 7])
def test_garbage_collection_is_as_before_once_the_session_is_over(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch, many: int
) -> None:
    monkeypatch.setattr(garbage, "_MANY", many)
    project.evals(EVAL, url=url)  # 6 rollouts
    project.pytester.makeconftest(
        """
        import gc
        from pathlib import Path

        def pytest_runtest_logfinish():
            Path("frozen").write_text(f"{gc.get_freeze_count()} {gc.get_threshold()}")
        """
    )
    before = gc.get_freeze_count(), gc.get_threshold()
    project.run("bench.toml")
    assert (gc.get_freeze_count(), gc.get_threshold()) == before
    frozen, threshold = (project.path / "frozen").read_text().split(" ", 1)
    if many == 6:
        assert int(frozen) > 10_000
    else:
        assert (int(frozen), threshold) == (before[0], str(before[1]))
