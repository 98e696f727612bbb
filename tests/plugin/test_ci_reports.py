"""What a session leaves for CI: JUnit properties, the step summary, the JSON document."""

from __future__ import annotations

import html
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

EVAL = '[[eval]]\nenv_id = "sums"\ngates = ["reward >= 0.1", "pass@2 >= 0.2"]\n'
RED = '[[eval]]\nenv_id = "sums"\nname = "red"\ngates = ["reward >= 1.5"]\n'


@pytest.fixture
def step_summary(project: Project, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = project.path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    return path


def document(project: Project, name: str = "report.json") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((project.path / name).read_text())
    return content


@pytest.mark.workers
def test_a_session_in_json_and_markdown(project: Project, url: str, step_summary: Path) -> None:
    step_summary.write_text("of an earlier tool")
    project.evals(EVAL + RED, url=url)
    result = project.run("bench.toml", "--evals-report-json=out/report.json")
    assert result.ret == 1
    found = document(project, "out/report.json")
    assert (found["schema"], found["exit_status"], found["outcome"]) == (1, 1, "failed")
    assert found["collection_errors"] == [] and found["judged_again"] is False
    first, second = found["evals"]
    assert (first["nodeid"], first["verdict"]) == ("bench.toml::sums", "passed")
    assert (second["name"], second["verdict"]) == ("red", "failed")
    metadata = project.metadata(Path(first["folder"]))
    assert {key: first[key] for key in metadata} == metadata
    reward, pass_at_2, error_rate = first["gates"]
    assert reward["outcome"] == "passed" and reward["detectable_drop"] > 0
    assert pass_at_2["lower"] < pass_at_2["value"] <= 1
    assert error_rate["default"] is True
    text = html.unescape(step_summary.read_text())
    assert text.startswith("of an earlier tool\n\n### Evals: failed\n")
    assert "| red | reward >= 1.5 | **FAILED** | reward" in text
    # A second session appends.
    project.run("bench.toml::sums")
    assert step_summary.read_text().count("### Evals: ") == 2


@pytest.mark.workers
def test_the_junit_file_has_every_figure_of_a_gate(project: Project, url: str) -> None:
    project.evals(EVAL.replace('"reward >= 0.1"', '"reward >= 0.99"'), url=url)
    project.run("bench.toml", "--junitxml=report.xml")
    case = next(
        case
        for case in ET.parse(project.path / "report.xml").iter("testcase")
        if case.get("name") == "gate-reward"
    )
    properties = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert {
        "evals.verdict", "evals.gate", "evals.metric", "evals.comparison", "evals.limit",
        "evals.rule", "evals.tier", "evals.confidence", "evals.value", "evals.standard_error",
        "evals.low", "evals.high", "evals.lower", "evals.upper", "evals.detectable_drop",
        "evals.examples", "evals.rollouts", "evals.coverage", "evals.reason", "evals.line",
        "evals.worth",
    } <= {*properties}  # fmt: skip
    failure = case.find("failure")
    assert failure is not None and failure.get("message") == properties["evals.line"]
    assert "95 % bounds" in str(failure.get("message"))


@pytest.mark.workers
def test_what_could_not_be_collected(project: Project, url: str, step_summary: Path) -> None:
    project.evals('[[eval]]\nenv_id = "no<b>such"\n', url=url)
    result = project.run("bench.toml", "--evals-report-json=report.json")
    assert result.ret == 1
    found = document(project)
    assert found["exit_status"] == 1 and found["evals"] == []
    (error,) = found["collection_errors"]
    assert "no<b>such" in error["text"]
    if not project.plugin_args or "-n" not in project.plugin_args:
        assert "no<b>such" in html.unescape(step_summary.read_text())
        assert "<b>" not in step_summary.read_text()


def test_an_interrupted_session(project: Project, url: str, step_summary: Path) -> None:
    project.pytester.makeconftest(
        """
        def pytest_evals_rollout_complete(result):
            if result.key[0] == 2:
                raise KeyboardInterrupt
        """
    )
    project.evals(EVAL, url=url)
    with project.start(
        "bench.toml", "--evals-report-json=report.json", "--evals-sequential"
    ) as run:
        output = run.communicate(timeout=60)[0]
    assert run.returncode == pytest.ExitCode.INTERRUPTED, output
    found = document(project)
    assert (found["exit_status"], found["outcome"]) == (2, "interrupted")
    (sums,) = found["evals"]
    assert sums["verdict"] == "not judged"
    assert sums["not_judged"] == ["reward >= 0.1", "pass@2 >= 0.2", "error_rate <= 0"]
    assert sums["states"]["scored"] >= 1
    assert "**NOT JUDGED**" in step_summary.read_text()


def test_stored_rows_that_are_judged_again(project: Project, url: str, step_summary: Path) -> None:
    project.evals(EVAL, url=url)
    project.run("bench.toml", "--evals-report-json=first.json")
    project.run("bench.toml", "--evals-regate=outputs", "--evals-report-json=second.json")
    first, second = document(project, "first.json"), document(project, "second.json")
    assert second["judged_again"] is True
    assert first["evals"][0]["gates"] == second["evals"][0]["gates"]
    assert step_summary.read_text().count("### Evals: passed") == 2


def test_evals_that_did_not_run(project: Project, url: str, step_summary: Path) -> None:
    project.evals(EVAL + RED, url=url)
    project.run("bench.toml", "-k", "red", "--evals-report-json=report.json")
    assert [each["verdict"] for each in document(project)["evals"]] == ["not run", "failed"]
    step_summary.unlink()
    project.run("bench.toml", "--collect-only", "--evals-report-json=none.json")
    project.run("bench.toml", "--setup-plan", "--evals-report-json=none.json")
    assert not (project.path / "none.json").exists() and not step_summary.exists()


def test_plain_tests_leave_no_summary(project: Project, step_summary: Path) -> None:
    project.pytester.makepyfile("def test_it(): pass")
    result = project.run("--evals-report-json=report.json")
    assert result.ret == 0 and not step_summary.exists()
    assert document(project)["evals"] == []


@pytest.mark.workers
def test_secrets_and_control_characters(
    project: Project, step_summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUMS_KEY", "sk_secret*value|1234567")
    project.environment(
        "sums",
        """
        import os
        import pytest_evals as vf

        def correct(completion):
            raise ValueError("\\x1b[31m" + os.environ["SUMS_KEY"] + "| <img>")

        def load_environment():
            rows = [{"question": "1", "answer": "1"}]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
        """,
    )
    with DemoServer() as server:
        project.evals(EVAL + 'api_key_var = "SUMS_KEY"\n', url=server.url)
        result = project.run("bench.toml", "--evals-report-json=report.json", "--junitxml=r.xml")
    assert result.ret == 1
    for name in ("report.json", "summary.md", "r.xml"):
        text = html.unescape((project.path / name).read_text())
        assert "sk_secret" not in text
        assert "\x1b" not in text


def test_a_summary_that_cannot_be_written_is_a_warning(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "no" / "such" / "folder"))
    project.evals(EVAL, url=url)
    result = project.run("bench.toml")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["evals: the step summary was not written (GITHUB_STEP_SUMMARY)*"])


def test_the_size_that_github_takes(project: Project, url: str, step_summary: Path) -> None:
    step_summary.write_text("x" * (1024 * 1024 - 300))
    project.evals("".join(RED.replace("red", f"red{n}") for n in range(5)), url=url)
    assert project.run("bench.toml", "--evals-num-examples=1").ret == 1
    assert 1024 * 1024 - 300 < step_summary.stat().st_size <= 1024 * 1024
    assert "more lines" in step_summary.read_text()


def test_a_document_that_cannot_be_written_is_red(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    (project.path / "file").write_text("")
    result = project.run("bench.toml", "--evals-report-json=file/report.json")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["evals: --evals-report-json: the report was not written: *"])
    result = project.run("bench.toml", "--evals-report-json=environments")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert len(project.runs()) == 1
