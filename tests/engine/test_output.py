"""RolloutOutput: bounded, masked before it is cut, in the log once it was taken."""

from __future__ import annotations

import logging
import threading
from typing import Any, cast

import pytest

from pytest_evals.engine.output import KEPT_CHARACTERS, RolloutOutput
from pytest_evals.engine.rollouts import RolloutJob

SECRET = "sk-0123456789-secret"


class _Run:
    name = "bench.toml::eval"
    log = logging.getLogger("test_output")


def make_output() -> RolloutOutput:
    return RolloutOutput(RolloutJob(cast("Any", _Run()), {"example_id": 3}, 1))


def taken(output: RolloutOutput) -> dict[str, str]:
    return dict(output.take(lambda text: text.replace(SECRET, "***")))


def test_streams_are_kept_apart_and_the_first_text_is_told() -> None:
    output = make_output()
    assert output.write("stdout", "a")
    assert not output.write("stderr", "b")
    assert not output.write("stdout", "c")
    assert taken(output) == {"stdout": "ac", "stderr": "b"}
    assert taken(output) == {}


@pytest.mark.parametrize("size", [1, 7, 1_000, 3_000_000])
def test_only_the_two_ends_of_much_text_are_kept(size: int) -> None:
    output = make_output()
    piece = "x" * size
    output.write("stdout", "<")
    for _ in range(3_000_000 // size if size > 7 else 100_000):
        output.write("stdout", piece)
    output.write("stdout", ">")
    text = taken(output)["stdout"]
    assert len(text) < 2 * KEPT_CHARACTERS + 100
    assert text.startswith("<xxx")
    assert text.endswith("xxx>")
    assert " characters left out ...]\n" in text


def test_the_note_counts_what_is_left_out() -> None:
    output = make_output()
    for _ in range(1000):
        output.write("stdout", "0123456789" * 10)
    text = taken(output)["stdout"]
    head, _, rest = text.partition("\n[... ")
    count, _, tail = rest.partition(" characters left out ...]\n")
    assert len(head) + int(count.replace(",", "")) + len(tail) == 100_000


@pytest.mark.parametrize("shift", range(0, len(SECRET) + 1, 3))
@pytest.mark.parametrize("copies", [1_000, 20_000])
def test_no_part_of_a_secret_is_left_at_a_cut(shift: int, copies: int) -> None:
    output = make_output()
    output.write("stdout", "." * shift)
    for _ in range(copies):
        output.write("stdout", SECRET[:9])
        output.write("stdout", SECRET[9:])
    text = taken(output)["stdout"]
    assert set(text) <= set(".*\n[] ,0123456789charactersleftout")
    assert "secret" not in text
    assert "sk" not in text


def test_one_secret_across_the_cut_of_ordinary_text() -> None:
    for before in range(16_180, 16_200):
        output = make_output()
        output.write("stdout", "." * before + SECRET + "." * 100_000)
        text = taken(output)["stdout"]
        assert "sk" not in text and "secret" not in text


def test_what_is_written_after_it_was_taken_goes_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    output = make_output()
    output.write("stdout", "in time")
    assert taken(output) == {"stdout": "in time"}
    assert not output.write("stdout", "too late\n")
    assert not output.write("stdout", "\n")
    assert caplog.messages == ["stdout of bench.toml::eval::3-r1: too late"]


def test_what_nobody_takes_is_dropped_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    output = make_output()
    output.write("log", "line\n")
    output.drop(str.upper)
    assert caplog.messages == ["log of bench.toml::eval::3-r1: LINE"]
    output.drop(str.upper)
    assert len(caplog.messages) == 1


def test_threads_may_write_while_it_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    output = make_output()
    begun = threading.Event()

    def write() -> None:
        for number in range(500):
            output.write("stdout", f"{number};")
            begun.set()

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    early = taken(output).get("stdout", "")
    for thread in threads:
        thread.join()
    late = [message.rpartition(" ")[2] for message in caplog.messages]
    assert sorted([*early.split(";")[:-1], *(text.rstrip(";") for text in late)]) == sorted(
        4 * [str(number) for number in range(500)]
    )
