"""Levels: what the command line and the ini file say, checked as the keys of a file are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_evals.config.loading import env_dir_of, read_eval_file
from pytest_evals.config.schema import NOT_YET_SUPPORTED, EvalTable
from pytest_evals.config.settings import SETTING_KEYS, Settings
from pytest_evals.errors import SetupError

from .files import NOTHING, Files, one

# Each setting with two values, and the attribute of the spec.
VALUES: dict[str, tuple[Any, Any, str]] = {
    "model": ("m", "n", "model"),
    "provider": ("openai", "local", "provider"),
    "endpoints_path": ("/a.toml", "/b.toml", "endpoints_path"),
    "api_base_url": ("http://a", "http://b", "api_base_url"),
    "api_key_var": ("A_KEY", "B_KEY", "api_key_var"),
    "api_client_type": ("openai_responses", "anthropic_messages", "api_client_type"),
    "header": (("X-A: 1",), ("X-B: 2",), "headers"),
    "env_args": ({"a": 1}, {"b": 2}, "env_args"),
    "extra_env_kwargs": ({"a": 1}, {"b": 2}, "extra_env_kwargs"),
    "env_dir_path": ("/a", "/b", "env_dir_path"),
    "max_tokens": (1, 2, "sampling_args"),
    "temperature": (0.1, 0.2, "sampling_args"),
    "sampling_args": ({"top_p": 0.1}, {"seed": 2}, "sampling_args"),
    "num_examples": (1, 2, "num_examples"),
    "rollouts_per_example": (1, 2, "rollouts_per_example"),
    "header_from_state": (("X-A: a",), ("X-B: b",), "headers_from_state"),
    "max_retries": (1, 2, "max_retries"),
    "resume": (True, "/run", "resume"),
    "output_dir": ("/a", "/b", "output_dir"),
    "save_results": (True, False, "save_results"),
    "state_columns": (("a",), ("b",), "state_columns"),
    "num_workers": (2, 3, "num_workers"),
    "verbose": (False, True, "verbose"),
    "disable_tui": (False, True, "disable_tui"),
    "save_to_hf_hub": (False, True, "save_to_hf_hub"),
    "hf_hub_dataset_name": ("me/a", "me/b", "hf_hub_dataset_name"),
    "independent_scoring": (False, True, "independent_scoring"),
}


def test_every_setting_is_tested_and_is_a_key_of_the_file() -> None:
    assert set(VALUES) == set(SETTING_KEYS) <= set(EvalTable.model_fields)
    assert not NOT_YET_SUPPORTED & set(EvalTable.model_fields)


@pytest.mark.parametrize("key", SETTING_KEYS)
def test_the_command_line_beats_the_ini_file(files: Files, key: str) -> None:
    stronger, weaker, attribute = VALUES[key]
    text = '[[eval]]\nenv_id = "a"'

    def read(**levels: Any) -> Any:
        found = getattr(files.read(text, **levels).evals[0], attribute)
        return str(found) if key == "endpoints_path" else found

    by_ini = read(ini=Settings(**{key: weaker}))
    by_both = read(command_line=Settings(**{key: stronger}), ini=Settings(**{key: weaker}))
    assert by_both == read(command_line=Settings(**{key: stronger})) != by_ini != read()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("temperature", -1.0, " must be at least 0, not -1.0"),
        ("temperature", float("nan"), " must be a finite number, not nan"),
        ("max_tokens", 0, " must be at least 1, not 0"),
        ("model", " ", ': must be printable text that is not empty, not " "'),
        ("model", "a\x1b[31m", ": must be printable text"),
        ("api_base_url", "localhost", ": must begin with http:// or https://"),
        ("api_key_var", "sk-secret", ": must be the name of an environment variable, not the"),
        ("header", ("X-A",), '[0]: must be written "Name: Value"'),
        ("header", ("X-A: 1", ": 2"), '[1]: "" is not the name of an HTTP header'),
        ("header", ("X A: 1",), '[0]: "X A" is not the name of an HTTP header'),
        ("header", ("X-A: a\nb",), "[0]: the value of 'X-A' must be a line of ASCII text"),
        ("sampling_args", {"n": 3}, ": 'n' must be left out"),
        ("sampling_args", {"model": "m"}, ": 'model' is no sampling argument"),
        ("sampling_args", {"timeout": 3}, ": 'timeout' is no sampling argument; the key"),
        ("extra_env_kwargs", {"a-b": 1}, ': "a-b" cannot be an attribute'),
    ],
)
def test_what_no_eval_can_have(files: Files, key: str, value: Any, message: str) -> None:
    text = '[[eval]]\nenv_id = "a"'
    with pytest.raises(SetupError) as caught:
        files.read(text, command_line=Settings(**{key: value}))
    assert str(caught.value).startswith(f"--evals-{key.replace('_', '-')}{message}")
    with pytest.raises(SetupError) as caught:
        files.read(text, ini=Settings(**{key: value}))
    assert str(caught.value).startswith(f"ini evals_{key}{message}")


@pytest.mark.parametrize("secret", ["sk-secret-1", "Authorization sk-secret-1"])
def test_a_header_that_is_none_is_not_shown(files: Files, secret: str) -> None:
    with pytest.raises(SetupError) as caught:
        files.read('[[eval]]\nenv_id = "a"', command_line=Settings(header=(secret,)))
    assert "sk-secret" not in str(caught.value)
    for line in (f"header = '{secret}'", f"header = ['{secret}']", f"headers = ['{secret}']"):
        assert "sk-secret" not in files.error(one(line))
    assert "sk-secret" not in files.error(one('headers = { X-A = "sk-secret\\u0007" }'))


def test_headers_of_table_and_lines_the_last_of_a_name_counts(files: Files) -> None:
    (spec,) = files.read(
        one("headers = { X-A = '1', X-B = '2' }\nheader = ['x-a: 3', 'X-C:4:5', 'X-C : 6']"),
        command_line=Settings(header=("X-D: 7",)),
    ).evals
    assert spec.headers == {"X-B": "2", "x-a": "3", "X-C": "6"}
    (spec,) = files.read(
        one("headers = { X-A = '1' }"), command_line=Settings(header=("X-A: 7",))
    ).evals
    assert spec.headers == {"X-A": "7"}


def test_headers_are_not_in_the_repr(files: Files) -> None:
    (spec,) = files.read(one("headers = { Authorization = 'Bearer sk-1' }")).evals
    assert "sk-1" not in repr(spec)


def test_endpoints_path_is_relative_to_the_file_and_env_dir_path_is_not(files: Files) -> None:
    (spec,) = files.read(one("endpoints_path = '../e.toml'\nenv_dir_path = 'envs'")).evals
    assert spec.endpoints_path == files.path.parent.parent.resolve() / "e.toml"
    assert spec.env_dir_path == "envs"


def test_the_environment_is_looked_for_where_the_eval_says(files: Files) -> None:
    asked: list[tuple[str, str | None]] = []

    def defaults(env_id: str, env_dir: str | None) -> dict[str, Any]:
        asked.append((env_id, env_dir))
        return {}

    files.path.write_text('[[eval]]\nid = "a"\nenv_dir_path = "mine"\n[[eval]]\nid = "b"\n')
    for level in (NOTHING, Settings(assignments=('env_dir_path="forced"',))):
        read_eval_file(
            files.path,
            command_line=level,
            ini=Settings(env_dir_path="/ini"),
            environment_defaults=defaults,
        )
    assert asked == [("a", "mine"), ("b", "/ini"), ("a", "forced"), ("b", "forced")]
    assert env_dir_of(Settings(env_dir_path="/c"), Settings(env_dir_path="/i")) == "/c"
    assert env_dir_of(NOTHING, NOTHING) is None


def test_what_a_file_overrides_is_told_without_secrets(files: Files, tmp_path: Path) -> None:
    config = files.read(
        'sampling_args = { temperature = 1 }\nprovider = "openai"\n'
        '[[eval]]\nenv_id = "a"\nheader = ["Authorization: sk-file"]\nenv_args = { x = 1 }\n',
        command_line=Settings(
            temperature=0.5,
            max_tokens=5,
            header=("Authorization: sk-option",),
            env_args={"y": 2},
            api_base_url="http://x",
            api_key_var="K",
        ),
    )
    assert config.overridden == (
        "--evals-api-base-url=http://x (bench.toml:2 says provider openai)",
        "--evals-api-key-var=K (bench.toml:2 says provider openai)",
        "--evals-header (bench.toml:5)",
        "--evals-env-args={'y': 2} (bench.toml:6)",
        "--evals-temperature=0.5 (bench.toml:1 says sampling_args)",
    )
    (spec,) = config.evals
    assert spec.sampling_args == {"temperature": 1, "max_tokens": 5}
    assert (spec.env_args, spec.headers) == ({"x": 1}, {"Authorization": "sk-file"})
    assert (spec.api_base_url, spec.api_key_var) == (None, None)


@pytest.mark.parametrize("key", sorted(NOT_YET_SUPPORTED))
def test_keys_that_are_not_read_yet_are_named_so(files: Files, key: str) -> None:
    assert files.error(one(f"{key} = true")) == f"bench.toml:3: key {key!r} is not supported yet"
