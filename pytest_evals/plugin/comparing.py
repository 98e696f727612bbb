"""Comparing: `--evals-compare` prints in what two runs differ, and runs nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ..errors import one_line
from ..gates.drop_limit import is_baseline_name
from ..reports.comparison import compared
from ..store.baselines import ENDING, is_baseline
from ..store.compared_runs import ComparedRun, read_compared
from .outcomes import relative

# Where baselines of a given name are looked for, from the folder that pytest was called in.
_PLACES = ("baselines", "*/baselines", "*/*/baselines")
_MOST_NAMED = 5


def compare(config: pytest.Config) -> int:
    """Print the comparison of the two runs of `--evals-compare`; return the exit code, 0.

    Raises:
        pytest.UsageError: one of them cannot be read.
    """
    names: list[str] = config.getoption("evals_compare")
    runs: list[ComparedRun | None] = [_named_by_path(config, name) for name in names]
    for place, name in enumerate(names):
        if runs[place] is None:
            runs[place] = _baseline(config, name, beside=runs[1 - place])
    before, after = runs
    assert before is not None
    assert after is not None
    encoding = sys.stdout.encoding or "utf-8"
    text = "".join(f"{line}\n" for line in compared(before, after))
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    return int(pytest.ExitCode.OK)


def _named_by_path(config: pytest.Config, name: str) -> ComparedRun | None:
    """Return the run at a path; None where there is nothing, and it may be a baseline's name."""
    path = config.invocation_params.dir / name
    if path.exists():
        return _read(path, name)
    if is_baseline_name(name):
        return None
    raise pytest.UsageError(f"--evals-compare: {name}: no such file or folder")


def _baseline(config: pytest.Config, name: str, beside: ComparedRun | None) -> ComparedRun:
    """Return the baseline of a name; of several, the one of the eval that it is compared with."""
    folder = config.invocation_params.dir
    found = sorted(
        path
        for place in _PLACES
        for path in folder.glob(f"{place}/**/*.{name}{ENDING}")
        if is_baseline(path)
    )
    if not found:
        raise pytest.UsageError(
            f"--evals-compare: {name} is neither the folder of a run, nor a file of its rows, nor"
            f" a baseline in {', '.join(_PLACES)}"
        )
    runs = [_read(path, relative(path, config)) for path in found]
    if len(runs) > 1 and beside is not None and beside.name:
        runs = [run for run in runs if run.name == beside.name] or runs
    if len(runs) > 1:
        labels = ", ".join(run.label for run in runs[:_MOST_NAMED])
        raise pytest.UsageError(
            f"--evals-compare: several evals have a baseline {name!r}; name its file: {labels}"
        )
    return runs[0]


def _read(path: Path, label: str) -> ComparedRun:
    try:
        return read_compared(path, label)
    except ValueError as error:
        below = min((each.parent.name for each in path.glob("*/results.jsonl")), default="")
        hint = f"; it holds runs, such as {below}" if below else ""
        raise pytest.UsageError(f"--evals-compare: {label}: {error}{hint}") from None
    except OSError as error:
        raise pytest.UsageError(f"--evals-compare: {label}: {one_line(error)}") from None
