"""Heartbeat: tells a monitor that the session goes on, and how it ended."""

from __future__ import annotations

import base64
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes, urlsplit

import pytest

from ..endpoints.secrets import url_secrets
from . import settings
from .outcomes import is_deciding

if TYPE_CHECKING:
    from .owner import EvalOwner

_TIMEOUT_SECONDS = 5.0
# Rollouts may end by the hundred in a second; no monitor needs to hear of each.
_PAUSE_SECONDS = 1.0
_STATUS, _EXIT_CODE = "{status}", "{exit_code}"


def start(owner: EvalOwner) -> None:
    """Begin to tell the monitor that `--evals-heartbeat-url` names, if it names one."""
    url = settings.of_the_session(owner.config, "heartbeat_url")
    if url:
        owner.config.pluginmanager.register(Heartbeat(owner, url))


class Heartbeat:
    """Asks for a URL as rollouts end, in a thread of its own, and once more at the end.

    A request is left out while another one is under way or has just been. What goes wrong is told
    once, at the end, and changes nothing.

    Args:
        owner: of the runs.
        url: of the monitor; `{status}` in it becomes running, passed or failed, and `{exit_code}`
            that of the session. Without either, `status=` is added to the last request. A user and
            password in it are sent as such, in a header.
    """

    def __init__(self, owner: EvalOwner, url: str) -> None:
        self._owner = owner
        self._url, self._authorization = _without_user(url)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._begun = float("-inf")
        self._failures: list[str] = []
        self._sent = 0
        parts = urlsplit(url)
        # Whoever knows the path can speak for this session.
        self._place = f"{parts.scheme}://{parts.hostname}"
        owner.secrets.add(url, *(text for text in (parts.path, parts.query) if len(text) >= 8))
        owner.secrets.add(*url_secrets(url), *filter(None, (self._authorization,)))

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell the monitor that a rollout has ended."""
        if getattr(report, "evals_kind", None) != "rollout" or not is_deciding(report):
            return
        if time.monotonic() - self._begun >= _PAUSE_SECONDS and not self._is_under_way:
            self._ask(self._filled("running", 0))

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell the monitor how the session ended."""
        if not any(run.was_started for run in self._owner.owned):
            return
        until = time.monotonic() + _TIMEOUT_SECONDS
        self._wait(until)
        if self._is_under_way:
            self._note("an earlier request has not ended, so the outcome was not sent")
        else:
            code = int(session.exitstatus)
            status = "passed" if code == 0 else "failed"
            url = self._filled(status, code)
            if url == self._filled("running", 0):
                url = _with_status(url, status)
            self._ask(url)
            self._wait(until)
            if self._is_under_way:
                self._note("no answer to the outcome")
        self._tell()

    @property
    def _is_under_way(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _filled(self, status: str, exit_code: int) -> str:
        return self._url.replace(_STATUS, status).replace(_EXIT_CODE, str(exit_code))

    def _wait(self, until: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, until - time.monotonic()))

    def _ask(self, url: str) -> None:
        self._begun = time.monotonic()
        self._sent += 1
        # The session does not wait for it when it ends.
        self._thread = threading.Thread(
            target=self._get, args=(url,), name="pytest-evals-heartbeat", daemon=True
        )
        self._thread.start()

    def _get(self, url: str) -> None:
        import urllib.request

        try:
            request = urllib.request.Request(  # noqa: S310 - http and https alone: see `settings`
                url, headers={"User-Agent": "pytest-rollouts"}
            )
            if self._authorization is not None:
                # Not for whoever the monitor sends it on to.
                request.add_unredirected_header("Authorization", f"Basic {self._authorization}")
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS):  # noqa: S310
                pass
        except Exception as error:  # whatever it is, the evals go on
            self._note(f"{type(error).__name__}: {error}")

    def _note(self, problem: str) -> None:
        with self._lock:
            self._failures.append(problem)

    def _tell(self) -> None:
        with self._lock:
            failures = list(self._failures)
        if failures:
            self._owner.terminal.tell(
                f"heartbeat to {self._place}: {len(failures)} of {self._sent} requests failed;"
                f" the first: {failures[0]}"
            )


def _without_user(url: str) -> tuple[str, str | None]:
    """Return a URL without user and password, and those as HTTP's basic authentication has them.

    urllib would take them for a part of the host.
    """
    parts = urlsplit(url)
    userinfo, is_given, host = parts.netloc.rpartition("@")
    if not is_given:
        return url, None
    user, _, password = userinfo.partition(":")
    credentials = b":".join(map(unquote_to_bytes, (user, password)))
    return parts._replace(netloc=host).geturl(), base64.b64encode(credentials).decode("ascii")


def _with_status(url: str, status: str) -> str:
    before, mark, fragment = url.partition("#")
    return f"{before}{'&' if '?' in before else '?'}status={status}{mark}{fragment}"
