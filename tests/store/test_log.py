"""The run's log: masked, and harmless to print."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_evals.store.log import run_log_handler


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[logging.Logger]:
    handler = run_log_handler(tmp_path / "run.log", lambda text: text.replace("sk-1", "***"))
    logger = logging.Logger("pytest_evals.test")
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_no_file_is_made_before_the_first_record(tmp_path: Path, logger: logging.Logger) -> None:
    assert list(tmp_path.iterdir()) == []
    logger.info("started")
    assert (tmp_path / "run.log").read_text().endswith(" INFO pytest_evals.test: started\n")


def test_secrets_are_masked_in_messages_and_tracebacks(
    tmp_path: Path, logger: logging.Logger
) -> None:
    try:
        raise ValueError("key sk-1")
    except ValueError:
        logger.exception("using %s", "sk-1")
    text = (tmp_path / "run.log").read_text()
    assert "sk-1" not in text
    assert "using ***" in text
    assert "ValueError: key ***" in text


def test_control_characters_are_shown(tmp_path: Path, logger: logging.Logger) -> None:
    logger.warning("a\x1b[31mb\rc\x9bd\te\nf\ud800")
    text = (tmp_path / "run.log").read_bytes().decode()
    assert text.endswith("a\\x1b[31mb\\rc\\x9bd\te\nf\\ud800\n")


def test_others_can_append_to_the_file(tmp_path: Path, logger: logging.Logger) -> None:
    logger.info("first")
    with (tmp_path / "run.log").open("a") as file:
        file.write("from a server\n")
    logger.info("last")
    lines = (tmp_path / "run.log").read_text().splitlines()
    assert lines[1] == "from a server"
    assert lines[2].endswith("last")
