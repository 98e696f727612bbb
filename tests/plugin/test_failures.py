"""What goes wrong: each is red, with one message that says what and where."""

from __future__ import annotations

import re
import socket
import sys
from xml.etree import ElementTree

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import SUMS, Project

ONE_EVAL = '[[eval]]\nenv_id = "sums"\n'
FIRST_AND_REST = {"errors": 1, "skipped": 11, "failed": 1}


def test_server_down(project: Project, impatient: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    project.evals(ONE_EVAL, url=f"http://127.0.0.1:{port}/v1")
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(**FIRST_AND_REST)
    result.stdout.fnmatch_lines(
        [
            "FAILED bench.toml::sums::gate-error_rate - *nothing was scored*",
            f"ERROR bench.toml::sums::0-r* - unmeasured: api_base_url*ModelError: cannot connect to"
            f" http://127.0.0.1:{port}/v1*",
            "sums *FAILED*",
        ]
    )
    assert result.stdout.str().count("cannot connect") < 5
    assert {row["state"] for row in project.rows()} == {"unmeasured"}
    assert {row["reward"] for row in project.rows()} == {None}
    assert project.metadata()["verdict"] == "failed"


def test_server_that_always_fails(project: Project, impatient: None) -> None:
    with DemoServer(status=500) as server:
        project.evals(ONE_EVAL, url=server.url)
        result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(**FIRST_AND_REST)
    result.stdout.fnmatch_lines(["ERROR bench.toml::sums::0-r? - unmeasured: *500*"])


@pytest.mark.workers
def test_a_server_that_only_refuses_is_soon_given_up(project: Project, impatient: None) -> None:
    with DemoServer(status=429) as server:
        project.evals(ONE_EVAL + "num_examples = 8\nrollouts_per_example = 4\n", url=server.url)
        project.environment("sums", SUMS.replace("examples=4", "examples=8"))
        result = project.run("bench.toml")
        assert server.requests <= 4 * 32
    assert result.ret == 1
    result.stdout.fnmatch_lines(["ERROR bench.toml::sums::* - unmeasured: *429*gave up after *"])
    log = (project.runs()[0] / "run.log").read_text()
    assert re.search(r"requests of this session were refused (once|\d+ times) \(429\)", log)


def test_rejected_key_shows_the_servers_words_once(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WRONG_KEY", "sk-this-is-wrong")
    with DemoServer(key="sk-the-right-one") as server:
        project.evals(ONE_EVAL + 'api_key_var = "WRONG_KEY"', url=server.url)
        result = project.run("bench.toml", "-rsE", "--evals-max-concurrent=1")
        assert server.requests == 1
    assert result.ret == 1
    result.assert_outcomes(**FIRST_AND_REST)
    result.stdout.fnmatch_lines(
        [
            "SKIPPED [[]11[]]*not measured for the same reason as bench.toml::sums::0-r0*",
            "ERROR bench.toml::sums::0-r0 - unmeasured: *RejectedError:*401*",
        ]
    )
    assert "sk-this-is-wrong" not in result.stdout.str()
    kept = "".join(path.read_text() for path in project.runs()[0].iterdir())
    assert "sk-this-is-wrong" not in kept


def test_unknown_model(project: Project, url: str) -> None:
    project.evals(ONE_EVAL + 'model = "demo-huge"', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(**FIRST_AND_REST)
    result.stdout.fnmatch_lines(["ERROR * - unmeasured: *404*demo-huge*does not exist*"])


def test_replies_that_are_not_json(project: Project, impatient: None) -> None:
    with DemoServer(fault_rate=1.0, fault_kinds=("html",)) as server:
        project.evals(ONE_EVAL, url=server.url)
        result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(**FIRST_AND_REST)
    result.stdout.fnmatch_lines(["ERROR * - unmeasured: *InvalidModelResponseError*"])


def test_a_server_that_hangs_is_not_a_slow_model(project: Project) -> None:
    with DemoServer(fault_rate=1.0, fault_kinds=("hang",)) as server:
        project.evals(ONE_EVAL + "timeout = 0.1", url=server.url)
        result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(**FIRST_AND_REST)
    result.stdout.fnmatch_lines(["ERROR * - unmeasured: *no answer within the 0.1 s of timeout*"])


def test_a_slow_answer_of_a_server_that_answers_is_scored(project: Project) -> None:
    with DemoServer(straggler=3600.0) as server:
        project.evals(ONE_EVAL + "timeout = 1.0", url=server.url)
        result = project.run("bench.toml")
    assert result.ret == 0
    (slow,) = [row for row in project.rows() if row["stop_condition"] == "timeout_reached"]
    assert (slow["state"], slow["reward"], slow["completion"]) == ("scored", 0.0, [])


def test_a_hiccup_is_retried_and_costs_nothing(project: Project, impatient: None) -> None:
    with DemoServer(fault_rate=0.3, fault_kinds=("429", "500", "reset", "html")) as server:
        project.evals(ONE_EVAL, url=server.url)
        result = project.run("bench.toml")
        assert server.requests > 12
    assert result.ret == 0
    assert {row["state"] for row in project.rows()} == {"scored"}


@pytest.mark.workers
def test_tolerated_errors_are_skipped_and_counted(project: Project) -> None:
    project.environment(
        "flaky",
        """
        import pytest_evals as vf

        async def reward(answer):
            if answer == "3":
                raise vf.InfraError("the judge is down")
            return 1.0

        def load_environment():
            rows = [{"question": str(n), "answer": str(n)} for n in range(4)]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[reward]))
        """,
    )
    with DemoServer() as server:
        project.evals(
            '[[eval]]\nenv_id = "flaky"\nrollouts_per_example = 1\n'
            'gates = ["error_rate <= 0.3", "reward >= 0.5"]',
            url=server.url,
        )
        result = project.run("bench.toml", "-rs")
    assert result.ret == 0
    result.assert_outcomes(passed=3 + 2, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*unmeasured: *the judge is down*"])
    assert project.metadata()["states"]["unmeasured"] == 1


@pytest.mark.workers
def test_a_gate_that_unmeasured_rollouts_could_turn_is_inconclusive(project: Project) -> None:
    project.environment(
        "flaky",
        """
        import pytest_evals as vf

        async def reward(answer):
            if answer == "3":
                raise vf.InfraError("the judge is down")
            return 1.0

        def load_environment():
            rows = [{"question": str(n), "answer": str(n)} for n in range(4)]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[reward]))
        """,
    )
    with DemoServer() as server:
        project.evals(
            '[[eval]]\nenv_id = "flaky"\nrollouts_per_example = 1\n'
            'gates = ["error_rate <= 0.3", "reward >= 0.9"]',
            url=server.url,
        )
        result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED bench.toml::flaky::gate-reward - INCONCLUSIVE: reward*"])
    assert project.metadata()["verdict"] == "inconclusive"


def test_environment_that_does_not_import(project: Project, url: str) -> None:
    project.environment("sums", "import no_such_module_anywhere\ndef load_environment(): ...")
    project.evals(ONE_EVAL, url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*'sums'*No module named 'no_such_module_anywhere'*"])


@pytest.mark.workers
@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("def load_environment(\n", "*env.py): SyntaxError: *"),
        ("import nowhere_to_be_found\ndef load_environment(): ...\n", "*ModuleNotFoundError: *"),
        ("def load_environment():\n    return 3\n", "*returned int, not an Environment*"),
        (
            "import verifiers\ndef load_enviroment(): ...\n",
            "defines load_enviroment(); an environment is made by *(environments/env.py:2)",
        ),
    ],
    ids=["syntax", "import", "returned", "misnamed"],
)
def test_environment_file_that_cannot_be_used_is_one_error(
    project: Project, source: str, told: str
) -> None:
    project.environment("env", source)
    result = project.run("environments/env.py", "--evals-provider=local")
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"ERROR environments/env.py* - {told}"])


def test_without_a_key_an_environment_file_is_one_error_too(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRIME_API_KEY", raising=False)
    project.environment("env", "import nowhere_to_be_found\ndef load_environment(): ...\n")
    result = project.run("environments/env.py")
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["PRIME_API_KEY is not set*"])


def test_a_test_file_stays_one(project: Project) -> None:
    tests = "import pytest_evals\n\ndef load_enviroment(): ...\n\ndef test_it():\n    pass\n"
    project.environment("env", tests)
    result = project.run("environments/env.py")
    assert result.ret == 0
    result.assert_outcomes(passed=1)
    project.environment("env", "import nowhere_to_be_found\n" + tests)
    result = project.run("environments/env.py")
    assert result.ret == 2
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["ImportError while importing test module*"])


def test_environment_that_is_not_there(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "nowhere"', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["ERROR bench.toml::nowhere - environment 'nowhere' was not found* (bench.toml:5)"]
    )


def test_dataset_without_rows(project: Project, url: str) -> None:
    project.evals(ONE_EVAL + "env_args = { examples = 0 }", url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["ERROR bench.toml::sums - *the dataset has no rows*"])


def test_two_examples_with_the_same_id(project: Project, url: str) -> None:
    project.environment(
        "twins",
        """
        import pytest_evals as vf

        def load_environment():
            rows = [{"question": "a", "example_id": 7}, {"question": "b", "example_id": 7}]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric())
        """,
    )
    project.evals('[[eval]]\nenv_id = "twins"', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*example_id 7*"])


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('no such answer')", "*raised ValueError: no such answer*"),
        ("return float('nan')", "*returned nan*"),
        ("return '0.5'", "*returned '0.5' (str)*"),
        ("return None", "*returned None*"),
        ("raise SystemExit(3)", "*raised SystemExit: 3*"),
    ],
)
def test_reward_function_at_fault(project: Project, url: str, body: str, told: str) -> None:
    project.environment(
        "faulty",
        f"""
        import pytest_evals as vf

        def judge_it(completion):
            {body}

        def load_environment():
            rows = [{{"question": "What is 1 + 1?"}}, {{"question": "What is 2 + 1?"}}]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[judge_it]))
        """,
    )
    project.evals('[[eval]]\nenv_id = "faulty"\nrollouts_per_example = 2', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(errors=4, failed=1)
    result.stdout.fnmatch_lines(["*reward function 'judge_it' " + told.removeprefix("*")])
    assert {row["state"] for row in project.rows()} == {"broken"}


def test_only_the_first_of_equal_errors_has_a_traceback(project: Project, url: str) -> None:
    project.environment(
        "faulty",
        """
        import pytest_evals as vf

        def judge_it(completion):
            return completion.no_such_attribute

        def load_environment():
            rows = [{"question": "What is 1 + 1?"}]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[judge_it]))
        """,
    )
    project.evals('[[eval]]\nenv_id = "faulty"\nrollouts_per_example = 3', url=url)
    output = project.run("bench.toml").stdout.str()
    assert output.count("return completion.no_such_attribute") == 1
    short = "\nbroken like 0-r0: AttributeError: 'list' object has no attribute 'no_such_attribute'"
    assert output.count(f"{short} at environments/faulty.py:5\n") == 2
    assert output.count("assistant:") == 1  # and a transcript
    assert "pytest_evals/rubrics" not in output


def test_environment_code_that_raises(project: Project, url: str) -> None:
    project.environment(
        "faulty",
        """
        import pytest_evals as vf

        class Env(vf.SingleTurnEnv):
            async def setup_state(self, state):
                return state["input"]["no such column"]

        def load_environment():
            return Env(dataset=[{"question": "What is 1 + 1?"}], rubric=vf.Rubric())
        """,
    )
    project.evals('[[eval]]\nenv_id = "faulty"', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(errors=3, failed=1)
    result.stdout.fnmatch_lines(["*broken: KeyError: 'no such column'*"])


def test_gate_on_a_metric_that_does_not_exist_costs_nothing(project: Project) -> None:
    with DemoServer() as server:
        project.evals(ONE_EVAL + 'gates = ["corect >= 0.5"]', url=server.url)
        result = project.run("bench.toml")
        assert server.requests == 0
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "ERROR bench.toml::sums - gate 'corect >= 0.5': the rubric of 'sums' has no metric"
            " 'corect' (did you mean 'correct'?); it has correct, num_turns (bench.toml:6)"
        ]
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('gates = [\n"reward >= 0",\n"corect >= 0",\n]', "gate 'corect >= 0': * (bench.toml:5)"),
        ("env_args = {\nexampels = 3 }", "*no argument 'exampels'* (bench.toml:4)"),
        ('\nprovider = "opnai"', "*'opnai'*did you mean 'openai'* (bench.toml:4)"),
        ('\nendpoint_id = "nowhere"', "endpoint_id 'nowhere'* (bench.toml:4)"),
    ],
    ids=["gate", "argument", "provider", "endpoint"],
)
def test_an_error_names_the_line_of_its_key(project: Project, text: str, told: str) -> None:
    project.evals(ONE_EVAL + text)
    arguments = [] if "provider" in text or "endpoint" in text else ["--evals-provider=local"]
    result = project.run("bench.toml", *arguments)
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"ERROR bench.toml::sums - {told}"])


@pytest.mark.parametrize(
    ("module", "extra"), [("datasets", "datasets"), ("math_verify", "math")], ids=str
)
@pytest.mark.parametrize("where", ["module", "function"])
def test_a_package_of_an_extra_that_is_missing(
    project: Project, monkeypatch: pytest.MonkeyPatch, module: str, extra: str, where: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    missing = f"import {module}\n"
    body = "    return 1\n" if where == "module" else f"    {missing}"
    head = missing if where == "module" else ""
    project.environment("env", f"{head}def load_environment():\n{body}")
    result = project.run("environments/env.py", "--evals-provider=local")
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"ERROR *; pip install 'pytest-rollouts[[]{extra}]'"])


def test_a_model_that_may_be_a_mistyped_alias(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PRIME_API_KEY", raising=False)
    result = project.run("environments/sums.py", "--evals-model=demo-smal")
    result.stdout.fnmatch_lines(["model 'demo-smal' is taken for a model id: there are no *"])
    folder = project.path / "configs"
    folder.mkdir()
    (folder / "endpoints.toml").write_text(
        '[[endpoint]]\nendpoint_id = "demo-small"\nmodel = "m"\nurl = "http://127.0.0.1:9/v1"\n'
    )
    result = project.run("environments/sums.py", "--evals-model=demo-smal")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*is not in *endpoints.toml (did you mean 'demo-small'?)"])
    result = project.run("environments/sums.py")
    assert "taken for a model id" not in result.stdout.str()


def test_gate_on_a_metric_that_a_hook_does_not_know(project: Project, url: str) -> None:
    project.pytester.makeconftest("def pytest_evals_metric(metric): return None")
    project.evals(ONE_EVAL + 'gates = ["corect >= 0.5"]', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["FAILED bench.toml::sums::gate-corect - *no rollout has a metric 'corect'*'correct'*"]
    )


def test_wire_format_without_a_client(project: Project, url: str) -> None:
    (project.path / "endpoints.toml").write_text(
        f'[[endpoint]]\nendpoint_id = "odd"\nmodel = "m"\nurl = "{url}"\nkey = "EMPTY"\n'
        'api_client_type = "renderer"\n'
    )
    project.evals(ONE_EVAL + 'endpoint_id = "odd"\nendpoints_path = "endpoints.toml"')
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*client type 'renderer' is not supported*"])


def test_missing_key_is_one_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRIME_API_KEY", raising=False)
    project.evals('[[eval]]\nenv_id = "sums"\n[[eval]]\nenv_id = "sums"\nname = "again"')
    result = project.run("bench.toml", "--junitxml=evals.xml")
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*bench.toml:1: PRIME_API_KEY is not set*", "evals without a key: sums, again"]
    )
    assert ElementTree.parse(project.path / "evals.xml").find(".//error") is not None


def test_broken_config_is_one_error_before_any_import(project: Project) -> None:
    project.environment("sums", "raise AssertionError('imported')\ndef load_environment(): ...")
    project.evals('[[eval]]\nenv_id = "sums"\nnum_exmples = 3\n')
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*bench.toml:3: *num_exmples*did you mean 'num_examples'*"])
    assert "imported" not in result.stdout.str()


def test_a_rollout_that_cancels_itself_is_broken(project: Project, url: str) -> None:
    project.environment(
        "quitter",
        """
        import asyncio
        import pytest_evals as vf

        class Env(vf.SingleTurnEnv):
            async def setup_state(self, state):
                raise asyncio.CancelledError

        def load_environment():
            return Env(dataset=[{"question": "What is 1 + 1?"}], rubric=vf.Rubric())
        """,
    )
    project.evals('[[eval]]\nenv_id = "quitter"', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(errors=3, failed=1)
    result.stdout.fnmatch_lines(
        ["*broken: RuntimeError: the code of the environment cancelled the rollout*"]
    )


@pytest.mark.workers
def test_output_folder_that_cannot_be_made(project: Project, url: str) -> None:
    project.evals(ONE_EVAL, url=url)
    (project.path / "outputs").write_text("a file")
    result = project.run("bench.toml")
    assert result.ret == 1
    assert "INTERNALERROR" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*outputs*"])


@pytest.mark.workers
def test_managed_server_that_does_not_start(project: Project) -> None:
    (project.path / "endpoints.toml").write_text(
        '[[endpoint]]\nendpoint_id = "own"\nmodel = "m"\n'
        "serve = \"{python} -c 'print(12345); raise SystemExit(9)' {port}\"\n"
    )
    project.evals(ONE_EVAL + 'endpoint_id = "own"\nendpoints_path = "endpoints.toml"')
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(**FIRST_AND_REST)
    result.stdout.fnmatch_lines(["ERROR bench.toml::sums::0-r0 - unmeasured: *endpoint 'own'*"])


def test_hostile_text_reaches_the_terminal_visibly(project: Project, url: str) -> None:
    project.environment(
        "hostile",
        r"""
        import pytest_evals as vf

        def load_environment():
            rows = [{"question": "\x1b[2J\x07 What is 1 + 1?"}]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[lambda answer: 1.0]))
        """,
    )
    project.evals('[[eval]]\nenv_id = "hostile"', url=url)
    output = project.run("bench.toml", "-rA", "--color=no").stdout.str()
    assert "\x1b" not in output
    assert r"\x1b[2J\x07" in output


def test_the_summary_begins_with_the_cause(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\nnum_exmples = 3\n', url=url)
    result = project.run("bench.toml")
    cause = "unknown key 'num_exmples'; did you mean 'num_examples'?"
    result.stdout.fnmatch_lines(
        [f"{project.path}/bench.toml:6: {cause}", f"ERROR bench.toml - {cause} (bench.toml:6)"]
    )


def test_a_session_that_stopped_claims_no_skipped_rollouts(project: Project) -> None:
    project.environment("sums", SUMS.replace("return float(", "raise KeyError(answer)\n        ("))
    with DemoServer(latency=0.05) as server:
        project.evals(ONE_EVAL, url=server.url)
        result = project.run("bench.toml", "-x", "--evals-max-concurrent=4")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["1 rollout of sums failed or ended in an error"])
