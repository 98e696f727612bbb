"""Settings in sessions: ablations, sidecars, options, `--evals-set`, `--evals-show-config`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomli

from pytest_evals.config.budget import BUDGET_KEYS
from pytest_evals.demo.server import DemoServer
from pytest_evals.plugin.settings import OF_THE_SESSION, SETTINGS

from .conftest import Project

ONE_EVAL = '[[eval]]\nenv_id = "sums"\n'
ABLATION = """
[[ablation]]
env_id = "sums"
num_examples = 2
rollouts_per_example = 2
gates = ["reward >= 0"]
env_args.examples = 3
sweep.temperature = [0.0, 0.5]
sweep.env_args.answer = ["4", "very far off"]
"""
POINTS = [
    f"sums-temperature-{temperature}-answer-{answer}"
    for temperature in (0.0, 0.5)
    for answer in (4, "very-far-off")
]


def shown(output: str) -> list[dict[str, Any]]:
    """Return the evals of `--evals-show-config`: the one part of the output that is TOML."""
    lines = output.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("[[eval]]"))
    end = max(n for n, line in enumerate(lines) if line == "]")
    evals: list[dict[str, Any]] = tomli.loads("\n".join(lines[start : end + 1]))["eval"]
    return evals


@pytest.mark.workers
def test_each_point_of_an_ablation_is_an_eval(project: Project) -> None:
    with DemoServer() as server:
        project.evals(ABLATION + ONE_EVAL, url=server.url)
        result = project.run("bench.toml", "-k", "sums-temperature")
        temperatures = [body["temperature"] for body in server.bodies]
    assert result.ret == 0
    assert result.parseoutcomes()["passed"] == 4 * (4 + 2)
    assert sorted(temperatures) == [0.0] * 8 + [0.5] * 8
    runs = {project.metadata(run)["name"]: project.metadata(run) for run in project.runs()}
    assert sorted(runs) == POINTS
    assert runs[POINTS[3]]["env_args"] == {"examples": 3, "answer": "very far off"}
    assert runs[POINTS[3]]["avg_reward"] == 0
    assert runs[POINTS[2]]["sampling_args"]["temperature"] == 0.5


def test_a_point_is_selected_by_its_node_id_and_found_again_by_lf(
    project: Project, url: str
) -> None:
    project.evals(ABLATION.replace(">= 0", ">= 0.2"), url=url)
    result = project.run(f"bench.toml::{POINTS[1]}")
    assert result.ret == 1
    result.assert_outcomes(passed=5, failed=1)
    again = project.run("bench.toml", "--lf", "--co", "-q")
    assert f"bench.toml::{POINTS[1]}::gate-reward" in again.stdout.str()
    assert POINTS[0] not in again.stdout.str()


def test_a_mistake_in_an_ablation_asks_no_model(project: Project) -> None:
    with DemoServer() as server:
        project.evals(ABLATION.replace("[0.0, 0.5]", "[]"), url=server.url)
        result = project.run("bench.toml")
        assert server.requests == 0
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*bench.toml:11: sweep.temperature is an empty list*"])


@pytest.mark.workers
def test_gates_of_a_sidecar_judge(project: Project, url: str) -> None:
    project.evals(ONE_EVAL + "num_examples = 1\n", url=url)
    (project.path / "bench.gates.toml").write_text('sums = ["reward >= 0", "turns <= 0.5"]\n')
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(passed=3 + 2, failed=1)
    result.stdout.fnmatch_lines(["*turns 1.000 > 0.5*"])


@pytest.mark.workers
def test_a_limit_out_of_reach_is_a_warning_in_the_header(project: Project, url: str) -> None:
    project.evals(ONE_EVAL + 'num_examples = 1\ngates = ["reward >= 80"]\n', url=url)
    result = project.run("bench.toml", "--evals-show-config")
    assert result.ret == 1
    lines = result.outlines
    (header,) = [line for line in lines if line.startswith("evals: sums: 'reward >= 80' cannot")]
    assert lines.index(header) < next(i for i, line in enumerate(lines) if "FAILURES" in line)
    assert f"# asks demo-small at {url}" in lines


@pytest.mark.workers
def test_gates_that_nothing_would_be_judged_by_are_an_error(project: Project) -> None:
    with DemoServer() as server:
        project.evals(ONE_EVAL, url=server.url, name="bench.evals.toml")
        project.evals(ONE_EVAL, url=server.url, name="other.evals.toml")
        (project.path / "bnech.gates.toml").write_text('sums = ["reward >= 2"]\n')
        result = project.run("bench.evals.toml", "other.evals.toml")
        assert server.requests == 0
    assert result.ret != 0
    output = result.stdout.str()
    assert output.count("these gates belong to no eval file") >= 1
    result.assert_outcomes(errors=1)


def test_a_sidecar_is_collected_by_no_pattern(project: Project, url: str) -> None:
    (project.path / "suite").mkdir()
    project.evals(ONE_EVAL, url=url, name="suite/bench.toml")
    (project.path / "suite" / "bench.gates.toml").write_text('sums = ["reward >= 0"]\n')
    project.pytester.makeini("[pytest]\nevals_files = *.toml\n")
    for arguments in (["suite"], ["suite", "--evals"]):
        result = project.run(*arguments, "--co", "-q")
        assert result.ret == 0
        assert "gates.toml" not in result.stdout.str()
    named = project.run("suite/bench.gates.toml")
    assert named.ret == 1
    named.stdout.fnmatch_lines(["*these are the gates of bench.toml; run that file*"])


@pytest.mark.workers
def test_headers_reach_the_server_and_nothing_else(project: Project) -> None:
    with DemoServer(key="sk-very-secret") as server:
        project.evals(
            'headers = { Authorization = "Bearer sk-wrong-one" }\n'
            + ONE_EVAL
            + 'header = ["authorization: Bearer sk-very-secret"]\nnum_examples = 1\n'
            "rollouts_per_example = 1\n",
            url=server.url,
        )
        result = project.run("bench.toml", "--evals-show-config", "-vv")
        other = project.run("bench.toml", "--evals-set", 'header=["Authorization: sk-third-one"]')
    assert result.ret == 0
    assert 'headers.authorization = "***"' in result.stdout.str()
    assert other.ret == 1
    written = [path.read_text() for path in project.path.rglob("outputs/**/*") if path.is_file()]
    for text in (result.stdout.str(), other.stdout.str(), *written):
        assert "sk-very-secret" not in text
        assert "sk-third-one" not in text


def test_headers_of_an_eval_that_does_not_run_are_masked_too(project: Project, url: str) -> None:
    project.evals(
        'markers = ["x"]\n' + ONE_EVAL + 'headers = { X-Api-Key = "sk-very-secret" }\n', url=url
    )
    result = project.run(
        "bench.toml",
        "-m",
        "not x",
        "--evals-show-config",
        "--co",
        "--evals-api-base-url=http://user:pass-word@host",
    )
    output = result.stdout.str()
    assert 'headers.X-Api-Key = "***"' in output
    assert "pass-word" not in output


def test_the_wire_format_of_an_eval(project: Project) -> None:
    with DemoServer() as server:
        project.evals(ONE_EVAL + 'api_client_type = "openai_responses"\n', url=server.url)
        assert project.run("bench.toml").ret == 0
        assert all("input" in body for body in server.bodies)
        project.evals(ONE_EVAL + 'api_client_type = "openai_response"\n', url=server.url)
        result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*bench.toml:6: api_client_type is 'openai_response' (did you mean 'openai_responses'*"]
    )


def test_env_dir_path_says_where_environments_are(project: Project, url: str) -> None:
    (project.path / "environments").rename(project.path / "mine")
    project.evals(ONE_EVAL, url=url)
    assert project.run("bench.toml", "--co").ret == 1
    assert project.run("bench.toml", "--co", "--evals-env-dir-path=mine").ret == 0
    project.evals(ONE_EVAL + 'env_dir_path = "mine"\n', url=url)
    assert project.run("bench.toml", "--co").ret == 0
    assert project.run("bench.toml", "--co", "--evals-set", "env_dir_path='other'").ret == 1


OPTIONS = {
    "provider": ("local", "provider", "local"),
    "model": ("m2", "model", "m2"),
    "endpoints-path": ("e.toml", "endpoints_path", None),
    "api-base-url": ("http://127.0.0.1:1/v1", "api_base_url", "http://127.0.0.1:1/v1"),
    "api-key-var": ("PATH", "api_key_var", "PATH"),
    "api-client-type": ("openai_responses", "api_client_type", "openai_responses"),
    "env-args": ('{"examples": 2}', "env_args", {"examples": 2}),
    "extra-env-kwargs": ('{"max_seq_len": 9}', "extra_env_kwargs", {"max_seq_len": 9}),
    "env-dir-path": ("environments", "env_dir_path", None),
    "max-tokens": ("7", "sampling_args", {"max_tokens": 7}),
    "temperature": ("0.5", "sampling_args", {"temperature": 0.5}),
    "sampling-args": ('{"top_p": 0.5}', "sampling_args", {"top_p": 0.5}),
    "num-examples": ("2", "num_examples", 2),
    "rollouts-per-example": ("2", "rollouts_per_example", 2),
    "max-retries": ("2", "max_retries", 2),
    "resume": ("true", "resume", True),
    "output-dir": ("kept", "output_dir", None),
    "save-results": ("false", "save_results", False),
    "state-columns": ("a, b", "state_columns", ["a", "b"]),
    "num-workers": ("3", "num_workers", 3),
    "hf-hub-dataset-name": ("me/mine", "hf_hub_dataset_name", "me/mine"),
}


def test_each_option_and_its_ini_key_reach_the_eval(project: Project) -> None:
    budget = {key.replace("_", "-") for key in BUDGET_KEYS}
    of_the_session = {"max-concurrent", *(key.replace("_", "-") for key in OF_THE_SESSION), *budget}
    switches = {setting.name for setting in SETTINGS if setting.is_switch}
    assert set(OPTIONS) == {setting.name for setting in SETTINGS} - of_the_session - switches
    (project.path / "e.toml").write_text("")
    project.evals(ONE_EVAL)
    arguments = [f"--evals-{name}={text}" for name, (text, _, _) in OPTIONS.items()]
    arguments += [f"--evals-{name}" for name in switches]
    header = ["--evals-header=X-A: 1", "--evals-header", "X-B: 2"]
    common = ["bench.toml", "--co", "-q", "--evals-show-config"]
    by_options = project.run(*common, *arguments, *header).stdout.str()
    lines = "\n".join(
        f"evals_{name.replace('-', '_')} = {text}" for name, (text, _, _) in OPTIONS.items()
    )
    lines += "".join(f"\nevals_{name.replace('-', '_')} = on" for name in switches)
    header_lines = "evals_header =\n    X-A: 1\n    X-B: 2\n"
    project.pytester.makeini(f"[pytest]\n{lines}\n{header_lines}")
    by_ini = project.run(*common).stdout.str()
    for output, written in ((by_options, "--evals-"), (by_ini, "ini evals_")):
        (spec,) = shown(output)
        sampling = {"max_tokens": 7, "temperature": 0.5, "top_p": 0.5}
        assert spec["sampling_args"] == sampling
        for _, key, value in OPTIONS.values():
            if value is not None and key != "sampling_args":
                assert spec[key] == value
        assert spec["verbose"] and spec["disable_tui"] and spec["save_to_hf_hub"]
        assert spec["headers"] == {"X-A": "1", "X-B": "2"}
        assert spec["endpoints_path"] == str(project.path / "e.toml")
        assert spec["env_dir_path"] == str(project.path / "environments")
        assert f"# {written}model" in output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("env-args", ""),
        ("env-args", "{"),
        ("env-args", "[1]"),
        ("env-args", "3"),
        ("env-args", "[" * 100_000),
        ("sampling-args", "{'a': 1}"),
        ("temperature", "warm"),
        ("max-tokens", "1.5"),
    ],
)
def test_options_that_cannot_be_read_are_wrong_usage(
    project: Project, url: str, option: str, value: str
) -> None:
    project.evals(ONE_EVAL, url=url)
    result = project.run("bench.toml", f"--evals-{option}={value}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*--evals-{option}*"])


@pytest.mark.parametrize("line", ["env_args = [1]", "env_args = {", "temperature = warm"])
def test_ini_keys_that_cannot_be_read_are_wrong_usage(
    project: Project, url: str, line: str
) -> None:
    project.evals(ONE_EVAL, url=url)
    project.pytester.makeini(f"[pytest]\nevals_{line}\n")
    result = project.run("bench.toml")
    assert result.ret != 0
    result.stderr.fnmatch_lines([f"*ini key evals_{line.partition(' ')[0]}*"])


@pytest.mark.workers
def test_set_beats_the_file(project: Project) -> None:
    with DemoServer() as server:
        project.evals(
            "max_concurrent = 9\n" + ONE_EVAL + "num_examples = 3\nenv_args = { examples = 4 }\n",
            url=server.url,
        )
        result = project.run(
            "bench.toml",
            "--evals-set=num_examples=1",
            "--evals-set",
            "sampling_args.top_p=0.25",
            "--evals-set=env_args.answer='nothing'",
            "--evals-set=max_concurrent=2",
        )
        assert {body["top_p"] for body in server.bodies} == {0.25}
    assert result.ret == 0
    result.assert_outcomes(passed=3 + 1)
    result.stdout.fnmatch_lines(["evals: 1 eval, 3 rollouts of demo-small, at most 2 in flight*"])
    assert project.metadata()["env_args"] == {"examples": 4, "answer": "nothing"}
    assert project.metadata()["avg_reward"] == 0


@pytest.mark.workers
def test_shuffled_examples_are_the_same_each_time(project: Project, url: str) -> None:
    text = ONE_EVAL + "num_examples = 2\nrollouts_per_example = 1\nenv_args = { examples = 50 }\n"
    found = []
    for more in ("shuffle = true\nshuffle_seed = 7\n", "shuffle = true\nshuffle_seed = 7\n", ""):
        before = set(project.runs())
        project.evals(text + more, url=url)
        assert project.run("bench.toml").ret == 0
        (run,) = set(project.runs()) - before
        rows = {row["example_id"]: row["prompt"][-1]["content"] for row in project.rows(run)}
        assert all(f"What is {n} +" in question for n, question in rows.items())
        metadata = project.metadata(run)
        assert (metadata["shuffle"], metadata["shuffle_seed"]) == (
            (True, 7) if more else (False, None)
        )
        found.append(set(rows))
    assert found[0] == found[1] != found[2] == {0, 1}


@pytest.mark.workers
def test_set_says_that_it_is_not_about_functions(project: Project) -> None:
    project.pytester.makepyfile(
        test_it="import pytest\n@pytest.mark.evals\ndef test_one(): return 1.0\n"
    )
    result = project.run("test_it.py", "--evals-set=rollouts_per_example=2")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["evals: ignored --evals-set: a test function has its mark"])


def test_a_mistake_in_an_option_names_the_option(project: Project, url: str) -> None:
    project.evals("rollout_seed = 1\n" + ONE_EVAL)
    for arguments, told in (
        (["--evals-provider=opnai"], "*bench.toml:2: --evals-provider: provider 'opnai' is not*"),
        (["--evals-set=provider='x'"], "*bench.toml:2: --evals-set provider: provider 'x' is not*"),
        (
            ['--evals-env-args={"example": 1}', f"--evals-api-base-url={url}"],
            "*bench.toml:2: --evals-env-args: environment 'sums' * no argument 'example'*",
        ),
    ):
        result = project.run("bench.toml", *arguments)
        assert result.ret == 1
        result.stdout.fnmatch_lines([told])


def test_a_bad_set_is_a_red_run_that_asks_nothing(project: Project) -> None:
    with DemoServer() as server:
        project.evals(ONE_EVAL, url=server.url)
        result = project.run("bench.toml", "--evals-set=model=gpt")
        assert server.requests == 0
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*--evals-set model: the value is not TOML; a text is quoted*"])


def test_show_config_names_what_a_hook_changed_and_evals_that_cannot_be_collected(
    project: Project,
) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\nprovider = "openai"\n[[eval]]\nenv_id = "nowhere"\n')
    project.pytester.makeconftest(
        """
        import dataclasses

        def pytest_evals_modify_evals(evals):
            evals[0] = dataclasses.replace(evals[0], num_examples=1, env_args={"examples": 2})
        """
    )
    result = project.run("bench.toml", "--co", "--evals-show-config")
    assert result.ret == 1
    first, second = shown(result.stdout.str())
    assert (first["num_examples"], first["env_args"]) == (1, {"examples": 2})
    assert second["env_id"] == "nowhere"
    result.stdout.fnmatch_lines(["num_examples = 1  # pytest_evals_modify_evals"])


@pytest.mark.workers
def test_show_config_in_a_session_that_runs(project: Project, url: str) -> None:
    project.evals(ONE_EVAL + "num_examples = 1\n", url=url)
    result = project.run("bench.toml", "--evals-show-config")
    assert result.ret == 0
    (spec,) = shown(result.stdout.str())
    assert (spec["name"], spec["num_examples"]) == ("sums", 1)
    result.stdout.fnmatch_lines(["num_examples = 1  # bench.toml:6"])


def test_show_config_of_hostile_values(project: Project, url: str) -> None:
    value = 'x\x1b[31m "quoted" ::error:: \u202e end'
    project.evals(ONE_EVAL, url=url)
    result = project.run(
        "bench.toml",
        "--co",
        "--evals-show-config",
        f"--evals-extra-env-kwargs={json.dumps({'note': value})}",
    )
    assert "\x1b[31m" not in result.stdout.str()
    assert shown(result.stdout.str())[0]["extra_env_kwargs"] == {"note": value}


class TestNamedEnvironments:
    def arguments(self, url: str) -> list[str]:
        return ["--evals-model=demo-small", f"--evals-api-base-url={url}"]

    @pytest.mark.workers
    def test_by_id_without_a_file(self, project: Project, url: str) -> None:
        project.pytester.makepyfile(test_plain="def test_one(): raise AssertionError")
        result = project.run(
            "--evals-env-id",
            "sums",
            "--evals-num-examples=2",
            "--evals-gate",
            "reward >= 0",
            *self.arguments(url),
        )
        assert result.ret == 0
        result.assert_outcomes(passed=2 * 3 + 2)
        assert project.metadata()["env_id"] == "sums"
        result.stdout.fnmatch_lines(["results of sums::sums: outputs/evals/sums--demo-small/*"])

    def test_junit_lf_and_selection(self, project: Project, url: str) -> None:
        common = ["--evals-env-id=sums", "--evals-num-examples=2", *self.arguments(url)]
        red = project.run(*common, "--evals-gate=reward >= 1.5", "--junitxml=evals.xml", "-v")
        assert red.ret == 1
        red.assert_outcomes(passed=7, failed=1)
        assert 'classname="sums.sums"' in (project.path / "evals.xml").read_text()
        red.stdout.fnmatch_lines(["sums::sums::gate-reward FAILED*"])
        again = project.run(*common, "--evals-gate=reward >= 1.5", "--lf", "--co", "-q")
        assert "sums::sums::gate-reward" in again.stdout.str()
        assert "sums::sums::0-r0" not in again.stdout.str()
        one = project.run(*common, "-k", "0-r0", "--evals-partial")
        assert one.ret == 0
        one.assert_outcomes(passed=1, deselected=6)

    def test_beside_what_else_is_named(self, project: Project, url: str) -> None:
        project.pytester.makepyfile(test_plain="def test_one(): pass")
        project.environment("other", (project.path / "environments" / "sums.py").read_text())
        result = project.run(
            "test_plain.py",
            "--evals-env-id=sums",
            "--evals-env-id=owner/other",
            "--evals-num-examples=1",
            "--evals-rollouts-per-example=1",
            *self.arguments(url),
        )
        assert result.ret == 0
        result.assert_outcomes(passed=1 + 2 + 2)

    @pytest.mark.workers
    def test_that_does_not_exist_is_red(self, project: Project, url: str) -> None:
        result = project.run("--evals-env-id=nowhere", *self.arguments(url))
        assert result.ret == 1
        result.assert_outcomes(errors=1)
        result.stdout.fnmatch_lines(["*environment 'nowhere' was not found*"])

    @pytest.mark.parametrize("env_id", ["", "a b", "../x", "a::b", "x[1]", "x" * 5000])
    def test_ids_that_are_none(self, project: Project, url: str, env_id: str) -> None:
        result = project.run(f"--evals-env-id={env_id}", *self.arguments(url))
        assert result.ret == 1
        result.assert_outcomes(errors=1)

    def test_twice_is_wrong_usage(self, project: Project, url: str) -> None:
        result = project.run("--evals-env-id=a/sums", "--evals-env-id=b/sums")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        output = result.stdout.str() + result.stderr.str()
        assert "there is an environment 'sums' already; run it alone" in output

    def test_from_another_folder(self, project: Project, url: str, tmp_path: Path) -> None:
        (project.path / "environments").rename(project.path / "mine")
        (project.path / "mine" / "pyproject.toml").write_text(
            "[tool.verifiers.eval]\nnum_examples = 1\nrollouts_per_example = 2\n"
        )
        common = ["--evals-env-id=sums", *self.arguments(url)]
        for option in ("--evals-env-dir-path=mine", "--evals-set=env_dir_path='mine'"):
            result = project.run(*common, option)
            assert result.ret == 0
            result.assert_outcomes(passed=2 + 1)

    def test_that_a_hook_makes(self, project: Project, url: str) -> None:
        project.pytester.makeconftest(
            """
            import pytest_evals as vf

            def pytest_evals_load_environment(spec):
                assert spec.env_id == "owner/made-up"
                return vf.SingleTurnEnv(
                    dataset=[{"question": "q"}], rubric=vf.Rubric(funcs=[lambda: 1.0])
                )
            """
        )
        result = project.run("--evals-env-id=owner/made-up", *self.arguments(url))
        assert result.ret == 0
        result.stdout.fnmatch_lines(["results of made-up::made-up: *"])

    @pytest.mark.workers
    def test_by_path_with_every_setting(self, project: Project) -> None:
        with DemoServer() as server:
            result = project.run(
                "environments/sums.py",
                "--evals-env-args",
                '{"answer": "zero"}',
                "--evals-sampling-args={}",
                "--evals-temperature=0.25",
                "--evals-set=num_examples=1",
                *self.arguments(server.url),
            )
            assert {body["temperature"] for body in server.bodies} == {0.25}
        assert result.ret == 0
        assert project.metadata()["avg_reward"] == 0
