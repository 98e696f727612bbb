"""The options that say something of every eval, and the ini keys of the same names."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from .option_values import (
    amount,
    count,
    names,
    number_or_auto,
    switch,
    switch_or_path,
    table,
    url,
)

if TYPE_CHECKING:
    from ..config.settings import Settings


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
        return self.read is switch and self.alone is None

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
    Setting("env-args", table, "JSON", "Arguments of load_environment(), a JSON object"),
    Setting("extra-env-kwargs", table, "JSON", "Given to the environment, a JSON object"),
    Setting("env-dir-path", str, "DIR", "Folder of environments (./environments)", is_path=True),
    Setting("max-tokens", int, "N", "Tokens a reply may have"),
    Setting("temperature", float, "T", "Sampling temperature"),
    Setting("sampling-args", table, "JSON", "More fields of every request, a JSON object"),
    Setting("num-examples", int, "N", "Examples per eval; -1 takes all"),
    Setting("rollouts-per-example", int, "R", "Attempts at each example"),
    Setting("max-retries", int, "N", "Tries of a rollout again whose infrastructure failed (0)"),
    Setting(
        "max-concurrent", int, "N", "Rollouts in flight over the whole session; 0 for no limit"
    ),
    Setting("max-cost-usd", amount, "USD", "Start nothing more once answers cost this much"),
    Setting("max-tokens-total", count, "N", "Start nothing more once this many tokens are used"),
    Setting("max-duration", amount, "SECONDS", "Start nothing more after this time"),
    Setting(
        "resume",
        switch_or_path,
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
        "save-results", switch, "true|false", "Keep the results; they are by default", alone=True
    ),
    Setting("state-columns", names, "KEY,KEY", "Keys of the state that rows have as well"),
    Setting("num-workers", number_or_auto, "N", "Processes asked for; -n of xdist starts them"),
    Setting(
        "verbose", switch, "", "Log in detail, to the run.log of each eval and to pytest's logs"
    ),
    Setting("save-to-hf-hub", switch, "", "Push the rows of each eval to the Hugging Face Hub"),
    Setting(
        "hf-hub-dataset-name", str, "NAME", "As which dataset; by default made of the settings"
    ),
    Setting("heartbeat-url", url, "URL", "Asked for as rollouts end, and at the end"),
    Setting("disable-tui", switch, "", "Plain lines instead of the live view"),
    Setting("fullscreen", switch, "", "The live view on a screen of its own"),
    Setting("abbreviated-summary", switch, "", "Leave settings and first examples out of the end"),
    Setting(
        "independent-scoring",
        switch,
        "",
        "Score each rollout by itself; an error where rewards compare those of an example",
    ),
    Setting(
        "no-interleave-scoring",
        switch,
        "",
        "Score nothing of an eval before all of its rollouts were generated",
    ),
    Setting(
        "max-concurrent-generation", int, "N", "Rollouts that generate at once, of those in flight"
    ),
    Setting(
        "max-concurrent-scoring", int, "N", "Rollouts that are scored at once, of those in flight"
    ),
    Setting("cache-dir", str, "DIR", "Folder of the response cache (.evals_cache)", is_path=True),
    Setting(
        "prices",
        str,
        "PATH",
        "TOML file of what models cost: [[price]] rows with model, input_price and output_price,"
        " USD per million tokens",
        is_path=True,
    ),
)
# Those that are no key of an eval.
OF_THE_SESSION = frozenset(
    {
        "heartbeat_url",
        "fullscreen",
        "abbreviated_summary",
        "no_interleave_scoring",
        "max_concurrent_generation",
        "max_concurrent_scoring",
        "cache_dir",
        "prices",
    }
)

# Options that may be given several times, and whose ini keys have a line for each: name, metavar
# and what one is.
_LISTS = (
    ("header", "'NAME: VALUE'", "Header of every request"),
    (
        "header-from-state",
        "'NAME: KEY'",
        "Header of every request with a value of the rollout's state (X-Session-ID: example_id)",
    ),
    ("gate", "GATE", 'Gate for every eval besides its own: "reward >= 0.8"'),
)


def add_settings(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Declare the options and ini keys."""
    for setting in SETTINGS:
        form: dict[str, Any] = {"type": setting.read, "metavar": setting.metavar}
        if setting.is_switch:
            form = {"action": "store_const", "const": True}
        elif setting.alone is not None:
            form |= {"nargs": "?", "const": setting.alone}
        group.addoption(f"--evals-{setting.name}", dest=setting.dest, help=setting.help, **form)
        parser.addini(setting.dest, f"{setting.help}; --evals-{setting.name} beats it")
    for name, metavar, text in _LISTS:
        dest = f"evals_{name.replace('-', '_')}"
        group.addoption(
            f"--evals-{name}",
            action="append",
            default=[],
            metavar=metavar,
            dest=dest,
            help=f"{text}; repeatable",
        )
        parser.addini(dest, f"{text}; a line each", type="linelist", default=[])
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
    if given is not None:
        return _placed(setting, given, config.invocation_params.dir)
    return _placed(setting, read_ini(config, setting), ini_folder(config))


def _settings(values: dict[Setting, Any], folder: Path, **more: Any) -> Settings:
    from ..config.settings import Settings

    given: dict[str, Any] = {
        setting.key: _placed(setting, value, folder)
        for setting, value in values.items()
        if setting.key not in OF_THE_SESSION
    }
    return Settings(**given, **more)


def _placed(setting: Setting, value: Any, folder: Path) -> Any:
    """Return a value, absolute if it is a path."""
    is_path = setting.is_path and isinstance(value, str) and value
    return str(folder / value) if is_path else value
