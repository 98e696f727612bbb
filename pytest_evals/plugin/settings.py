"""The options that say something of every eval, and the ini keys of the same names."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from ..config.settings import Settings


_YES = frozenset({"1", "true", "t", "yes", "y", "on"})
_NO = frozenset({"0", "false", "f", "no", "n", "off"})


def _table(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"must be a JSON object: {error}") from None
    if not isinstance(table, dict):
        raise argparse.ArgumentTypeError("must be a JSON object, such as '{\"level\": 3}'")
    return table


def _amount(text: str) -> float:
    """Return the number in `text`, which is above 0."""
    with contextlib.suppress(ValueError):
        number = float(text)
        if 0 < number < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")


def _count(text: str) -> int:
    """Return the whole number in `text`, which is at least 1."""
    with contextlib.suppress(ValueError):
        number = int(text)
        if number >= 1:
            return number
    raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")


def _names(text: str) -> tuple[str, ...]:
    """Return what stands between the commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _number_or_auto(text: str) -> int | str:
    return "auto" if text.strip() == "auto" else int(text)


def _switch_or_path(text: str) -> bool | str:
    """Return the boolean that `text` says, or a path."""
    return {"true": True, "false": False}.get(text.strip().lower(), text)


def _switch(text: str) -> bool:
    """Return whether `text` says yes, as pytest reads it in ini files."""
    word = text.strip().lower()
    if word not in _YES and word not in _NO:
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return word in _YES


def _url(text: str) -> str:
    """Return `text`, the URL of a monitor."""
    if not re.match(r"https?://[^\s/]", text) or not text.isprintable() or " " in text:
        # Never shown: whoever knows it can speak for the session.
        raise argparse.ArgumentTypeError("must be a URL that begins with http:// or https://")
    return text


class Setting(NamedTuple):
    """An option and its ini key.

    Attributes:
        name: the flag is `--evals-NAME`, the ini key `evals_NAME` with `_` for `-`.
        read: makes its value of text.
        metavar, help: as for argparse.
        is_path: relative to the current folder; in an ini file, to the folder of that file.
        alone: its value where the option stands without one; None where it needs one.
    """

    name: str
    read: Callable[[str], Any]
    metavar: str
    help: str
    is_path: bool = False
    alone: Any = None

    @property
    def is_switch(self) -> bool:
        """Whether the option stands without a value."""
        return self.read is _switch and self.alone is None

    @property
    def key(self) -> str:
        """Its key in an eval file, where it has one."""
        return self.name.replace("-", "_")

    @property
    def dest(self) -> str:
        """Its ini key, and its name among the options."""
        return f"evals_{self.key}"


SETTINGS = (
    Setting("provider", str, "NAME", "Provider of the models: openai, openrouter, local, ..."),
    Setting("model", str, "MODEL", "Model id, or an alias of the endpoint registry"),
    Setting("endpoints-path", str, "PATH", "The endpoint registry", is_path=True),
    Setting("api-base-url", str, "URL", "Where the models are served: http://.../v1"),
    Setting("api-key-var", str, "NAME", "Environment variable that holds the API key"),
    Setting("api-client-type", str, "TYPE", "Wire format: openai_chat_completions, ..."),
    Setting("env-args", _table, "JSON", "Arguments of load_environment(), a JSON object"),
    Setting("extra-env-kwargs", _table, "JSON", "Given to the environment, a JSON object"),
    Setting("env-dir-path", str, "DIR", "Folder of environments (./environments)", is_path=True),
    Setting("max-tokens", int, "N", "Tokens a reply may have"),
    Setting("temperature", float, "T", "Sampling temperature"),
    Setting("sampling-args", _table, "JSON", "More fields of every request, a JSON object"),
    Setting("num-examples", int, "N", "Examples per eval; -1 takes all"),
    Setting("rollouts-per-example", int, "R", "Attempts at each example"),
    Setting("max-retries", int, "N", "Tries of a rollout again whose infrastructure failed (0)"),
    Setting(
        "max-concurrent", int, "N", "Rollouts in flight over the whole session; 0 for no limit"
    ),
    Setting("max-cost-usd", _amount, "USD", "Start nothing more once answers cost this much"),
    Setting("max-tokens-total", _count, "N", "Start nothing more once this many tokens are used"),
    Setting("max-duration", _amount, "SECONDS", "Start nothing more after this time"),
    Setting(
        "resume",
        _switch_or_path,
        "PATH",
        "Continue the run in a folder; without =PATH the newest incomplete one of each eval",
        is_path=True,
        alone=True,
    ),
    Setting(
        "output-dir",
        str,
        "DIR",
        "Where runs are kept: DIR/evals/... (default: outputs, of the environment's folder if it"
        " has one)",
        is_path=True,
    ),
    Setting(
        "save-results", _switch, "true|false", "Keep the results; they are by default", alone=True
    ),
    Setting("state-columns", _names, "KEY,KEY", "Keys of the state that rows have as well"),
    Setting("num-workers", _number_or_auto, "N", "Processes asked for; -n of xdist starts them"),
    Setting(
        "verbose", _switch, "", "Log in detail, to the run.log of each eval and to pytest's logs"
    ),
    Setting("save-to-hf-hub", _switch, "", "Push the rows of each eval to the Hugging Face Hub"),
    Setting(
        "hf-hub-dataset-name", str, "NAME", "As which dataset; by default made of the settings"
    ),
    Setting("heartbeat-url", _url, "URL", "Asked for as rollouts end, and at the end"),
    Setting("disable-tui", _switch, "", "Plain lines instead of the live view"),
    Setting("fullscreen", _switch, "", "The live view on a screen of its own"),
    Setting("abbreviated-summary", _switch, "", "Leave settings and first examples out of the end"),
)
# Those that are no key of an eval.
OF_THE_SESSION = frozenset({"heartbeat_url", "fullscreen", "abbreviated_summary"})


# Limits of the session that no eval file states.
PHASES = {
    "generation": Setting(
        "max-concurrent-generation", int, "N", "Rollouts that generate at once, of those in flight"
    ),
    "scoring": Setting(
        "max-concurrent-scoring", int, "N", "Rollouts that are scored at once, of those in flight"
    ),
}


def add_settings(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Declare the options and ini keys."""
    for setting in (*SETTINGS, *PHASES.values()):
        form: dict[str, Any] = {"type": setting.read, "metavar": setting.metavar}
        if setting.is_switch:
            form = {"action": "store_const", "const": True}
        elif setting.alone is not None:
            form |= {"nargs": "?", "const": setting.alone}
        group.addoption(f"--evals-{setting.name}", dest=setting.dest, help=setting.help, **form)
        parser.addini(setting.dest, f"{setting.help}; --evals-{setting.name} beats it")
    group.addoption(
        "--evals-header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        dest="evals_header",
        help="Header of every request; repeatable",
    )
    parser.addini(
        "evals_header", "Headers of every request, a line each", type="linelist", default=[]
    )
    group.addoption(
        "--evals-header-from-state",
        action="append",
        default=[],
        metavar="'NAME: KEY'",
        dest="evals_header_from_state",
        help="Header of every request with a value of the rollout's state; repeatable"
        " (X-Session-ID: example_id)",
    )
    parser.addini(
        "evals_header_from_state",
        "Headers of every request with a value of the rollout's state, a line each",
        type="linelist",
        default=[],
    )
    group.addoption(
        "--evals-no-interleave-scoring",
        action="store_true",
        dest="evals_no_interleave_scoring",
        help="Score nothing of an eval before all of its rollouts were generated",
    )
    parser.addini(
        "evals_no_interleave_scoring",
        "Score nothing of an eval before all of it was generated",
        type="bool",
        default=False,
    )
    group.addoption(
        "--evals-independent-scoring",
        action="store_true",
        dest="evals_independent_scoring",
        help="Score each rollout by itself; an error where rewards compare those of an example",
    )
    parser.addini(
        "evals_independent_scoring", "Score each rollout by itself", type="bool", default=False
    )
    group.addoption(
        "--evals-gate",
        action="append",
        default=[],
        metavar="GATE",
        dest="evals_gate",
        help='A gate for every eval besides its own: "reward >= 0.8"; repeatable',
    )
    parser.addini("evals_gate", "Gates for every eval besides its own", type="linelist", default=[])
    group.addoption(
        "--evals-set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="evals_set",
        help="Set a key of every eval, whatever its file says: num_examples=20,"
        " env_args.level=3, 'model=\"m\"' (TOML); repeatable",
    )


def command_line_settings(config: pytest.Config) -> Settings:
    """Return what the command line says of every eval."""
    folder = config.invocation_params.dir
    return _settings(
        {setting: config.getoption(setting.dest) for setting in SETTINGS},
        folder,
        header=tuple(config.getoption("evals_header")) or None,
        header_from_state=tuple(config.getoption("evals_header_from_state")) or None,
        independent_scoring=config.getoption("evals_independent_scoring") or None,
        gates=tuple(config.getoption("evals_gate")),
        assignments=tuple(config.getoption("evals_set")),
    )


def ini_settings(config: pytest.Config) -> Settings:
    """Return what the ini file says of every eval.

    Raises:
        pytest.UsageError: a value cannot be read.
    """
    return _settings(
        {setting: read_ini(config, setting) for setting in SETTINGS},
        ini_folder(config),
        header=tuple(config.getini("evals_header")) or None,
        header_from_state=tuple(config.getini("evals_header_from_state")) or None,
        independent_scoring=config.getini("evals_independent_scoring") or None,
        gates=tuple(config.getini("evals_gate")),
    )


def ini_folder(config: pytest.Config) -> Path:
    """Return what paths of ini keys are relative to; those that `-o` gives too, as in pytest."""
    return config.inipath.parent if config.inipath else config.invocation_params.dir


def read_ini(config: pytest.Config, setting: Setting) -> Any:
    """Return what the ini file says; None where it says nothing.

    Raises:
        pytest.UsageError: it cannot be read.
    """
    text = config.getini(setting.dest)
    if text in (None, ""):
        return None
    try:
        return setting.read(text)
    except argparse.ArgumentTypeError as error:
        raise pytest.UsageError(f"{config.inipath}: ini key {setting.dest} {error}") from None
    except ValueError:
        raise pytest.UsageError(
            f"{config.inipath}: ini key {setting.dest}: {text!r} is not a number"
        ) from None


def of_the_session(config: pytest.Config, key: str) -> Any:
    """Return what the command line, or else the ini file, says of a key; None where neither does.

    Raises:
        pytest.UsageError: the ini file's value cannot be read.
    """
    setting = next(setting for setting in SETTINGS if setting.key == key)
    given = config.getoption(setting.dest)
    return read_ini(config, setting) if given is None else given


def _settings(values: dict[Setting, Any], folder: Path, **more: Any) -> Settings:
    from ..config.settings import Settings

    given: dict[str, Any] = {
        setting.key: str(folder / value)
        if setting.is_path and isinstance(value, str) and value
        else value
        for setting, value in values.items()
        if setting.key not in OF_THE_SESSION
    }
    return Settings(**given, **more)
