"""Ablations: each point is an eval, in the documented order and with a name that can be read."""

from __future__ import annotations

import pytest

from pytest_evals.config.naming import value_labels
from pytest_evals.config.showing import value_as_toml
from pytest_evals.config.values import is_name

from .files import Files

SWEEP = """
model = "m"
num_examples = 50

[[ablation]]
env_id = "my-env"
env_args = {split = "test"}

[ablation.sweep]
temperature = [0.0, 0.5, 1.0]

[ablation.sweep.env_args]
difficulty = ["easy", "hard"]
"""


def ablation(text: str, env: str = 'env_id = "e"') -> str:
    return f"[[ablation]]\n{env}\n{text}\n"


def test_the_example_of_the_documentation_makes_six_evals(files: Files) -> None:
    evals = files.read(SWEEP).evals
    assert [
        (spec.name, spec.sampling_args["temperature"], spec.env_args["difficulty"])
        for spec in evals
    ] == [
        (f"my-env-temperature-{temperature}-difficulty-{difficulty}", temperature, difficulty)
        for temperature in (0.0, 0.5, 1.0)
        for difficulty in ("easy", "hard")
    ]
    assert {spec.env_args["split"] for spec in evals} == {"test"}
    assert {(spec.env_id, spec.model, spec.num_examples) for spec in evals} == {("my-env", "m", 50)}
    assert {spec.line for spec in evals} == {5}


def test_evals_come_first_then_each_ablation_and_nothing_is_crossed(files: Files) -> None:
    evals = files.read(
        ablation("sweep.num_examples = [2, 1]")
        + '[[eval]]\nenv_id = "plain"\n'
        + ablation("sweep = { temperature = [1], env_args = { x = [1, 2] } }", 'id = "f"')
        + '[[eval]]\nid = "last"\n'
    ).evals
    assert [spec.name for spec in evals] == [
        "plain",
        "last",
        "e-num_examples-2",
        "e-num_examples-1",
        "f-temperature-1-x-1",
        "f-temperature-1-x-2",
    ]


def test_dimensions_stand_in_the_order_of_the_file_with_arguments_last(files: Files) -> None:
    evals = files.read(
        ablation(
            "[ablation.sweep.args]\nz = [1, 2]\n[ablation.sweep.env_args]\ny = [3, 4]\n"
            "[ablation.sweep]\nrollouts_per_example = [1, 2]\nmax_tokens = [9, 8]"
        )
    ).evals
    first, second, *_, last = evals
    assert first.name == "e-rollouts_per_example-1-max_tokens-9-y-3-z-1"
    assert second.name == "e-rollouts_per_example-1-max_tokens-9-y-3-z-2"
    assert last.name == "e-rollouts_per_example-2-max_tokens-8-y-4-z-2"
    assert (last.env_args, len(evals)) == ({"y": 4, "z": 2}, 16)


def test_swept_arguments_go_into_the_fixed_ones_or_those_of_the_top_level(files: Files) -> None:
    top = "env_args = { level = 1, split = 'a' }\n"
    (inherited,) = files.read(top + ablation("sweep.env_args.level = [2]")).evals
    assert inherited.env_args == {"level": 2, "split": "a"}
    own = "args = { split = 'b' }\nsweep.args.level = [2]"
    (fixed,) = files.read(top + ablation(own)).evals
    assert fixed.env_args == {"level": 2, "split": "b"}


def test_env_id_may_be_fixed_swept_or_at_top_level(files: Files) -> None:
    text = ablation("sweep.env_id = ['o/a', 'b@1']\nsweep.env_args.x = [1]", "")
    assert [spec.name for spec in files.read(text).evals] == ["a-x-1", "b-x-1"]
    text = 'env_id = "top"\n' + ablation("sweep.temperature = [1]", "")
    assert [spec.name for spec in files.read(text).evals] == ["top-temperature-1"]
    same = files.read(ablation("sweep.id = ['one/a', 'two/a']", "")).evals
    assert [(spec.name, spec.env_id) for spec in same] == [("a", "one/a"), ("a-2", "two/a")]


def test_a_name_is_what_the_points_begin_with(files: Files) -> None:
    text = ablation("name = 'suite'\nsweep.env_id = ['a', 'b']", "")
    assert [spec.name for spec in files.read(text).evals] == ["suite-env_id-a", "suite-env_id-b"]
    text = ablation("sweep.name = ['x', 'y']")
    assert [spec.name for spec in files.read(text).evals] == ["x", "y"]


def test_a_swept_model_or_endpoint_drops_the_inherited_other_one(files: Files) -> None:
    (by_row,) = files.read('model = "m"\n' + ablation("sweep.endpoint_id = ['e']")).evals
    assert (by_row.model, by_row.endpoint_id) == (None, "e")
    (by_model,) = files.read('endpoint_id = "e"\n' + ablation("sweep.model = ['m']")).evals
    assert (by_model.model, by_model.endpoint_id) == ("m", None)


def test_whole_tables_and_lists_can_be_swept(files: Files) -> None:
    evals = files.read(
        ablation("sweep.sampling = [{ top_p = 0.5 }, { seed = 1 }]\nsweep.markers = [['x'], []]")
    ).evals
    assert [(spec.sampling_args, spec.markers) for spec in evals] == [
        ({"top_p": 0.5}, ("x",)),
        ({"top_p": 0.5}, ()),
        ({"seed": 1}, ("x",)),
        ({"seed": 1}, ()),
    ]
    assert evals[0].name == "e-sampling-top_p-0.5-markers-x"


def test_mistakes_of_a_point_are_told_at_its_value(files: Files) -> None:
    message = files.error(
        ablation("sweep.rollouts_per_example = [\n  4,\n  2,\n]\ngates = ['pass@4 >= 0.1']")
    )
    assert message.startswith("bench.toml:7: eval 'e-rollouts_per_example-2': gates[0]: 'pass@4")
    spec = files.read(ablation("sweep.env_args.level = [\n  1,\n  2,\n]")).evals[1]
    assert spec.line_of("env_args.level") == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "1: this [[ablation]] sweeps nothing: give it a non-empty [ablation.sweep]"),
        ("sweep = {}", "3: this [[ablation]] sweeps nothing"),
        ("sweep.env_args = {}", "3: this [[ablation]] sweeps nothing"),
        ("sweep = [1]", "3: 'sweep' must be a table: [ablation.sweep]"),
        ("sweep.temperature = 0.5", "3: sweep.temperature must be a list of values, not 0.5"),
        ("sweep.env_args.x = 'a'", '3: sweep.env_args.x must be a list of values, not "a"'),
        ("sweep.env_args = [{ x = 1 }]", "3: sweep.env_args must be a table of lists"),
        ("sweep.temperature = []", "3: sweep.temperature is an empty list, so this [[ablation]]"),
        ("sweep.env_args.x = []\nsweep.model = ['m']", "3: sweep.env_args.x is an empty list"),
        (
            "sweep.temprature = [1]",
            "3: sweep.temprature: unknown key 'temprature'; did you mean 'temperature'?",
        ),
        ("sweep.harness = [true]", "3: sweep.harness: key 'harness' is not supported yet"),
        ("sweep.sweep = [1]", "3: sweep.sweep: key 'sweep' belongs in an [[ablation]] block"),
        (
            "sweep.temperature = [0.5,\n'hot']",
            '4: sweep.temperature[1]: temperature must be a number, not "hot"',
        ),
        ("env_args.x = 1\nsweep.args.x = [2]", "4: 'x' is both a fixed and a swept argument"),
        ("sweep.args.x = [1]\nsweep.env_args.x = [2]", "3: 'x' is swept twice"),
        ("model = 'm'\nsweep.endpoint_id = ['e']", "4: 'model' and 'endpoint_id' are both set"),
        ("sweep = { model = ['m'], endpoint_id = ['e'] }", "3: 'model' and 'endpoint_id' are both"),
        ("sweep.id = ['f']", "3: 'env_id' and 'id' are both set"),
        ("num_example = 3\nsweep.model = ['m']", "3: unknown key 'num_example'"),
    ],
)
def test_mistakes(files: Files, text: str, message: str) -> None:
    assert files.error(ablation(text)).startswith(f"bench.toml:{message}")


def test_no_env_id_anywhere(files: Files) -> None:
    message = files.error(ablation("sweep.temperature = [1]", ""))
    assert message == "bench.toml:1: this [[ablation]] has no env_id, fixed, swept or at top level"


def test_sweep_has_no_place_in_an_eval(files: Files) -> None:
    message = files.error('[[eval]]\nenv_id = "a"\nsweep = { temperature = [1] }')
    assert message == "bench.toml:3: key 'sweep' belongs in an [[ablation]] block"


def test_two_ablations_with_one_point_need_names(files: Files) -> None:
    text = ablation("sweep.temperature = [0, 1]") + ablation("sweep.temperature = [1, 2]")
    assert "named 'e-temperature-1' like the one in line 1; set name" in files.error(text)
    named = text.replace("[1, 2]", '[1, 2]\nname = "f"')
    assert len(files.read(named).evals) == 4


def test_a_sweep_of_millions_is_refused_at_once(files: Files) -> None:
    values = ", ".join(map(str, range(100)))
    text = "".join(f"sweep.env_args.x{number} = [{values}]\n" for number in range(10))
    message = files.error(ablation(text))
    assert "bench.toml:3: this sweep makes" in message
    assert "evals; at most 10000 can be collected" in message
    many = ablation(f"sweep.env_args.x = [{values}]\nsweep.env_args.y = [{values}]")
    assert len(files.read(many).evals) == 10_000
    assert "more than 10000 evals in one file" in files.error(many + ablation("sweep.model=['m']"))


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([0.0, 0.5, 1, -1, 1e-07], ["0.0", "0.5", "1", "-1", "1e-07"]),
        ([True, False], ["true", "false"]),
        (["easy", "very hard!", "../x", "a::b"], ["easy", "very-hard", "..-x", "a-b"]),
        (["", "é", "x" * 41, "\x1b[31m"], ["v1", "v2", "v3", "31m"]),
        (["a b", "a-b", "a/b"], ["a-b", "a-b-2", "a-b-3"]),
        ([1, 1, 1.0], ["1", "1-2", "1.0"]),
        ([{"top_p": 0.5, "seed": 1}, {}, {"x": "y" * 50}], ["top_p-0.5-seed-1", "v2", "v3"]),
        ([["a", 1], []], ["a-1", "v2"]),
        ([2**9000, -(2**9000)], ["v1", "v2"]),
    ],
)
def test_labels_of_values(values: list[object], labels: list[str]) -> None:
    assert value_labels(values) == labels
    assert all(map(is_name, labels))


SECRET = "sk-12345"


@pytest.mark.parametrize(
    ("key", "values", "labels"),
    [
        ("header", [[f"X-Mode: {SECRET}"], []], ["v1", "v2"]),
        ("headers", [{"X-Mode": SECRET}, {"X-Mode": "b"}], ["v1", "v2"]),
        ("env_args.judge", [{"headers": {"x": SECRET}}, {"n": 1}], ["v1", "n-1"]),
        ("env_args.api_key", [SECRET, "none"], ["v1", "none"]),
        ("env_args.options", [[{"Authorization": SECRET}]], ["v1"]),
        ("api_base_url", [f"http://u:{SECRET}@h/v1", "http://h/v1"], ["v1", "http-h-v1"]),
        ("api_base_url", [f"http://h/v1?sig={SECRET}"], ["v1"]),
        ("max_tokens", [100000, 2], ["100000", "2"]),
    ],
)
def test_no_name_holds_what_may_be_secret(
    files: Files, key: str, values: list[object], labels: list[str]
) -> None:
    text = ablation(f"sweep.{key} = {value_as_toml(values)}")
    last = key.rpartition(".")[2]
    assert [spec.name for spec in files.read(text).evals] == [
        f"e-{last}-{label}" for label in labels
    ]


def test_a_long_name_says_which_point_it_is(files: Files) -> None:
    keys = "".join(f"sweep.env_args.argument_number_{n} = ['long value', 'b']\n" for n in range(5))
    names = [spec.name for spec in files.read(ablation(keys)).evals]
    assert names[:2] == ["e-v1", "e-v2"]
    assert len(set(names)) == 32
