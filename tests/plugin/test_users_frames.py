"""Where in a traceback the code of the user is."""

from __future__ import annotations

import functools
from types import TracebackType
from typing import Any

import pytest

from pytest_evals.plugin.users_frames import users_part

CALL = "def run(next):\n    return next()\n"
# As `run` of a module that deals with the error in its own way.
WRAP = """
def run(next):
    try:
        return next()
    except E as e:
        raise R from {}
"""


def run(*modules: str, source: str = CALL) -> BaseException:
    """Return what comes out when modules call each other and the last one raises."""
    call = functools.partial(divmod, 1, 0)
    for number, module in enumerate(reversed(modules)):
        globals_: dict[str, Any] = {"__name__": module, "E": ZeroDivisionError, "R": RuntimeError}
        exec(source if number == 0 else CALL, globals_)
        call = functools.partial(globals_["run"], call)
    with pytest.raises((ZeroDivisionError, RuntimeError)) as caught:
        call()
    ours = caught.value.__traceback__
    assert ours is not None
    return caught.value.with_traceback(ours.tb_next)


def modules(part: TracebackType | None) -> list[str]:
    names = []
    while part is not None:
        names.append(part.tb_frame.f_globals["__name__"])
        part = part.tb_next
    return names


@pytest.mark.parametrize(
    ("calls", "part"),
    [
        (["asyncio.events", "my_env"], ["my_env"]),
        (["pytest_evals.engine", "my_env", "json.decoder"], ["my_env", "json.decoder"]),
        (["pytest_evals.engine", "json.decoder"], []),
        (["pytest_evals.engine", "my_env", "openai._client", "httpx", "any"], ["my_env"]),
        (["pytest_evals.engine", "aiohttp.client", "aiohappyeyeballs"], []),
        (
            ["asyncio", "my_env", "pytest_evals.rubrics", "my_judge", "pytest_evals.clients"],
            ["my_env", "pytest_evals.rubrics", "my_judge"],
        ),
    ],
    ids=["own", "stdlib", "stdlib-of-ours", "library", "library-of-ours", "in-between"],
)
def test_the_part_begins_and_ends_in_the_users_code(calls: list[str], part: list[str]) -> None:
    assert modules(users_part(run(*calls))) == part


@pytest.mark.parametrize("ending", ["e", "None"])
def test_the_error_that_led_to_another_is_looked_at_as_well(ending: str) -> None:
    error = run("my_env", source=WRAP.format(ending))
    assert isinstance(error, RuntimeError)
    assert modules(users_part(error.with_traceback(None))) == ["my_env"]


def test_an_error_that_nobody_raised_has_no_part() -> None:
    error = ValueError()
    error.__context__ = RuntimeError()
    error.__context__.__context__ = error
    assert users_part(error) is None
    assert users_part(None) is None
