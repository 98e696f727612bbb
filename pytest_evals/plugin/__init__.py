"""The hooks, a line or two each; imports the standard library and pytest only.

pytest imports this module in every run of every project where the plugin is installed. Everything
else is imported, and registered, when the first eval is collected.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from . import hookspecs, options

options.refuse_name_clash()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that others can implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini keys."""
    options.add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark that every item of an eval carries."""
    config.addinivalue_line("markers", "evals: rollouts and gates of an eval.")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse what would pay for every rollout several times, or does not say what to run.

    Ini keys are read here, so that a wrong one is wrong usage and not a failed collection.
    """
    options.refuse_workers(session.config)
    options.refuse_unnamed_folder(session.config)
    options.check_ini(session.config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect eval files and environments that were asked for."""
    if not options.is_eval_asked_for(file_path, parent.session):
        return None
    from . import nodes

    return nodes.collect_file(file_path, parent)


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect an environment's folder that was named on the command line."""
    if not options.is_environment_asked_for(path, parent.session):
        return None
    from . import nodes

    return nodes.collect_directory(path, parent)
