"""docs/reference.md and the code name the same keys, options and tests, both ways."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_evals.config.ablations import read_sweep
from pytest_evals.config.schema import NOT_YET_SUPPORTED, EvalTable
from pytest_evals.endpoints.row import KEYS
from pytest_evals.plugin import options

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "reference.md").read_text("utf-8")
SECTIONS = dict(
    part.partition("\n")[::2] for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
)

# Every flag of the tables in verifiers' docs/evaluation.md.
FLAGS = (
    "env-args", "extra-env-kwargs", "env-dir-path", "model", "api-base-url", "api-key-var",
    "api-client-type", "endpoints-path", "header", "header-from-state", "max-tokens", "temperature",
    "sampling-args", "num-examples", "rollouts-per-example", "max-concurrent",
    "max-concurrent-generation", "max-concurrent-scoring", "no-interleave-scoring",
    "independent-scoring", "max-retries", "num-workers", "verbose", "fullscreen", "disable-tui",
    "abbreviated-summary", "output-dir", "save-results", "resume", "state-columns",
    "save-to-hf-hub", "hf-hub-dataset-name", "heartbeat-url",
)  # fmt: skip


def cells(section: str, column: int) -> list[str]:
    """Return what stands in backquotes in a column of the section's tables."""
    rows = [line for line in SECTIONS[section].splitlines() if line.startswith("| ")]
    found: list[str] = []
    for row in rows:
        cell = row.strip("| ").split(" | ")[column] if column else row.split(" | ")[0]
        found += re.findall(r"`([^`]+)`", cell)
    return found


class Declared:
    """Takes what the plugin declares, as pytest's own parser does."""

    def __init__(self) -> None:
        self.options: set[str] = set()
        self.ini: set[str] = set()

    def getgroup(self, *_: object) -> Declared:
        return self

    def addoption(self, name: str, **_: object) -> None:
        self.options.add(name)

    def addini(self, name: str, *_: object, **__: object) -> None:
        self.ini.add(name)


@pytest.fixture(scope="module")
def declared() -> Declared:
    found = Declared()
    options.add_options(found)  # type: ignore[arg-type]
    return found


def test_every_key_of_an_eval_has_a_row() -> None:
    assert set(cells("Keys of evals", 0)) == set(EvalTable.model_fields)
    keys = cells("Ablations", 0)
    assert keys == ["[[ablation]]", "sweep", "sweep.env_args", "sweep.args"]
    sweep = {"temperature": [1], "env_args": {"x": [1]}, "args": {"y": [1]}}
    assert not read_sweep({"env_id": "e", "sweep": sweep})[2]


def test_every_key_of_an_endpoint_has_a_row() -> None:
    assert set(cells("The endpoint registry", 0)) - {"[[endpoint]]"} == set(KEYS)


def test_every_option_and_ini_key_has_a_row(declared: Declared) -> None:
    named = {*cells("Keys of evals", 1), *re.findall(r"`([^`]+)`", SECTIONS["Other options"])}
    named |= {re.split(r"[ \[]", token)[0] for token in named}
    told = {token for token in named if re.fullmatch(r"--evals(-[a-z-]+)?", token)}
    assert told == declared.options
    assert {token for token in named if re.fullmatch(r"evals_[a-z_]+", token)} == declared.ini


def test_keys_that_are_not_there_yet_are_listed() -> None:
    first = SECTIONS["Not there yet"].strip().split("\n\n")[0]
    assert set(re.findall(r"`([^`]+)`", first)) == NOT_YET_SUPPORTED


def test_every_flag_of_verifiers_works_or_is_listed(declared: Declared) -> None:
    missing = set(re.findall(r"`--([^`]+)`", SECTIONS["Not there yet"]))
    working = {flag for flag in FLAGS if f"--evals-{flag}" in declared.options}
    assert working | missing == set(FLAGS)
    assert not working & missing


def test_every_row_names_a_test_that_exists() -> None:
    rows = [
        line
        for section in list(SECTIONS)[:-1]
        for line in SECTIONS[section].splitlines()
        if line.startswith("| ") and not line.startswith(("| key", "| option", "| level"))
    ]
    assert len(rows) > 45
    for row in rows:
        path, *names = re.findall(r"`([^`]+)`", row.strip("| ").split(" | ")[-1])[-1].split("::")
        source = (ROOT / "tests" / path).read_text("utf-8")
        for name in names:
            assert re.search(rf"(def|class) {name}\b", source), f"{path} has no {name}: {row}"
    for path, name in re.findall(r"\(`([\w/.]+)::(?:\w+::)?(\w+)`\)", PAGE):
        assert f"def {name}(" in (ROOT / "tests" / path).read_text("utf-8")
