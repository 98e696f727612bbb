"""Hub: pushes the rows of evals to the Hugging Face Hub at the end of a session."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from ..config.spec import EvalSpec
from ..errors import SetupError, one_line

if TYPE_CHECKING:
    from .owned_run import OwnedRun
    from .owner import EvalOwner


def check_hub(spec: EvalSpec, others: Sequence[EvalSpec]) -> None:
    """Check that the rows of an eval can be pushed, before anything is paid for.

    Args:
        spec: the eval.
        others: those of the session that were checked before.

    Raises:
        SetupError: `datasets` is not installed, or another eval has the same dataset.
    """
    if not spec.save_to_hf_hub:
        return
    if importlib.util.find_spec("datasets") is None:
        raise SetupError(
            "save_to_hf_hub needs the package datasets, which is not installed:"
            " pip install 'pytest-rollouts[datasets]'"
        ).of_keys("save_to_hf_hub")
    name = spec.hf_hub_dataset_name
    for other in others:
        if name is not None and other.save_to_hf_hub and other.hf_hub_dataset_name == name:
            raise SetupError(
                f"hf_hub_dataset_name: {name!r} is also that of {other.name!r}, and one would"
                " replace the other; leave it out, or give each eval its own"
            ).of_keys("hf_hub_dataset_name")


def dataset_names(runs: Sequence[OwnedRun]) -> list[str]:
    """Return the dataset of each run: what its eval says, or a name made of its settings.

    Where the settings of several would make the same name, that of the eval is in it; evals of one
    name, in several files, are numbered.
    """
    made = [_made_of(run, run.spec.env_id.rpartition("/")[2]) for run in runs]
    counts = Counter(made)
    taken = {run.spec.hf_hub_dataset_name for run in runs}
    names = []
    for run, name in zip(runs, made, strict=True):
        chosen = run.spec.hf_hub_dataset_name
        if chosen is None:
            plain = name if counts[name] == 1 else _made_of(run, run.spec.name)
            numbered = (f"{plain}-{number}" for number in itertools.count(2))
            chosen = next(each for each in itertools.chain([plain], numbered) if each not in taken)
            taken.add(chosen)
        names.append(chosen)
    return names


def _made_of(run: OwnedRun, name: str) -> str:
    facts = run.facts
    model = facts.model.replace("/", "_")
    text = f"{name}_{model}_n{facts.num_examples}_r{run.spec.rollouts_per_example}"
    safe = re.sub(r"(?a:[^\w.-])", "_", text)
    return re.sub(r"-{2,}|\.{2,}", "_", safe).strip(".-")[-96:].lstrip(".-")


class Hub:
    """Pushes what was asked for, once every run is complete on disk.

    What goes wrong is told; results and exit code stay as they are.

    Args:
        owner: of the runs.
    """

    def __init__(self, owner: EvalOwner) -> None:
        self._owner = owner

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        """Push the rows of every run that is done."""
        runs = [run for run in self._owner.owned if run.spec.save_to_hf_hub and run.was_started]
        for run, name in zip(runs, dataset_names(runs), strict=True):
            # A run that a selection or the budget cut short is done, and not whole.
            if not run.is_done or run.is_partial or not run.measurements().complete:
                run.warn(f"{run.spec.name} is incomplete, so its rows were not pushed to the Hub")
                continue
            try:
                count = _push(list(run.rows()), name)
            except (Exception, KeyboardInterrupt) as error:
                self._owner.outputs.keep_temporary()
                run.warn(
                    f"the rows of {run.spec.name} were not pushed to the Hub as {name}:"
                    f" {one_line(error)}; they are in {run.folder.path}",
                    error,
                )
            else:
                self._owner.terminal.tell(f"pushed {count} rows of {run.spec.name} to {name}")


def _push(rows: list[Mapping[str, Any]], name: str) -> int:
    import datasets

    with contextlib.suppress(AttributeError):
        datasets.disable_progress_bars()
    try:
        dataset = datasets.Dataset.from_list([dict(row) for row in rows])
    except Exception:  # columns of one type in one row and of another in the next
        dataset = datasets.Dataset.from_list([_flat(row) for row in rows])
    dataset.push_to_hub(name)
    return len(rows)


def _flat(row: Mapping[str, Any]) -> dict[str, str | None]:
    """Return a row as text, which all rows can be."""
    return {
        key: value if value is None or isinstance(value, str) else json.dumps(value)
        for key, value in row.items()
    }
