"""The judge of docs/environments.md, run as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import Project

GUIDE = Path(__file__).parents[2] / "docs" / "environments.md"


def test_the_documented_judge_runs(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (source,) = [block for block in blocks if "JudgeRubric(" in block]
    project.environment("judged", source)
    project.evals('[[eval]]\nenv_id = "judged"\ngates = ["judged >= 0.1"]', url=url)
    monkeypatch.setenv("JUDGE_URL", url)
    monkeypatch.setenv("JUDGE_KEY", "any")
    result = project.run("bench.toml")
    assert result.ret == 0, result.stdout.str()
    assert all(row["metrics"]["judged"] in (0, 1) for row in project.rows())
