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
    # In a process of its own: it leaves its judge's connections open.
    process = project.start("bench.toml")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert all(row["metrics"]["judged"] in (0, 1) for row in project.rows())
