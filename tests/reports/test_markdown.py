"""The Markdown of a session: complete, harmless, and never too long."""

from __future__ import annotations

import html
import re

import pytest

from pytest_evals.gates.grammar import parse_gates
from pytest_evals.gates.verdicts import judge
from pytest_evals.reports.markdown import EvalNotes, escaped, markdown
from pytest_evals.reports.summary import EvalSummary, summarise
from pytest_evals.stats.measurements import Measurements, Plan


def summary(name: str = "sums", model: str = "m") -> EvalSummary:
    rows = [
        {"example_id": n, "rollout": 0, "state": "scored", "reward": float(n % 2)} for n in range(4)
    ]
    measurements = Measurements.from_rows(rows, planned=Plan(4, 1))
    gates = parse_gates(["reward >= 0.8"])
    verdicts = [judge(gate, measurements) for gate in gates]
    return summarise(
        name=name, model=model, measurements=measurements, gates=gates, verdicts=verdicts, seconds=1
    )


def test_evals_gates_and_notes() -> None:
    text = html.unescape(
        markdown(
            [EvalNotes(summary(), ["reward >= 0.9"], "stopped", ["one rollout failed"])],
            outcome="failed",
            errors=[("other.toml", "no such key\nat line 3")],
        )
    )
    lines = text.splitlines()
    assert lines[0] == "### Evals: failed"
    assert "| sums | m | 4x1 | 0.500 ± 0.289 | 0 | n/a | 1.0s | **FAILED** |" in lines
    assert any(
        line.startswith("| sums | reward >= 0.8 | **FAILED** | reward 0.500 <") for line in lines
    )
    assert (
        "| sums | error_rate <= 0 | passed | error_rate 0.000 <= 0 (no errors in 4 rollouts) |"
        in lines
    )
    assert "| sums | reward >= 0.9 | **NOT JUDGED** | stopped |" in lines
    assert lines[-2:] == ["- one rollout failed", "- **other.toml**: no such key at line 3"]


@pytest.mark.parametrize(
    "text",
    [
        "a|b", "**bold**", "<script>alert(1)</script>", "`code`", "[x](http://evil)", "# head",
        "\x1b[31mred", "&amp;", "\\|", "@everyone", "![i](x)", "~~s~~", "a\r\n\r\n| x |", "$x$",
        "a\nb", ":tada:",
        "www.evil.example|", "snake_case_name", "\u202eright to left", "| --- |", "***", "\\",
    ],
)  # fmt: skip
def test_hostile_text_is_only_text(text: str) -> None:
    row = markdown([EvalNotes(summary(text, text))], outcome="failed").splitlines()[4]
    assert not re.search(r"[<>`\[\]\\*_!@$~:#\x00-\x1f]", re.sub(r"&#\d+;|\*\*FAILED\*\*", "", row))
    assert row.count("|") == 9
    assert "\n" not in escaped(text) and "www." not in row


def test_secrets_are_found_before_the_text_is_escaped() -> None:
    text = markdown(
        [EvalNotes(summary(model="key_a|b*c"))],
        outcome="failed",
        errors=[("x", "wrong: key_a|b*c")],
        mask=lambda text: text.replace("key_a|b*c", "***"),
    )
    assert "key" not in html.unescape(text)


def test_what_does_not_fit_is_counted() -> None:
    evals = [EvalNotes(summary(f"eval-{n}")) for n in range(300)]
    whole = markdown(evals, outcome="failed")
    for most in (0, 60, 200, 5000, len(whole.encode()) - 1, len(whole.encode())):
        text = markdown(evals, outcome="failed", most_bytes=most)
        assert len(text.encode()) <= most
        assert most < 200 or text == whole or "more lines" in text
    assert markdown(evals, outcome="failed", most_bytes=-5) == ""


def test_a_session_without_evals() -> None:
    assert (
        markdown([], outcome="failed", errors=[("x", "y")]) == "### Evals: failed\n\n- **x**: y\n"
    )
