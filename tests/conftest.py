"""Lets tests interrupt what they start, also where the suite itself is a background job."""

import signal

# The plugin of hypothesis imports it at the end of each session in which that is not done yet, and
# pytester forgets in between what a session in this process has imported.
import hypothesis.strategies  # noqa: F401
import pytest

# A shell starts background jobs with SIGINT ignored, and every process below inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--cold-workers",
        action="store_true",
        help="start the workers of sessions under test as Python processes, not as forks",
    )
