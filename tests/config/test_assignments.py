"""Assignments: `--evals-set key=value` is read strictly, and beats every level."""

from __future__ import annotations

import pytest

from pytest_evals.config.assignments import read_assignments
from pytest_evals.config.settings import Settings
from pytest_evals.errors import SetupError

from .files import Files


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("num_examples=20", ("num_examples",), 20),
        (" num_examples = 20 ", ("num_examples",), 20),
        ('model="a=b"', ("model",), "a=b"),
        ("env_args.level=3", ("env_args", "level"), 3),
        ("args.level=[1, 2]", ("env_args", "level"), [1, 2]),
        ("env_args . 'a.b' . \"c d\" = {x=1}", ("env_args", "a.b", "c d"), {"x": 1}),
        ("sampling.top_p=0.5", ("sampling_args", "top_p"), 0.5),
        ("env_args={}", ("env_args",), {}),
        ("temperature=1", ("temperature",), 1),
        ('headers.X-A="b"', ("headers", "X-A"), "b"),
        ("gates=['reward >= 0.5']", ("gates",), ["reward >= 0.5"]),
        ('env_args.text="""a\nb"""', ("env_args", "text"), "a\nb"),
    ],
)
def test_key_and_value(text: str, path: tuple[str, ...], value: object) -> None:
    (assignment,) = read_assignments([text])
    assert (assignment.path, assignment.value) == (path, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--evals-set '': write it key=value"),
        ("num_examples", "--evals-set 'num_examples': write it key=value, such as num_examples=20"),
        ("=3", "--evals-set '=3': write it key=value"),
        ("a b=3", "--evals-set 'a b=3': write it key=value"),
        (".x=3", "write it key=value"),
        ("x" * 9000, "xxx...': write it key=value"),
        ("[eval]\nx=1", "write it key=value"),
        ("num_examples=", "--evals-set num_examples: the value is not TOML"),
        (
            "model=gpt-4",
            "--evals-set model: the value is not TOML; a text is quoted: --evals-set",
        ),
        ("env_args.flag=True", "the value is not TOML"),
        ("num_examples=1\nmodel='m'", "it holds several lines; give --evals-set once for each key"),
        ("num_examples=1\n[x]", "it holds several lines"),
        ("num_examples='1'", 'num_examples: num_examples must be an integer, not "1"'),
        ("rollouts_per_example=0", "rollouts_per_example must be at least 1, not 0"),
        ("num_example=1", "unknown key 'num_example'; did you mean 'num_examples'?"),
        ("harness=true", "key 'harness' is not supported yet"),
        ("num_examples.x=1", "num_examples must be an integer, not a table"),
        ("gates.0='reward >= 1'", "gates must be a list, not a table"),
        ("gates=['reward']", "gates[0]: 'reward' has no comparison"),
        ("env_id='a'", "'env_id' says which eval it is and cannot be set for all"),
        ("id='a'", "'env_id' says which eval it is and cannot be set for all"),
        ("name='a'", "'name' says which eval it is"),
        ("env_args.x=" + "[" * 5000, "env_args.x: "),
        ("sampling_args.n=4", "sampling_args: 'n' must be left out"),
        ("sampling_args.x=nan", "'x' cannot be sent as JSON"),
        ("extra_env_kwargs.max-turns=1", '"max-turns" cannot be an attribute'),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(SetupError) as caught:
        read_assignments(["num_examples=1", text])
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "text",
    ["headers.Authorization=sk-secret-1", "header=['sk-secret-1']", "api_key_var=sk-secret-1"],
)
def test_what_may_be_a_key_is_not_repeated(text: str) -> None:
    with pytest.raises(SetupError) as caught:
        read_assignments([text])
    assert "sk-secret" not in str(caught.value)


def test_they_beat_the_file_in_every_eval(files: Files) -> None:
    config = files.read(
        'max_concurrent = 8\nendpoint_id = "e"\ngates = ["reward >= 0.9"]\n'
        '[[eval]]\nenv_id = "a"\nnum_examples = 9\nsampling_args = { temperature = 1 }\n'
        '[[ablation]]\nenv_id = "b"\nsweep.env_args.level = [1, 2]\n',
        command_line=Settings(
            num_examples=7,
            gates=("reward >= 0.1",),
            assignments=(
                "num_examples=3",
                "num_examples=2",
                'model="m"',
                "temperature=0.5",
                "env_args.level=5",
                "max_concurrent=4",
                "gates=['reward >= 0.2']",
            ),
        ),
    )
    assert [spec.name for spec in config.evals] == ["a", "b-level-1", "b-level-2"]
    for spec in config.evals:
        assert (spec.num_examples, spec.model, spec.endpoint_id) == (2, "m", None)
        assert spec.sampling_args == {"temperature": 0.5}
        assert spec.env_args == {"level": 5}
        assert [gate.text for gate in spec.gates] == [
            "reward >= 0.2",
            "reward >= 0.1",
            "error_rate <= 0",
        ]
        assert spec.max_concurrent is None
        assert spec.origins["num_examples"] == "--evals-set num_examples"
        assert spec.origins["env_args.level"] == "--evals-set env_args.level"
        assert spec.origins["sampling_args.temperature"] == "--evals-set temperature"
    assert config.max_concurrent == 4


def test_a_bad_one_is_an_error_of_the_command_line(files: Files) -> None:
    with pytest.raises(SetupError, match=r"^--evals-set model: the value is not TOML"):
        files.read('[[eval]]\nenv_id = "a"', command_line=Settings(assignments=("model=x",)))
