"""Loading: eval files become EvalSpecs, and every mistake is named with file, line and key."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.config.loading import eval_of_environment, read_eval_file
from pytest_evals.config.settings import Settings
from pytest_evals.errors import ConfigError, SetupError

from .files import NOTHING, Files, no_defaults, one

# What a file gives.


def test_a_minimal_eval_has_the_built_in_values(files: Files) -> None:
    config = files.read('# a comment\n[[eval]]\nenv_id = "gsm8k"\n')
    (spec,) = config.evals
    assert (spec.name, spec.env_id, spec.path, spec.line) == ("gsm8k", "gsm8k", files.path, 2)
    assert (spec.num_examples, spec.rollouts_per_example) == (5, 3)
    assert (spec.model, spec.endpoint_id) == ("openai/gpt-4.1-mini", None)
    assert (spec.sampling_args, spec.env_args, spec.markers) == ({}, {}, ())
    assert (spec.max_concurrent, spec.pass_threshold, spec.pass_reward) == (None, None, None)
    assert [(gate.text, gate.default) for gate in spec.gates] == [("error_rate <= 0", True)]
    assert (config.max_concurrent, config.overridden) == (None, ())


def test_every_key_reaches_the_spec(files: Files) -> None:
    (spec,) = files.read(
        """
        [[eval]]
        env_id = "owner/my-env"
        name = "my-env.v1+x_2"
        env_args = { difficulty = "hard", day = 2026-01-01 }
        extra_env_kwargs = { max_seq_len = 4096, concurrency = 64 }
        num_examples = -1
        rollouts_per_example = 4
        model = "m"
        endpoints_path = "../endpoints.toml"
        api_base_url = "http://localhost:8000/v1"
        api_key_var = "MY_KEY"
        provider = "local"
        max_tokens = 100
        temperature = 0
        sampling_args = { top_p = 0.9 }
        max_concurrent = 7
        pass_threshold = 1
        pass_reward = 0.5
        reward_errors = "zero"
        rollout_seed = 7
        timeout = 30
        output_dir = "kept"
        save_results = false
        state_columns = ["judge_response", "parsed"]
        num_workers = "auto"
        disable_env_server = true
        verbose = true
        disable_tui = true
        save_to_hf_hub = true
        hf_hub_dataset_name = "me/mine"
        markers = ["smoke", "fast", "smoke"]
        gates = ["reward >= 0.8", "pass@4 >= 0.9", "error_rate <= 0.1"]
        """
    ).evals
    assert (spec.name, spec.env_id) == ("my-env.v1+x_2", "owner/my-env")
    assert spec.env_args["difficulty"] == "hard"
    assert (spec.num_examples, spec.rollouts_per_example) == (-1, 4)
    assert (spec.model, spec.provider, spec.api_key_var) == ("m", "local", "MY_KEY")
    assert spec.api_base_url == "http://localhost:8000/v1"
    assert spec.endpoints_path == files.path.parent.parent.resolve() / "endpoints.toml"
    assert spec.sampling_args == {"max_tokens": 100, "temperature": 0, "top_p": 0.9}
    assert (spec.max_concurrent, spec.rollout_seed, spec.timeout) == (7, 7, 30.0)
    assert (spec.pass_threshold, spec.pass_reward) == (1.0, 0.5)
    assert (spec.output_dir, spec.save_results, spec.num_workers) == ("kept", False, "auto")
    assert spec.state_columns == ("judge_response", "parsed")
    assert spec.extra_env_kwargs == {"max_seq_len": 4096, "concurrency": 64}
    assert spec.reward_errors == "zero"
    assert (spec.verbose, spec.disable_tui, spec.save_to_hf_hub) == (True, True, True)
    assert spec.hf_hub_dataset_name == "me/mine"
    assert spec.markers == ("smoke", "fast")
    assert [gate.name for gate in spec.gates] == [
        "gate-reward",
        "gate-pass-at-4",
        "gate-error_rate",
    ]


def test_the_line_of_each_key_is_known_also_of_inherited_ones(files: Files) -> None:
    first, second = files.read(
        """provider = "local"
        gates = ["reward >= 0.1"]
        [[eval]]
        id = "a"
        env_args = {
          seed = 3,
        }
        [[eval]]
        env_id = "b"
        gates = [
          "reward >= 0.2",
          "reward >= 0.3",
        ]
        [eval.env_args]
        seed = 4
        """
    ).evals
    assert (first.line_of("env_id"), first.line_of("env_args.seed")) == (4, 6)
    assert (first.line_of("provider"), first.line_of("gates.0")) == (1, 2)
    assert (first.line_of("model"), first.line_of("model", "env_id")) == (3, 4)
    assert (second.line_of("gates.0"), second.line_of("gates.1")) == (11, 12)
    assert second.line_of("gates.2") == second.line == 8
    assert second.line_of("env_args.seed") == 15


def test_top_level_values_are_defaults_and_tables_are_replaced_whole(files: Files) -> None:
    first, second = files.read(
        """
        model = "m"
        num_examples = 50
        env_args = { split = "test", level = 1 }
        extra_env_kwargs = { x = 1 }
        reward_errors = "zero"
        markers = ["smoke"]
        gates = ["reward >= 0.5"]
        [[eval]]
        env_id = "a"
        [[eval]]
        env_id = "b"
        num_examples = 10
        args = { level = 2 }
        extra_env_kwargs = { max_turns = 3 }
        gates = []
        """
    ).evals
    assert (first.extra_env_kwargs, second.extra_env_kwargs) == ({"x": 1}, {"max_turns": 3})
    assert (first.reward_errors, second.reward_errors) == ("zero", "zero")
    assert (first.num_examples, first.env_args) == (50, {"split": "test", "level": 1})
    assert (second.num_examples, second.env_args) == (10, {"level": 2})
    assert (first.markers, second.markers) == (("smoke",), ("smoke",))
    assert [len(spec.gates) for spec in (first, second)] == [2, 1]


def test_short_aliases(files: Files) -> None:
    (spec,) = files.read('[[eval]]\nid = "a"\nargs = { x = 1 }').evals
    assert (spec.env_id, spec.name, spec.env_args) == ("a", "a", {"x": 1})


def test_a_seed_alone_shuffles_nothing(files: Files) -> None:
    orders = [
        files.read(one(keys)).evals[0].order
        for keys in ("", "shuffle_seed = 3", "shuffle = true", "shuffle = true\nshuffle_seed = 3")
    ]
    assert orders == [None, None, 0, 3]
    evals = files.read("shuffle = true\n" + one("") + '[[eval]]\nid = "b"\nshuffle = false').evals
    assert [spec.order for spec in evals] == [0, None]


def test_a_block_chooses_between_model_and_endpoint(files: Files) -> None:
    by_row, by_model = files.read(
        'model = "m"\n[[eval]]\nenv_id = "a"\nendpoint_id = "e"\n[[eval]]\nenv_id = "b"\n'
    ).evals
    assert (by_row.model, by_row.endpoint_id) == (None, "e")
    assert (by_model.model, by_model.endpoint_id) == ("m", None)
    (spec,) = files.read('endpoint_id = "e"\n[[eval]]\nenv_id = "a"\nmodel = "m"').evals
    assert (spec.model, spec.endpoint_id) == ("m", None)


@pytest.mark.parametrize(
    ("env_id", "name"),
    [("my-env", "my-env"), ("owner/my-env", "my-env"), ("owner/my-env@1.2.0", "my-env")],
)
def test_the_default_name_is_the_last_segment(files: Files, env_id: str, name: str) -> None:
    assert files.read(f'[[eval]]\nenv_id = "{env_id}"').evals[0].name == name


@pytest.mark.parametrize(("written", "limit"), [("8", 8), ("0", 0), ("-1", 0)])
def test_max_concurrent_at_top_level_is_the_sessions(
    files: Files, written: str, limit: int
) -> None:
    config = files.read(f'max_concurrent = {written}\n[[eval]]\nenv_id = "a"')
    assert config.max_concurrent == limit
    assert config.evals[0].max_concurrent is None


def test_no_cap_of_its_own(files: Files) -> None:
    config = files.read(one("max_concurrent = 0"))
    assert (config.evals[0].max_concurrent, config.max_concurrent) == (None, None)


# Levels besides the file.


def test_command_line_beats_ini_beats_environment(files: Files) -> None:
    (spec,) = files.read(
        '[[eval]]\nenv_id = "a"',
        command_line=Settings(num_examples=9),
        ini=Settings(num_examples=8, rollouts_per_example=2, model="m", provider="openai"),
        defaults={"num_examples": 7, "rollouts_per_example": 6, "other": "ignored"},
    ).evals
    assert (spec.num_examples, spec.rollouts_per_example) == (9, 2)
    assert (spec.model, spec.provider) == ("m", "openai")


def test_the_environments_own_numbers_are_used_where_nothing_else_is_given(files: Files) -> None:
    (spec,) = files.read(one("num_examples = 2"), defaults={"rollouts_per_example": 6}).evals
    assert (spec.num_examples, spec.rollouts_per_example) == (2, 6)


def test_the_environment_is_not_asked_for_numbers_that_are_given(files: Files) -> None:
    asked: list[str] = []

    def defaults(env_id: str, env_dir: str | None) -> Mapping[str, Any]:
        asked.append(env_id)
        return {}

    files.path.write_text('rollouts_per_example = 1\n[[eval]]\nenv_id = "a"\n')
    for command_line in (Settings(num_examples=1), Settings()):
        read_eval_file(
            files.path, command_line=command_line, ini=NOTHING, environment_defaults=defaults
        )
    assert asked == ["a"]


@pytest.mark.parametrize(
    ("defaults", "problem"),
    [
        (
            {"num_examples": "ten"},
            'num_examples in [tool.verifiers.eval] of its pyproject.toml must be an integer, not "',
        ),
        ({"num_examples": True}, "must be an integer, not true"),
        ({"num_examples": 1.5}, "must be an integer, not 1.5"),
        ({"rollouts_per_example": 0}, "must be at least 1, not 0"),
    ],
)
def test_bad_numbers_of_the_environment(
    files: Files, defaults: Mapping[str, Any], problem: str
) -> None:
    message = files.error('[[eval]]\nenv_id = "a"', defaults=defaults)
    assert message.startswith("bench.toml:2: environment 'a': ")
    assert problem in message
    assert files.read(one("num_examples = 1\nrollouts_per_example = 1"), defaults=defaults).evals


def test_gates_of_the_command_line_and_ini_are_added(files: Files) -> None:
    (spec,) = files.read(
        one('gates = ["reward >= 0.8"]'),
        command_line=Settings(gates=("reward >= 0.9", "pass@2 >= 0.5")),
        ini=Settings(gates=("latency.p95 <= 10",)),
    ).evals
    assert [(gate.name, gate.text) for gate in spec.gates] == [
        ("gate-reward", "reward >= 0.8"),
        ("gate-reward-2", "reward >= 0.9"),
        ("gate-pass-at-2", "pass@2 >= 0.5"),
        ("gate-latency.p95", "latency.p95 <= 10"),
        ("gate-error_rate", "error_rate <= 0"),
    ]


def test_overridden_values_of_the_command_line_are_told(files: Files) -> None:
    config = files.read(
        'model = "demo-small"\nmax_concurrent = 8\n'
        '[[eval]]\nenv_id = "a"\nnum_examples = 4\n'
        '[[eval]]\nenv_id = "b"\nendpoint_id = "local"\nnum_examples = 2\n'
        '[[eval]]\nenv_id = "c"\n',
        command_line=Settings(
            model="gpt-x",
            provider="openai",
            num_examples=2,
            rollouts_per_example=1,
            max_concurrent=16,
        ),
        ini=Settings(model="never told"),
    )
    assert config.overridden == (
        "--evals-model=gpt-x (bench.toml:1 says demo-small, bench.toml:8 says endpoint_id local)",
        "--evals-provider=openai (bench.toml:8 says endpoint_id local)",
        "--evals-num-examples=2 (bench.toml:5 says 4)",
        "--evals-max-concurrent=16 (bench.toml:2 says 8)",
    )
    assert [spec.num_examples for spec in config.evals] == [4, 2, 2]
    assert [spec.model for spec in config.evals] == ["demo-small", None, "demo-small"]
    assert [spec.provider for spec in config.evals] == ["openai", None, "openai"]


def test_equal_values_override_nothing(files: Files) -> None:
    config = files.read(
        'model = "m"\nmax_concurrent = 8\n[[eval]]\nenv_id = "a"',
        command_line=Settings(model="m", max_concurrent=8, num_examples=1),
    )
    assert config.overridden == ()


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        (
            {"command_line": Settings(rollouts_per_example=0)},
            "--evals-rollouts-per-example must be at least 1, not 0",
        ),
        (
            {"ini": Settings(rollouts_per_example=-1)},
            "ini evals_rollouts_per_example must be at least 1, not -1",
        ),
        ({"command_line": Settings(gates=("reward",))}, "--evals-gate: 'reward' has no comparison"),
        ({"ini": Settings(gates=("reward => 1",))}, "ini evals_gate: 'reward => 1'"),
    ],
)
def test_bad_settings(files: Files, levels: dict[str, Any], message: str) -> None:
    with pytest.raises(SetupError, match="^" + message.replace("(", r"\(")):
        files.read('[[eval]]\nenv_id = "a"', **levels)


# Mistakes in a file.


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": no evals here; an eval file needs at least one [[eval]] block with an env_id"),
        ('model = "m"', ": no evals here"),
        ("eval = []", ": no evals here"),
        ('[eval]\nenv_id = "a"', ":1: [eval] must have double brackets: [[eval]]"),
        ('\n[ablation]\nenv_id = "a"', ":2: [ablation] must have double brackets: [[ablation]]"),
        ("eval = 3", ":1: 'eval' must be [[eval]] blocks"),
        ("eval = [1]", ":1: 'eval' must be [[eval]] blocks"),
        ('[[evals]]\nenv_id = "a"', ":1: unknown key 'evals'; did you mean [[eval]]?"),
        (
            '\n[[endpoint]]\nendpoint_id = "a"\nmodel = "m"',
            ":2: this is an endpoint registry; evals name its rows by endpoint_id",
        ),
        ('endpoint = "a"', ":1: unknown key 'endpoint'; did you mean 'endpoint_id'?"),
        (
            '[[eval]]\nenv_id = "a"\n\n[[ablation]]\nenv_id = "b"',
            ":4: this [[ablation]] sweeps nothing: give it a non-empty [ablation.sweep]",
        ),
        (
            'env_id = "a"\n[[eval]]\nname = "x"',
            ":2: this [[eval]] has no env_id; each block must name its environment",
        ),
        ('name = "x"\n[[eval]]\nenv_id = "a"', ":1: key 'name' belongs in an [[eval]] block"),
        (
            '[[eval]]\nid = "a"\nenv_id = "a"',
            ":2: 'env_id' and 'id' are both set; keep one, they are the same key",
        ),
        (
            one("args = { x = 1 }\nenv_args = { x = 2 }"),
            ":3: 'x' is in 'env_args' and in 'args', which are the same table",
        ),
        (
            one('model = "m"\nendpoint_id = "e"'),
            ":4: 'model' and 'endpoint_id' are both set; keep one, the endpoint has a model of its",
        ),
        (
            'endpoint_id = "e"\nmodel = "m"\n[[eval]]\nenv_id = "a"',
            ":1: 'model' and 'endpoint_id' are both set",
        ),
        (one("harness = true"), ":3: key 'harness' is not supported yet"),
        (
            'taskset = true\n[[eval]]\nenv_id = "a"',
            ":1: key 'taskset' is not supported yet",
        ),
        (one("num_example = 3"), ":3: unknown key 'num_example'; did you mean 'num_examples'?"),
        (
            'temprature = 1\n[[eval]]\nenv_id = "a"',
            ":1: unknown key 'temprature'; did you mean 'temperature'?",
        ),
        (
            '[[eval]]\nenv_id = "a"\n\n[eval.env_arg]\nx = 1',
            ":4: unknown key 'env_arg'; did you mean 'env_args'?",
        ),
        (one("zzz = 1"), ":3: unknown key 'zzz'; the keys are api_base_url, "),
        (
            '[[eval]]\nenv_id = "a"\n[[eval]]\nname = "b"\nenv_id = "a"\n[[eval]]\nid = "o/a"',
            ":6: this eval is named 'a' like the one in line 1; set name = \"...\" in one of them",
        ),
        ('[[eval]]\nenv_id = "é"', ":2: 'é' cannot name an eval; set name"),
        (
            one("env_args = { a = 1 }\nnum_examples = '3'"),
            ':4: num_examples must be an integer, not "3"',
        ),
    ],
)
def test_mistakes_of_a_file(files: Files, text: str, message: str) -> None:
    assert files.error(text).startswith("bench.toml" + message)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("num_examples = true", "num_examples must be an integer, not true"),
        ("num_examples = 5.0", "num_examples must be an integer, not 5.0"),
        ("num_examples = [5]", "num_examples must be an integer, not a list"),
        ("shuffle = 1", "shuffle must be true or false, not 1"),
        ("shuffle_seed = true", "shuffle_seed must be an integer, not true"),
        ("rollouts_per_example = 0", "rollouts_per_example must be at least 1, not 0"),
        ("max_tokens = 0", "max_tokens must be at least 1, not 0"),
        ("max_concurrent = 'all'", 'max_concurrent must be an integer, not "all"'),
        ("temperature = true", "temperature must be a number, not true"),
        ("temperature = nan", "temperature must be a finite number, not nan"),
        ("temperature = -0.5", "temperature must be at least 0, not -0.5"),
        (f"temperature = {'9' * 400}", "temperature must be a number, not one so large"),
        ("pass_threshold = inf", "pass_threshold must be a finite number, not inf"),
        ("pass_reward = '1'", 'pass_reward must be a number, not "1"'),
        ("reward_errors = 'ignore'", "reward_errors must be 'broken' or 'zero', not \"ignore\""),
        ("reward_errors = true", "reward_errors must be 'broken' or 'zero', not true"),
        ("extra_env_kwargs = 3", "extra_env_kwargs must be a table, not 3"),
        (
            "extra_env_kwargs = { 'max-turns' = 3 }",
            'extra_env_kwargs: "max-turns" cannot be an attribute of an environment',
        ),
        ("timeout = 0", "timeout must be greater than 0, not 0"),
        ("num_workers = 0", 'num_workers: must be "auto" or at least 1, not 0'),
        ("num_workers = true", 'num_workers: must be "auto" or at least 1, not true'),
        ("save_results = 1", "save_results must be true or false, not 1"),
        ("state_columns = 'a'", 'state_columns must be a list, not "a"'),
        ("state_columns = ['']", "state_columns[0]: must be printable text"),
        ("output_dir = ' '", "output_dir: must be printable text"),
        ("disable_env_server = 0", "disable_env_server must be true or false, not 0"),
        ("resume = 3", "resume: must be true, false or the path of a run's folder, not 3"),
        ('resume = " "', 'resume: must be true, false or the path of a run\'s folder, not " "'),
        ("resume_path = 'x'\nresume = true", "'resume' and 'resume_path' are both set"),
        ("rollout_seed = 1.5", "rollout_seed must be an integer, not 1.5"),
        ("model = 3", "model must be a string, not 3"),
        ("model = ' '", 'model: must be printable text that is not empty, not " "'),
        ('provider = "a\\u001b[31m"', "provider: must be printable text"),
        ("name = 'a b'", 'name: "a b" may hold only letters, digits and _ . + -'),
        ("name = 'a[1]'", 'name: "a[1]" may hold only'),
        ("name = 'a::b'", 'name: "a::b" may hold only'),
        ("env_args = 3", "env_args must be a table, not 3"),
        ("env_args = 2026-01-01", "env_args must be a table, not a date or a time"),
        ("api_base_url = 'localhost:8000'", "api_base_url: must begin with http:// or https://"),
        (
            "api_base_url = ['http://a', 'http://b']",
            "api_base_url takes one URL; replicas are [[endpoint]] rows of one endpoint_id",
        ),
        ("sampling_args = { top_p = nan }", "sampling_args: 'top_p' cannot be sent as JSON"),
        ("sampling_args = { x = [2026-01-01] }", "sampling_args: 'x' cannot be sent as JSON"),
        ("sampling_args = { model = 'x' }", "sampling_args: 'model' is no sampling argument"),
        (
            "sampling_args = { extra_headers = { Authorization = 'sk-12345' } }",
            "sampling_args: 'extra_headers' is no sampling argument; the keys 'header' and",
        ),
        (
            "sampling = { extra_query = { sig = 'sk-12345' } }",
            "sampling: 'extra_query' is no sampling argument; a query belongs in the URL",
        ),
        (
            "sampling_args = { timeout = 3 }",
            "sampling_args: 'timeout' is no sampling argument; the key 'timeout' limits a",
        ),
        ("sampling_args = { stream = true }", "sampling_args: 'stream' must be left out"),
        ("sampling_args = { n = 4 }", "sampling_args: 'n' must be left out"),
        ("markers = 'smoke'", 'markers must be a list, not "smoke"'),
        ("markers = ['ok', 'not ok']", 'markers[1]: "not ok" cannot be a pytest mark'),
        ("markers = ['not']", 'markers[0]: "not" cannot be a pytest mark'),
        ("markers = ['_x']", 'markers[0]: "_x" cannot be a pytest mark'),
        ("markers = [3]", "markers[0] must be a string, not 3"),
        ("markers = ['xfail']", 'markers[0]: "xfail" means something else to pytest'),
        ("gates = 'reward >= 1'", 'gates must be a list, not "reward >= 1"'),
        ("gates = ['reward']", "gates[0]: 'reward' has no comparison"),
        (
            "gates = ['reward >= 0', 'reward => 0']",
            "gates[1]: 'reward => 0': '=>' is not a comparison; did you mean 'reward >= 0'?",
        ),
        (
            "gates = [{ metric = 'reward', least = 1 }]",
            "gates[0]: a gate has no key 'least'; the keys are metric, min, max, rule, confidence,",
        ),
        ("gates = [1]", "gates[0]: 1 is not a string or a table; a gate is written"),
    ],
)
def test_wrong_values_in_a_block_and_at_top_level(files: Files, key: str, message: str) -> None:
    assert files.error(one(key)).startswith(f"bench.toml:3: {message}")
    if not key.startswith("name"):
        assert files.error(f'{key}\n[[eval]]\nenv_id = "a"').startswith(f"bench.toml:1: {message}")


@pytest.mark.parametrize("env_id", ["", "owner/", "a b", "a;b", "../", "a@"])
def test_env_ids_that_no_module_can_have(files: Files, env_id: str) -> None:
    assert files.error(f'[[eval]]\nenv_id = "{env_id}"').startswith("bench.toml:2: env_id: must ")


def test_a_key_in_place_of_its_variable_is_not_shown(files: Files) -> None:
    message = files.error(one('api_key_var = "sk-secret-123"'))
    assert message == (
        "bench.toml:3: api_key_var: must be the name of an environment variable, not the key itself"
    )


def test_a_gate_that_can_never_pass(files: Files) -> None:
    message = files.error(
        'gates = [\n  "reward >= 0.5",\n  "pass@4 >= 0.9",\n]\n'
        '[[eval]]\nenv_id = "a"\nrollouts_per_example = 4\n[[eval]]\nenv_id = "b"\n'
    )
    assert message.startswith("bench.toml:3: eval 'b': gates[1]: 'pass@4 >= 0.9' needs 4 rollouts")
    message = files.error(
        '\n[[eval]]\nenv_id = "a"', command_line=Settings(gates=("pass^8 >= 0.1",))
    )
    assert message.startswith("bench.toml:2: eval 'a': --evals-gate: 'pass^8 >= 0.1' needs 8")


def test_a_gate_on_all_examples_is_possible(files: Files) -> None:
    text = one('num_examples = -1\ngates = ["error_rate <= 0.01", "pass@3 >= 1"]')
    assert len(files.read(text).evals[0].gates) == 2


def test_all_mistakes_are_told_at_once_by_line(files: Files) -> None:
    message = files.error(
        'num_example = 3\n[[eval]]\nenv_id = "a"\nharness = true\n'
        'gates = [\n  "reward >= 0.8",\n  "reward"]\n[[eval]]\nmodel = 3\n'
    )
    starts = [line.partition(": ")[0] for line in message.splitlines()]
    assert starts == [f"bench.toml:{line}" for line in (1, 4, 7, 8, 9)]


def test_the_error_has_path_and_line_of_the_first_mistake(files: Files) -> None:
    with pytest.raises(ConfigError) as caught:
        files.read(one("num_example = 3\nharness = true"))
    assert (caught.value.path, caught.value.line) == (files.path, 3)


def test_mistakes_come_before_any_environment_is_asked(files: Files) -> None:
    def never(env_id: str, env_dir: str | None) -> Mapping[str, Any]:
        raise AssertionError(env_id)

    files.path.write_text('[[eval]]\nenv_id = "a"\n[[eval]]\nenv_id = "b"\nnum = 1\n')
    with pytest.raises(ConfigError):
        read_eval_file(files.path, command_line=NOTHING, ini=NOTHING, environment_defaults=never)


# An environment without a file.


def test_an_environment_named_without_a_file(tmp_path: Path) -> None:
    config = eval_of_environment(
        "owner/my-env",
        tmp_path,
        command_line=Settings(model="m", provider="openai", gates=("reward >= 0.5",)),
        ini=Settings(num_examples=8),
        environment_defaults=lambda env_id, env_dir: {"num_examples": 7, "rollouts_per_example": 2},
    )
    (spec,) = config.evals
    assert (spec.name, spec.env_id, spec.path, spec.line) == ("my-env", "owner/my-env", tmp_path, 1)
    assert (spec.model, spec.provider) == ("m", "openai")
    assert (spec.num_examples, spec.rollouts_per_example) == (8, 2)
    assert [gate.text for gate in spec.gates] == ["reward >= 0.5", "error_rate <= 0"]
    assert (config.max_concurrent, config.overridden) == (None, ())


@pytest.mark.parametrize(
    ("env_id", "levels", "message"),
    [
        ("a b", {}, 'env_id must name an environment, like "my-env", not "a b"'),
        (
            "a",
            {"command_line": Settings(gates=("pass@9 >= 1",))},
            "eval 'a': --evals-gate: 'pass@9 >= 1' needs 9 rollouts per example",
        ),
        (
            "a",
            {"environment_defaults": lambda env_id, env_dir: {"num_examples": "x"}},
            "environment 'a': num_examples in [tool.verifiers.eval] of its pyproject.toml must be",
        ),
    ],
)
def test_mistakes_without_a_file(
    tmp_path: Path, env_id: str, levels: dict[str, Any], message: str
) -> None:
    given = {"command_line": NOTHING, "ini": NOTHING, "environment_defaults": no_defaults, **levels}
    with pytest.raises(ConfigError) as caught:
        eval_of_environment(env_id, tmp_path, **given)
    assert str(caught.value).startswith(f"{tmp_path}: {message}")


# Weight.


@pytest.mark.parametrize("module", ["spec", "settings", "document"])
def test_what_an_idle_session_needs_of_this_room_is_light(module: str) -> None:
    code = (
        f"import sys, pytest_evals.config.{module};"
        "print(*sys.modules.keys() & {'pydantic', 'tomli', 'openai', 'aiohttp'})"
    )
    found = subprocess.run(  # the modules of this process are all loaded
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == ""


def test_a_block_can_cancel_the_resume_of_the_whole_file(files: Files) -> None:
    text = """
        resume = true
        [[eval]]
        env_id = "a"
        [[eval]]
        env_id = "b"
        resume = false
        [[eval]]
        env_id = "c"
        resume_path = "runs/c"
    """
    specs = files.read(text, command_line=Settings(resume="elsewhere")).evals
    assert [spec.resume for spec in specs] == [True, False, "runs/c"]
