"""Wire formats: one that a hook brings, and what a known one cannot say."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

ROW = """
[[endpoint]]
endpoint_id = "own"
model = "m"
url = "http://127.0.0.1:9/v1"
api_client_type = "{}"
"""
EVAL = """
    endpoints_path = "endpoints.toml"
    [[eval]]
    env_id = "sums"
    endpoint_id = "own"
    num_examples = 2
    gates = ["reward >= 0"]
"""
HOOK = """
    from pytest_evals.messages import Message, Response

    class Carrier:
        async def get_response(self, prompt, model, sampling_args, tools=None):
            return Response(Message(role="assistant", content="42"))

        async def close(self):
            pass

    def pytest_evals_make_client(endpoint):
        return Carrier() if endpoint.client_type == "pigeon" else None
"""


@pytest.mark.workers
def test_a_hook_brings_a_format_with_a_name_of_its_own(project: Project) -> None:
    (project.path / "endpoints.toml").write_text(ROW.format("pigeon"))
    project.pytester.makeconftest(HOOK)
    project.evals(EVAL)
    result = project.run("bench.toml")
    assert result.ret == 0, result.stdout.str()
    assert len(project.rows()) == 6


def test_without_the_hook_the_name_is_a_mistake(project: Project) -> None:
    (project.path / "endpoints.toml").write_text(ROW.format("pigeon"))
    project.evals(EVAL)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*endpoints.toml:6: *'api_client_type' is 'pigeon'*"])


def test_a_name_that_no_hook_knows_is_one_error(project: Project) -> None:
    (project.path / "endpoints.toml").write_text(ROW.format("openai_respnses"))
    project.pytester.makeconftest(HOOK)
    project.evals(EVAL)
    result = project.run("bench.toml")
    assert result.ret == 1
    assert "client type 'openai_respnses' is not supported" in result.stdout.str()


@pytest.mark.parametrize(
    ("client_type", "argument"),
    [
        ("openai_responses", 'stop = ["x"]'),
        ("openai_chat_completions", "extra_body = 3"),
    ],
)
def test_what_a_format_cannot_say_is_found_before_anything_is_sent(
    project: Project, client_type: str, argument: str
) -> None:
    with DemoServer() as server:
        text = f"""
            [[eval]]
            env_id = "sums"
            api_client_type = "{client_type}"
            sampling_args = {{ {argument} }}
        """
        project.evals(text, url=server.url)
        result = project.run("bench.toml")
    assert result.ret == 1
    assert server.requests == 0
    result.stdout.fnmatch_lines(["*bench.toml:8: *"])
