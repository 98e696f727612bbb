"""Keys that no endpoint names, and what pytest itself writes of environments: nothing is raw."""

from __future__ import annotations

import pytest

import pytest_evals.environments.keys as keys_asked_for

from .conftest import Project

JUDGE_KEY = "sk-judge-0123456789"
ENSURED = "ensured/0123456789"
NAMED = "named-0123456789"
KEYS = (JUDGE_KEY, ENSURED, NAMED)

# Each way out of an environment, with every key and a colour in it.
LEAKY = """
    import asyncio, gc, logging, os, threading, warnings
    import pytest_evals as vf

    vf.ensure_keys(["SANDBOX_LOGIN"])

    def text(where):
        names = ("OPENAI_API_KEY", "SANDBOX_LOGIN", "SOME_TOKEN")
        return f"{where}: {' '.join(os.environ[name] for name in names)} \\x1b[31m"

    class Dying:
        def __del__(self):
            raise ValueError(text("destructor"))

    warnings.warn(text("import"))

    def load_environment(ways=""):
        warnings.warn(text("load"))
        logging.getLogger("leaky").warning("%s", text("load"))

        async def fails():
            raise ValueError(text("task"))

        def raises():
            raise ValueError(text("thread"))

        async def reward(completion, state):
            if "warn" in ways:
                thread = threading.Thread(target=raises)
                thread.start()
                thread.join()
                Dying()
            if "task" in ways:
                task = asyncio.ensure_future(fails())
                await asyncio.wait([task])
                del task
                gc.collect()
            if "raise" in ways:
                completion[-1]["content"] += text("completion")
                raise ValueError(text("raised"))
            return 1.0

        rows = [{"question": f"What is {n} + {n}?", "answer": "5"} for n in range(3)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[reward]))
"""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, key in zip(("OPENAI_API_KEY", "SANDBOX_LOGIN", "SOME_TOKEN"), KEYS, strict=True):
        monkeypatch.setenv(name, key)


def _run(project: Project, url: str, ways: str, *args: str) -> tuple[pytest.RunResult, str]:
    """Run the eval; return the result and all that was written."""
    project.environment("leaky", LEAKY)
    project.evals(
        f'[[eval]]\nenv_id = "leaky"\nenv_args = {{ ways = "{ways}" }}\nrollouts_per_example = 1',
        url=url,
    )
    result = project.run("bench.toml", "-Wdefault", "--junitxml=evals.xml", *args)
    files = [path for path in project.path.rglob("outputs/**/*") if path.is_file()]
    files.append(project.path / "evals.xml")
    texts = [result.stdout.str(), result.stderr.str(), *(path.read_text() for path in files)]
    return result, "\n".join(texts)


def _assert_clean(text: str) -> None:
    for key in KEYS:
        assert key not in text
    assert "\x1b" not in text


@pytest.mark.workers
def test_keys_that_no_endpoint_names_are_masked(project: Project, url: str) -> None:
    result, text = _run(project, url, "raise", "-rA")
    result.assert_outcomes(errors=3, failed=1)
    assert "raised: *** *** ***" in text
    assert "completion: *** *** ***" in text
    _assert_clean(text)


@pytest.mark.workers
def test_warnings_are_clean(project: Project, url: str) -> None:
    result, text = _run(project, url, "warn")
    assert result.ret == 0
    for where in ("import", "load", "thread", "destructor"):
        assert f"{where}: *** *** *** \\x1b[31m" in text, where
    _assert_clean(text)


@pytest.mark.parametrize("option", ["log_cli=true", "log_file=pytest.log"])
def test_every_log_record_is_clean(project: Project, url: str, option: str) -> None:
    result, text = _run(project, url, "task", "-o", option)
    assert result.ret == 0
    log = project.path / "pytest.log"
    text += log.read_text() if log.exists() else ""
    assert "load: *** *** *** \\x1b[31m" in text
    assert "Task exception was never retrieved" in text
    assert "ValueError: task: *** *** *** \\x1b[31m" in text
    _assert_clean(text)


def test_the_log_of_a_plain_test_is_clean(project: Project, url: str) -> None:
    project.pytester.makepyfile(
        test_plain="""
        import logging, os, pytest

        def test_plain(caplog):
            logging.getLogger("plain").warning("said %s \\x1b[31m", os.environ["SOME_TOKEN"])
            assert os.environ["SOME_TOKEN"] in caplog.text
            pytest.fail("to be shown", pytrace=False)
        """
    )
    result, text = _run(project, url, "", "test_plain.py")
    result.assert_outcomes(failed=1, passed=4, warnings=2)
    result.stdout.fnmatch_lines(["to be shown", "*said [*][*][*] \\x1b*"])
    _assert_clean(text)


def test_nothing_of_a_session_is_left(project: Project, url: str) -> None:
    before = len(keys_asked_for._watchers)
    _run(project, url, "")
    assert len(keys_asked_for._watchers) == before


@pytest.mark.workers
def test_what_a_managed_server_says_is_masked(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.path / "server.py").write_text(
        "import os, sys\n"
        "print('key', os.environ['SOME_TOKEN'], os.environ['LATER'], '\\x1b[31m', flush=True)\n"
        "print('x' * 290 + os.environ['SOME_TOKEN'], flush=True)\n"
        "sys.exit(3)\n"
    )
    monkeypatch.setenv("LATER", "header-0123456789")
    (project.path / "endpoints.toml").write_text(
        '[[endpoint]]\nendpoint_id = "m"\nmodel = "m"\nkey = "EMPTY"\n'
        f'serve = "{{python}} server.py {NAMED} \\u001b[31m {{port}}"\n'
        'headers = { Authorization = "Bearer header-0123456789" }\n'
    )
    project.evals(
        '[[eval]]\nenv_id = "sums"\nendpoints_path = "endpoints.toml"\nendpoint_id = "m"\n'
        "rollouts_per_example = 1"
    )
    result = project.run("bench.toml")
    assert result.ret == 1
    (run,) = project.runs()
    log = (run / "run.log").read_text()
    assert "key *** *** \\x1b[31m" in log
    result.stdout.fnmatch_lines(["evals: starting *server.py [*][*][*] \\x1b*{port}"])
    for text in (result.stdout.str(), log, (run / "results.jsonl").read_text()):
        for secret in (NAMED, NAMED[:8], "header-0123456789", "\x1b"):
            assert secret not in text


@pytest.mark.workers
def test_errors_of_hooks_are_masked_where_they_are_raised(project: Project, url: str) -> None:
    (project.path / "endpoints.toml").write_text(
        f'[[endpoint]]\nendpoint_id = "m"\nmodel = "demo-small"\nkey = "EMPTY"\nurl = "{url}"\n'
        'headers = { Authorization = "Bearer header-0123456789" }\n'
    )
    with_password = url.replace("://", "://user:word-0123456789@")
    project.evals(
        f'endpoints_path = "endpoints.toml"\nendpoint_id = "m"\n[[eval]]\nenv_id = "sums"\n'
        f'[[eval]]\nenv_id = "sums"\nname = "other"\napi_base_url = "{with_password}"\n'
        'api_key_var = "SOME_TOKEN"\n'
    )
    project.pytester.makeconftest(
        """
        import os

        def pytest_evals_run_complete(config):
            texts = ("header-0123456789", "word-0123456789", os.environ["SANDBOX_LOGIN"])
            raise ValueError("told " + " ".join(texts) + " \\x1b[31m")
        """
    )
    project.environment(
        "sums",
        """
        import pytest_evals as vf

        def load_environment():
            vf.ensure_keys(["SANDBOX_LOGIN"])
            return vf.SingleTurnEnv(dataset=[{"question": "?"}], rubric=vf.Rubric())
        """,
    )
    keys_asked_for._asked_for.clear()
    result = project.run("bench.toml")
    result.stdout.fnmatch_lines(["*told [*][*][*] [*][*][*] [*][*][*] \\x1b*"])
    for secret in ("header-0123456789", "word-0123456789", *KEYS):
        assert secret not in result.stdout.str()


@pytest.mark.workers
def test_warnings_that_are_errors_are_clean(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        """
        import os, warnings

        def pytest_runtest_setup(item):
            warnings.warn(f"of a plugin: {os.environ['SOME_TOKEN']} \\x1b[31m")
        """
    )
    project.evals('[[eval]]\nenv_id = "sums"\nrollouts_per_example = 1', url=url)
    result = project.run("bench.toml", "-Werror", "--junitxml=evals.xml")
    text = result.stdout.str() + (project.path / "evals.xml").read_text()
    assert "UserWarning: of a plugin: *** \\x1b[31m" in text
    _assert_clean(text)


def test_the_reason_of_a_skip_is_clean(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        """
        import os, pytest

        def pytest_runtest_setup(item):
            pytest.skip(f"not now: {os.environ['SOME_TOKEN']} \\x1b[31m")
        """
    )
    project.evals('[[eval]]\nenv_id = "sums"\nrollouts_per_example = 1', url=url)
    result = project.run("bench.toml", "-rs", "--junitxml=evals.xml")
    text = result.stdout.str() + (project.path / "evals.xml").read_text()
    assert "not now: *** \\x1b[31m" in text
    _assert_clean(text)
