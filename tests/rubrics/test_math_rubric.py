from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import select
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pytest_evals.errors import InfraError, SetupError, outcome_of
from pytest_evals.rubrics import math_workers
from pytest_evals.rubrics.math_rubric import MathRubric
from pytest_evals.rubrics.math_workers import MathWorkers, UndecidedError
from pytest_evals.state import State, new_state

needs_math = pytest.mark.skipif(
    importlib.util.find_spec("math_verify") is None, reason="math-verify is not installed"
)

# Takes for ever to simplify: a tower of powers.
ENDLESS = "9^{9^{9^{9}}}"


def finished(content: str, answer: Any) -> State:
    row = {"example_id": 0, "prompt": [], "answer": answer}
    state = new_state(row, client=None, model="m", sampling_args={})
    state["completion"] = [{"role": "assistant", "content": content}]
    return state


async def reward_of(rubric: MathRubric, content: str, answer: Any) -> Any:
    state = finished(content, answer)
    await rubric.score_rollout(state)
    assert state["error"] is None
    return state["reward"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def rubric() -> AsyncIterator[MathRubric]:
    rubric = MathRubric(max_workers=1)
    yield rubric
    await rubric.teardown()


@needs_math
@pytest.mark.parametrize(
    ("content", "answer", "reward"),
    [
        (r"so \boxed{\frac{1}{2}}", "0.5", 1.0),
        (r"so \boxed{1/2}", "1/2", 1.0),
        (r"first \boxed{1}, then \boxed{x^2+2x+1}", "(x+1)^2", 1.0),
        (r"\boxed{2}</think> no: \boxed{3}", "3", 1.0),
        (r"\boxed{3}</think> so it is 3", "3", 0.0),
        (r"\boxed{4}", 4, 1.0),
        (r"\boxed{4}", "5", 0.0),
        ("4", "4", 0.0),
        (r"\boxed{}", "4", 0.0),
        (r"\boxed{4", "4", 0.0),
        ("", "", 0.0),
        (r"\boxed{\frac{1}}", "1", 0.0),
        ("\\boxed{\ud800 \x00 \U0001f600}", "1", 0.0),
        (r"\boxed{__import__('os').system('exit')}", "1", 0.0),
    ],
)
async def test_correct_answer(rubric: MathRubric, content: str, answer: Any, reward: float) -> None:
    assert await reward_of(rubric, content, answer) == reward


@needs_math
async def test_its_function_comes_after_those_that_are_given() -> None:
    rubric = MathRubric(funcs=[lambda: 0.5], weights=[2.0], parser=None)

    assert rubric.weights == [2.0, 1.0]
    assert rubric.metric_names == ["<lambda>", "correct_answer"]


@needs_math
async def test_an_answer_that_is_too_long_is_not_compared(
    rubric: MathRubric, caplog: pytest.LogCaptureFixture
) -> None:
    assert await reward_of(rubric, f"\\boxed{{{'1' * 50_001}}}", "1") == 0.0
    assert "an answer of 50001 characters is scored 0" in caplog.text


@needs_math
async def test_an_answer_that_takes_too_long_is_0_and_holds_nothing_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rubric = MathRubric(max_workers=1, timeout_seconds=0.3)
    rewards = [await reward_of(rubric, f"\\boxed{{{text}}}", "4") for text in (ENDLESS, "4")]
    await rubric.teardown()

    assert rewards == [0.0, 1.0]
    assert f"scored 0, comparing it took more than 0.3 s: {ENDLESS}" in caplog.text


@needs_math
async def test_the_log_shows_hostile_answers_as_text(caplog: pytest.LogCaptureFixture) -> None:
    rubric = MathRubric(max_workers=1, timeout_seconds=0.3)
    await reward_of(rubric, f"\\boxed{{{ENDLESS}\x1b[2J{'x' * 1000}}}", "4")
    await rubric.teardown()

    assert "\x1b" not in caplog.text
    assert "x" * 300 not in caplog.text


def test_without_the_package_it_says_which_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(SetupError, match=r"math-verify: pip install 'pytest-rollouts\[math\]'"):
        MathRubric()


# The processes.


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a script in the place of the worker's; it answers as the test wants."""

    def write(source: str) -> Path:
        path = tmp_path / "worker.py"
        path.write_text(f"import json, os, sys, time\n{source}", "utf-8")
        monkeypatch.setattr(math_workers, "_SCRIPT", path)
        return path

    return write


READY = 'print(json.dumps({"ready": True}), flush=True)\n'
ANSWERS = READY + (
    "for line in sys.stdin:\n"
    "    request = json.loads(line)\n"
    "    {work}\n"
    '    print(json.dumps({{"correct": True}}), flush=True)\n'
)


def answering(work: str = "pass") -> str:
    return READY + ANSWERS.removeprefix(READY).format(work=work)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_process_is_kept_for_the_next_comparison(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    script(f"open({str(log)!r}, 'a').write(f'{{os.getpid()}} ')\n" + answering())
    workers = MathWorkers(2, 5.0)
    for _ in range(3):
        assert await workers.are_equal("1", "1")
    pids = log.read_text().split()
    assert len(pids) == 1
    assert is_running(int(pids[0]))

    workers.close()
    assert not is_running(int(pids[0]))
    assert await workers.are_equal("1", "1")
    workers.close()
    assert len(log.read_text().split()) == 2


async def test_there_are_no_more_processes_than_asked_for(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    script(f"open({str(log)!r}, 'a').write('x')\n" + answering())
    workers = MathWorkers(2, 5.0)
    await asyncio.gather(*(workers.are_equal(str(number), "1") for number in range(12)))
    workers.close()

    assert len(log.read_text()) <= 2


async def test_a_process_that_ends_is_replaced_once(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    once = f"os.path.exists({str(flag)!r}) or (open({str(flag)!r}, 'w'), os._exit(1))"
    script(answering(once))
    workers = MathWorkers(1, 5.0)
    assert await workers.are_equal("1", "1")
    workers.close()

    script(answering("os._exit(1)"))
    with pytest.raises(UndecidedError, match="ended the process"):
        await workers.are_equal("1", "1")
    workers.close()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("sys.exit(3)", "it ended with status 3"),
        ('print(json.dumps({"error": "ModuleNotFoundError: No module named"}))', "ModuleNotFound"),
    ],
)
async def test_a_process_that_does_not_start_leaves_rollouts_unmeasured(
    script: Callable[[str], Path], source: str, text: str
) -> None:
    script(source)
    workers = MathWorkers(1, 5.0)
    with pytest.raises(InfraError, match=f"does not start: .*{text}") as caught:
        await workers.are_equal("1", "1")
    workers.close()

    assert outcome_of(caught.value) == "unmeasured"


async def test_closing_ends_a_comparison_under_way(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    started = tmp_path / "started"
    os.mkfifo(started)
    script(answering(f"open({str(started)!r}, 'w').close(); time.sleep(600)"))
    workers = MathWorkers(1, 600.0)
    task = asyncio.create_task(workers.are_equal("1", "1"))
    await asyncio.to_thread(started.read_bytes)  # until the worker has opened it
    workers.close()

    with pytest.raises(InfraError, match="torn down before"):
        await task


async def test_the_processes_end_with_the_object(
    script: Callable[[str], Path], tmp_path: Path
) -> None:
    pid = tmp_path / "pid"
    script(f"open({str(pid)!r}, 'w').write(str(os.getpid()))\n" + answering())
    workers = MathWorkers(1, 5.0)
    await workers.are_equal("1", "1")
    process = os.pidfd_open(int(pid.read_text()))
    del workers
    gc.collect()

    # Its thread may hold the object for a moment longer.
    assert select.select([process], [], [], 30.0)[0], "it has not ended"
    os.close(process)


async def test_keys_and_the_callers_folder_stay_out(
    script: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-123456")
    (tmp_path / "sympy.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    dump = {"env": "dict(os.environ)", "path": "sys.path", "sid": "os.getsid(0)"}
    fields = ", ".join(f"{name!r}: {value}" for name, value in dump.items())
    script(f"open({str(seen)!r}, 'w').write(json.dumps({{{fields}}}))\n" + answering())
    workers = MathWorkers(1, 5.0)
    await workers.are_equal("1", "1")
    workers.close()

    text = seen.read_text()
    assert "sk-very-secret" not in text
    assert str(tmp_path) not in text.partition('"path"')[2]
    assert f'"sid": {os.getsid(0)}' not in text


@needs_math
def test_it_works_in_a_script_without_a_guard_and_ends_with_it(tmp_path: Path) -> None:
    # multiprocessing would run this script again in each process that it starts.
    script = tmp_path / "evaluate.py"
    script.write_text(
        "import asyncio\n"
        "from pytest_evals import MathRubric\n"
        "print('begin')\n"
        "rubric = MathRubric()\n"
        "async def main():\n"
        "    text = [{'role': 'assistant', 'content': '\\\\boxed{0.5}'}]\n"
        "    print(await rubric.correct_answer(rubric.parser, text, '1/2'))\n"
        "asyncio.run(main())\n"
        "print(*[worker._process.pid for worker in rubric._workers._all])\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", str(script)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    begin, reward, pid = done.stdout.splitlines()
    assert (begin, reward, done.stderr) == ("begin", "1.0", "")
    assert not is_running(int(pid))
