"""Options and their ini twins."""

from __future__ import annotations

import importlib.metadata
import json

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.plugin import options

from .conftest import Project

ONE_EVAL = '[[eval]]\nenv_id = "sums"\n'


def _local(project: Project, server: DemoServer) -> list[str]:
    """Arguments that evaluate the environment itself, without a file, on the demo server."""
    (project.path / "configs").mkdir(exist_ok=True)
    (project.path / "configs" / "endpoints.toml").write_text(
        f'[[endpoint]]\nendpoint_id = "demo"\nmodel = "demo-small"\nurl = "{server.url}"\n'
    )
    return ["environments/sums.py"]


def test_command_line_without_a_file(project: Project) -> None:
    with DemoServer() as server:
        arguments = _local(project, server)
        result = project.run(
            *arguments,
            "--evals-model=demo",
            "--evals-num-examples=2",
            "--evals-rollouts-per-example=2",
            "--evals-gate=reward >= 0",
        )
    assert result.ret == 0
    result.assert_outcomes(passed=4 + 2)


def test_ini_twins(project: Project) -> None:
    with DemoServer(latency=0.02) as server:
        arguments = _local(project, server)
        project.pytester.makeini(
            """
            [pytest]
            evals_model = demo
            evals_num_examples = 3
            evals_rollouts_per_example = 2
            evals_max_concurrent = 2
            evals_output_dir = elsewhere
            evals_gate =
                reward >= 0
                reward <= 1
            """
        )
        result = project.run(*arguments)
        assert server.peak == 2
    assert result.ret == 0
    result.assert_outcomes(passed=6 + 3)
    assert (project.path / "elsewhere" / "evals").is_dir()


def test_command_line_beats_ini(project: Project) -> None:
    with DemoServer() as server:
        arguments = _local(project, server)
        project.pytester.makeini(
            "[pytest]\nevals_model = demo\nevals_num_examples = 3\nevals_rollouts_per_example = 1\n"
        )
        result = project.run(*arguments, "--evals-num-examples=1")
    result.assert_outcomes(passed=1 + 1)


def test_the_file_beats_the_command_line_and_the_header_says_so(project: Project, url: str) -> None:
    project.evals(ONE_EVAL + "num_examples = 1", url=url)
    result = project.run("bench.toml", "--evals-num-examples=3", "--evals-model=other")
    assert result.ret == 0
    result.assert_outcomes(passed=3 + 1)
    output = result.stdout.str()
    assert "ignored --evals-num-examples=3" in output
    assert "ignored --evals-model=other" in output


@pytest.mark.parametrize(
    "line",
    ["evals_num_examples = many", "evals_max_concurrent = 1.5", "evals_rollouts_per_example = x"],
)
def test_ini_that_is_no_number(project: Project, url: str, line: str) -> None:
    project.evals(ONE_EVAL, url=url)
    project.pytester.makeini(f"[pytest]\n{line}\n")
    result = project.run("bench.toml")
    assert result.ret != 0
    key, _, value = line.partition(" = ")
    assert f"ini key {key}: {value!r} is not a number" in result.stdout.str() + result.stderr.str()


@pytest.mark.parametrize("option", ["--evals-num-examples=x", "--evals-max-concurrent="])
def test_option_that_is_no_number(project: Project, url: str, option: str) -> None:
    project.evals(ONE_EVAL, url=url)
    assert project.run("bench.toml", option).ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize("gate", ["reward => 0.8", "reward", "", "pass@9 >= 0.5"])
def test_bad_gate_on_the_command_line(project: Project, url: str, gate: str) -> None:
    project.evals(ONE_EVAL, url=url)
    result = project.run("bench.toml", f"--evals-gate={gate}")
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    assert "--evals-gate" in result.stdout.str()


@pytest.mark.parametrize("origin", ["--evals-gate", "ini evals_gate"])
def test_gate_of_an_option_on_a_metric_that_an_eval_lacks(
    project: Project, url: str, origin: str
) -> None:
    project.evals('gates = ["reward >= 0"]\n' + ONE_EVAL, url=url)
    arguments = []
    if origin == "--evals-gate":
        arguments = ["--evals-gate=corect >= 0.1"]
    else:
        project.pytester.makeini("[pytest]\nevals_gate = corect >= 0.1")
    result = project.run("bench.toml", *arguments)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [f"ERROR bench.toml::sums - {origin}: gate 'corect >= 0.1': * (did you mean 'correct'?)*"]
    )


def test_without_a_terminal_reporter_or_a_cache(project: Project, url: str) -> None:
    project.evals(ONE_EVAL, url=url)
    assert project.run("bench.toml", "-p", "no:terminal").ret == 0
    assert project.run("bench.toml", "-p", "no:cacheprovider").ret == 0


@pytest.mark.parametrize("arguments", [["-q"], ["-qq"], ["--no-summary"], ["--no-header"], ["-vv"]])
def test_verbosity(project: Project, url: str, arguments: list[str]) -> None:
    project.evals(ONE_EVAL, url=url)
    result = project.run("bench.toml", *arguments)
    assert result.ret == 0
    has_table = "served by demo-small" in result.stdout.str()
    assert has_table is (arguments != ["--no-summary"])


def test_help_names_every_option(project: Project) -> None:
    output = project.run("--help").stdout.str()
    for name in (
        "--evals",
        "--evals-provider",
        "--evals-model",
        "--evals-num-examples",
        "--evals-rollouts-per-example",
        "--evals-max-concurrent",
        "--evals-output-dir",
        "--evals-gate",
        "--evals-partial",
        "evals_files",
    ):
        assert name in output


def test_the_other_distribution_of_the_same_import_name_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options.refuse_name_clash()
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: name)
    with pytest.raises(pytest.UsageError, match="pip uninstall pytest-evals pytest-rollouts"):
        options.refuse_name_clash()


def test_paths_of_ini_keys_given_without_an_ini_file(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As pytest sees its own: from the current folder, whatever it took for the root.
    (project.path / "tox.ini").unlink()
    folder = project.path / "deep"
    folder.mkdir()
    project.evals('[[eval]]\nenv_id = "sums"\nnum_examples = 1\n', url=url)
    (folder / "prices.toml").write_text(
        '[[price]]\nmodel = "demo-small"\ninput_price = 1\noutput_price = 1\n'
    )
    monkeypatch.chdir(folder)
    given = (
        "env_dir_path=../environments", "output_dir=out", "cache_dir=kept", "cache=read-write",
        "prices=prices.toml",
    )  # fmt: skip
    options = [word for each in given for word in ("-o", f"evals_{each}")]
    result = project.run("../bench.toml", *options)
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"rootdir: {project.path}"])
    assert (folder / "kept" / "responses.sqlite3").is_file()
    (metadata,) = folder.glob("out/evals/*/*/metadata.json")
    assert json.loads(metadata.read_text())["cost"]["total_usd"] > 0
