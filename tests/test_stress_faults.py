"""A short form of the script that runs evals against a provider that fails."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import stress_faults

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "stress_faults.py"


def test_faults_of_all_kinds_lose_and_spoil_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stress_faults, "KINDS", {"all": ("429", "500", "reset", "truncated")})
    assert stress_faults.faults(20, (0.2,)) == 0


def test_the_checks_find_what_is_wrong() -> None:
    def session(
        *rows: dict[str, object], requests: int = 2, peak: int = 1
    ) -> stress_faults.Session:
        return stress_faults.Session(list(rows), 1.0, requests, 0, peak)

    def row(rollout: int, **fields: object) -> dict[str, object]:
        plain = {"example_id": 0, "rollout": rollout, "state": "scored", "attempts": 1}
        return {**plain, "prediction": "4", **fields}

    expected = session(row(0), row(1))
    assert stress_faults.problems(expected, expected, 1) == []
    wrong = {
        "(0, 1) is lost": session(row(0)),
        "(0, 0) has 2 rows": session(row(0), row(0), row(1), requests=3),
        "(0, 0) was scored from something else": session(row(0, prediction="5"), row(1)),
        "2 requests were in flight": session(row(0), row(1), peak=2),
        "2 requests came, the rows say 3": session(row(0, attempts=2), row(1)),
    }
    for text, found in wrong.items():
        assert text in stress_faults.problems(found, expected, 1)[0]


@pytest.mark.slow
def test_the_quick_form_of_both_tables() -> None:
    command = [sys.executable, str(SCRIPT), "--quick"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
