"""The same evals over every client type, against the same model."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

CHAT = "openai_chat_completions"
TYPES = (
    "openai_completions",
    "openai_chat_completions_token",
    "openai_responses",
    "anthropic_messages",
)
PATHS = {
    CHAT: "messages",
    "openai_completions": "prompt",
    "openai_chat_completions_token": "return_token_ids",
    "openai_responses": "input",
    "anthropic_messages": "max_tokens",
}
SUMS = """
[[eval]]
env_id = "sums"
endpoint_id = "demo"
num_examples = 12
env_args = { examples = 40 }
"""
PENS = """
    import pytest_evals as vf

    def multiply(a: int, b: int) -> int:
        '''Multiply two numbers.

        Args:
            a: a factor.
            b: the other.
        '''
        return a * b

    def correct(completion, answer):
        return float(answer in str(completion[-1]["content"]))

    def load_environment():
        rows = [
            {
                "question": f"{n} boxes of {n + 9} pens and 4 boxes of {n} pencils. How many?",
                "answer": str(n * (n + 9) + 4 * n),
            }
            for n in range(2, 12)
        ]
        rubric = vf.Rubric(funcs=[correct])
        return vf.ToolEnv(
            dataset=rows, tools=[multiply], rubric=rubric, system_prompt="Use the tool."
        )
"""


def _run(project: Project, url: str, client_type: str, text: str, *, key: str = "") -> list[float]:
    """Return the rewards of an eval over a client type, in order of its examples."""
    (project.path / "configs").mkdir(exist_ok=True)
    (project.path / "configs" / "endpoints.toml").write_text(
        f'[[endpoint]]\nendpoint_id = "demo"\nmodel = "demo-small"\nurl = "{url}"\n'
        f'api_client_type = "{client_type}"\n{key}'
    )
    project.evals(text + 'rollouts_per_example = 1\ngates = ["reward >= 0"]\n')
    before = set(project.runs())
    result = project.run("bench.toml")
    assert result.ret == 0, result.stdout.str()
    (folder,) = set(project.runs()) - before
    rows = sorted(project.rows(folder), key=lambda row: int(row["example_id"]))
    assert {row["state"] for row in rows} == {"scored"}
    return [row["reward"] for row in rows]


@pytest.mark.parametrize("client_type", TYPES)
def test_sums_have_the_same_rewards(project: Project, client_type: str) -> None:
    with DemoServer() as server:
        expected = _run(project, server.url, CHAT, SUMS)
        found = _run(project, server.url, client_type, SUMS)
        assert PATHS[client_type] in server.bodies[-1]
    assert found == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("client_type", TYPES[1:])
def test_conversations_with_tools_have_the_same_rewards(project: Project, client_type: str) -> None:
    project.environment("pens", PENS)
    text = '[[eval]]\nenv_id = "pens"\nendpoint_id = "demo"\nnum_examples = 10\n'
    with DemoServer() as server:
        expected = _run(project, server.url, CHAT, text)
        asked = server.requests
        found = _run(project, server.url, client_type, text)
        assert server.requests - asked == asked > 2 * len(expected)
    assert found == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize("client_type", TYPES)
@pytest.mark.usefixtures("impatient")
def test_faults_cost_no_rollout(project: Project, client_type: str) -> None:
    kinds = ("429", "500", "529", "reset", "truncated")
    with DemoServer(fault_rate=0.2, fault_kinds=kinds, fault_seed=37) as server:
        found = _run(project, server.url, client_type, SUMS)
        assert server.requests > len(found)
    with DemoServer() as server:
        assert found == _run(project, server.url, client_type, SUMS)


@pytest.mark.workers
def test_anthropics_url_ends_before_the_version(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret")
    with DemoServer(key="sk-very-secret") as server:
        url = server.url.removesuffix("/v1")
        key = 'key = "SOME_API_KEY"\n'
        assert len(_run(project, url, "anthropic_messages", SUMS, key=key)) == 12


def test_what_a_format_cannot_say_is_a_mistake_of_its_eval_alone(project: Project) -> None:
    project.environment("pens", PENS)
    with DemoServer() as server:
        (project.path / "configs").mkdir()
        (project.path / "configs" / "endpoints.toml").write_text(
            f'[[endpoint]]\nendpoint_id = "demo"\nmodel = "demo-small"\nurl = "{server.url}"\n'
            'api_client_type = "openai_completions"\n'
        )
        project.evals('[[eval]]\nenv_id = "pens"\nendpoint_id = "demo"\n' + SUMS)
        result = project.run("bench.toml", "--evals-max-concurrent=1")
        assert {body["prompt"].split()[0] for body in server.bodies} == {"What"}
    assert result.ret == 1
    output = result.stdout.str()
    assert "SetupError: openai_completions takes no tools; ask the model over" in output
    states = {
        folder.parent.name.partition("--")[0]: row["state"]
        for folder in project.runs()
        for row in project.rows(folder)
    }
    assert states == {"pens": "broken", "sums": "scored"}
