"""No key leaves the process: terminal, JUnit, results, metadata and log."""

from __future__ import annotations

import base64

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

KEY = "sk-secret/of+the=test-0123456789"

LEAKY = """
    import base64, json, os, urllib.parse
    import pytest_evals as vf

    def forms():
        key = os.environ["LEAKY_KEY"]
        basic = base64.b64encode(f"user:{key}".encode()).decode()
        return [key, urllib.parse.quote(key, safe=""), basic, json.dumps(key), key.encode().hex()]

    def reward(completion, info):
        completion[-1]["content"] += " ".join(forms())
        if info["fails"]:
            local = forms()
            raise ValueError(" ".join(forms()))
        return 1.0

    def load_environment(leak="no"):
        if leak == "load":
            raise RuntimeError(" ".join(forms()))
        rows = [
            {
                "question": "What is 1 + 1? " + " ".join(forms()),
                "info": {"fails": n == 0, "x": forms()},
            }
            for n in range(2)
        ]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[reward]))
"""


def _assert_clean(project: Project, result: pytest.RunResult) -> None:
    texts = [result.stdout.str(), result.stderr.str()]
    texts += [path.read_text() for path in project.path.rglob("outputs/**/*") if path.is_file()]
    texts += [path.read_text() for path in project.path.glob("*.xml")]
    inner = base64.b64encode(f"user:{KEY}".encode()).decode()[8:-4]
    for text in texts:
        for form in (KEY, "sk-secret%2Fof%2Bthe%3Dtest", inner, KEY.encode().hex()):
            assert form not in text


@pytest.mark.workers
def test_a_key_is_masked_wherever_it_shows(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKY_KEY", KEY)
    project.environment("leaky", LEAKY)
    with DemoServer(key=KEY) as server:
        project.evals(
            '[[eval]]\nenv_id = "leaky"\napi_key_var = "LEAKY_KEY"\nrollouts_per_example = 1',
            url=server.url,
        )
        result = project.run("bench.toml", "-rA", "--showlocals", "--junitxml=evals.xml")
    assert result.ret == 1
    result.assert_outcomes(passed=1, errors=1, failed=1)
    result.stdout.fnmatch_lines(["*raised ValueError: ***"])
    _assert_clean(project, result)


def test_a_key_is_masked_in_collection_errors(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEAKY_KEY", KEY)
    project.environment("leaky", LEAKY)
    with DemoServer(key=KEY) as server:
        project.evals(
            '[[eval]]\nenv_id = "leaky"\nenv_args = { leak = "load" }\napi_key_var = "LEAKY_KEY"',
            url=server.url,
        )
        result = project.run("bench.toml", "--showlocals", "--junitxml=evals.xml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*RuntimeError: *"])
    _assert_clean(project, result)


@pytest.mark.parametrize("capture", ["fd", "no"])
def test_a_key_is_masked_in_what_a_teardown_prints(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch, capture: str
) -> None:
    monkeypatch.setenv("LEAKY_KEY", KEY)
    project.environment(
        "torn",
        """
        import os
        import pytest_evals as vf

        class Torn(vf.SingleTurnEnv):
            @vf.teardown
            async def close(self):
                print("closed", os.environ["LEAKY_KEY"])

        def load_environment():
            return Torn(dataset=[{"question": "What is 1 + 1?"}], rubric=vf.Rubric())
        """,
    )
    project.evals('[[eval]]\nenv_id = "torn"\napi_key_var = "LEAKY_KEY"', url=url)
    result = project.run("bench.toml", f"--capture={capture}")
    assert "closed" in result.stdout.str()
    assert KEY not in result.stdout.str()
