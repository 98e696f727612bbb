"""First examples, before the table at the end: what was asked of the model, and what it said."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from ..reports.first_examples import MOST_EVALS, FirstExample, render_first_examples
from . import settings

if TYPE_CHECKING:
    from .owned_run import OwnedRun


def tell_first_examples(reporter: pytest.TerminalReporter, runs: Sequence[OwnedRun]) -> None:
    """Print the settings of each eval and the first of its rollouts.

    Nothing with `-q` and with `--evals-abbreviated-summary`; whole transcripts with `-v`.
    """
    config = reporter.config
    verbosity = config.get_verbosity()
    if verbosity < 0 or settings.of_the_session(config, "abbreviated_summary"):
        return
    # A test function asks whom it likes, and its source says what: it has no such settings.
    told = [run for run in runs if run.spec.origins]
    if not told:
        return
    lines = render_first_examples(
        [_first_example(run) for run in told[:MOST_EVALS]],
        told[0].mask,
        width=config.get_terminal_writer().fullwidth,
        in_full=verbosity > 0,
        more=len(told[MOST_EVALS:]),
    )
    reporter.write_sep("=", "first examples")
    for line in lines:
        # Its margin tells a heading: what models and servers say is indented.
        reporter.write_line(line, bold=not line.startswith(" "))


def _first_example(run: OwnedRun) -> FirstExample:
    spec, facts = run.spec, run.facts
    tables = {
        "env_args": spec.env_args,
        "extra_env_kwargs": spec.extra_env_kwargs,
        "sampling_args": spec.sampling_args,
    }
    named = {} if spec.env_id == spec.name else {"env_id": spec.env_id}
    return FirstExample(
        name=run.heading,
        model=facts.model,
        base_url=run.base_url,
        num_examples=facts.num_examples,
        rollouts_per_example=spec.rollouts_per_example,
        row=_first_row(run),
        settings=named | {name: _text(table) for name, table in tables.items() if table},
    )


def _first_row(run: OwnedRun) -> Mapping[str, Any] | None:
    with contextlib.suppress(OSError):  # a run whose rows cannot be read says so elsewhere
        for row in run.rows():
            return row if row.get("prompt") or row.get("completion") else None
    return None


def _text(table: Mapping[str, Any]) -> str:
    try:
        return json.dumps(table, ensure_ascii=False, default=repr)
    except (ValueError, TypeError, RecursionError):
        return repr(table)
