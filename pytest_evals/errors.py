"""The error classes, and which of them leave a rollout unmeasured and which mean it is broken."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal, Self, TypeAlias

_LONGEST_LINE = 10_000

# What libraries raise when a service did not answer as it should: package and class.
_OF_SERVICES: Final = frozenset(
    {
        ("openai", "APIError"),
        ("anthropic", "APIError"),
        ("aiohttp", "ClientError"),
        ("httpx", "HTTPError"),
        ("httpx2", "HTTPError"),
        ("requests", "RequestException"),
        ("urllib3", "HTTPError"),
        ("urllib", "URLError"),
        ("http", "HTTPException"),
        ("socket", "gaierror"),
    }
)
_NETWORK_PACKAGES: Final = frozenset({"aiohttp", "httpx", "httpx2", "httpcore", "httpcore2"})

Outcome: TypeAlias = Literal["unmeasured", "broken"]


class Error(Exception):
    """An error of a rollout that its environment or its client foresaw."""


class ModelError(Error):
    """The provider or the network failed to answer a request, after its retries.

    `requests` counts the HTTP requests that were sent, retries included.
    """

    requests: int = 1


class InvalidModelResponseError(ModelError):
    """The server answered with something that is not a chat completion."""


class EmptyModelResponseError(InvalidModelResponseError):
    """The server answered with no message in it."""


class RejectedError(ModelError):
    """The endpoint refuses every request of this kind: a bad key, an unknown model, no credit.

    Nothing else sent to the endpoint can succeed, so its other rollouts are not tried.
    """


class OverlongPromptError(Error):
    """The prompt no longer fits the model's context: ends the rollout, which is scored."""


class ToolError(Error):
    """A tool failed in a way the environment does not hand to the model."""


class ToolParseError(ToolError):
    """The arguments of a tool call could not be read."""


class ToolCallError(ToolError):
    """A tool raised."""


class InfraError(Error):
    """Something the rollout needs besides the model failed: a sandbox, a tunnel, a judge."""


class SandboxError(InfraError):
    """A sandbox failed."""


class TunnelError(InfraError):
    """A tunnel failed."""


class JudgeError(InfraError):
    """A judge gave no verdict: it could not be asked, failed, refused or said nothing."""


class IncompleteGroupError(InfraError):
    """A group lacks members, and its rubric scores whole groups."""


class CacheMissError(Error):
    """The response cache holds no answer, and the model is not to be asked: replay alone."""


class BudgetSpentError(Error):
    """The budget of the session is spent, so the rollout, or others of its group, did not start."""


class RewardError(Error):
    """A reward function raised, or returned something that is not a finite number.

    The exception of the user's code is its `__cause__` when there is one. `may_be_zero` says
    whether the score is 0.0 where an eval asks for that: not if the function could not run at all.
    """

    def __init__(self, function: str, reason: str, *, may_be_zero: bool = True) -> None:
        super().__init__(f"reward function {function!r} {reason}")
        self.function = function
        self.reason = reason
        self.may_be_zero = may_be_zero


_OUTAGES: Final = (ModelError, InfraError, CacheMissError, BudgetSpentError, ConnectionError)


def outcome_of(error: BaseException) -> Outcome:
    """Say what a rollout that ended in `error` is.

    Unmeasured: the provider, the network, a sandbox or a judge failed; nothing was learned about
    the model. Broken: the code of the environment or of a reward function raised; a bug. Code that
    only passes on such a failure, or trips over it, leaves the rollout unmeasured.
    """
    return "unmeasured" if any(map(is_outage, causes_of(error))) else "broken"


def is_outage(error: BaseException) -> bool:
    """Whether `error` itself says that a service failed, not the code that raised it.

    That is one of `_OUTAGES`, what the usual libraries for HTTP and for APIs raise, and a
    `TimeoutError` that one of them raised. Those are told by name: importing the packages to ask
    takes a second.
    """
    if isinstance(error, _OUTAGES):
        return True
    if type(error) is TimeoutError:
        return _raised_in(error) in _NETWORK_PACKAGES
    return any(
        (kind.__module__.partition(".")[0], kind.__name__) in _OF_SERVICES
        for kind in type(error).__mro__
    )


def causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that led to it: causes, contexts, the members of groups."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop()
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting.append(cause.__cause__)
        if not cause.__suppress_context__:
            waiting.append(cause.__context__)
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions


def _raised_in(error: BaseException) -> str:
    """Return the package whose code raised an exception; "" for one that nobody raised."""
    step, name = error.__traceback__, ""
    while step is not None:
        name = step.tb_frame.f_globals.get("__name__") or ""
        step = step.tb_next
    return name.partition(".")[0]


def one_line(error: BaseException) -> str:
    """Return the class and the text of `error` on one line, cut at a word when it is very long.

    Never inside a word: half of a secret would not be recognised and masked any more. The text may
    come from any code, so one that cannot be produced is left out.
    """
    try:
        text = " ".join(str(error).split())
    except Exception:  # a broken __str__ must not hide which error it was
        text = ""
    kind = type(error).__name__
    line = f"{kind}: {text}" if text else kind
    if len(line) <= _LONGEST_LINE:
        return line
    return line[:_LONGEST_LINE].rpartition(" ")[0] + " …"


class SetupError(Exception):
    """Something the user must mend before the first model call; the message stands alone.

    Attributes:
        keys: those of an eval that are at fault, such as `env_args.difficulty`, the nearest first.
    """

    keys: tuple[str, ...] = ()

    def of_keys(self, *keys: str) -> Self:
        """Note which keys of an eval are at fault, and return the error."""
        self.keys = keys
        return self


class ConfigError(SetupError):
    """A mistake in a configuration file.

    Args:
        path: the file.
        line: the line of the key or table at fault, counted from 1, or None.
        message: what is wrong and what to do, naming the key.
    """

    def __init__(self, path: Path, line: int | None, message: str) -> None:
        where = str(path) if line is None else f"{path}:{line}"
        super().__init__(f"{where}: {message}")
        self.path = path
        self.line = line


class MissingKeyError(SetupError, ValueError):
    """An environment variable that must hold a key is not set."""


class EnvironmentLoadError(SetupError):
    """An environment was not found, did not import, or its `load_environment` raised.

    The exception of the user's code is its `__cause__` when there is one.
    """
