"""Sidecar: gates beside an eval file, for files that must stay valid elsewhere."""

from __future__ import annotations

import pytest

from pytest_evals.config.settings import Settings
from pytest_evals.config.sidecar import is_sidecar, lost_gates

from .files import Files

EVALS = '[[eval]]\nenv_id = "a"\n[[ablation]]\nenv_id = "b"\nsweep.temperature = [0, 1]\n'


def beside(files: Files, text: str) -> None:
    (files.path.parent / "bench.gates.toml").write_text(text, encoding="utf-8")


def test_gates_by_name_and_by_part_of_a_name(files: Files) -> None:
    beside(
        files,
        'a = ["reward >= 0.8", "pass@2 >= 0.5"]\n"b-temperature-*" = ["reward >= 0.1"]\n'
        '"*-1" = ["turns <= 3"]\n',
    )
    config = files.read(EVALS, command_line=Settings(gates=("error_rate <= 0.1",)))
    assert [[gate.text for gate in spec.gates] for spec in config.evals] == [
        ["reward >= 0.8", "pass@2 >= 0.5", "error_rate <= 0.1"],
        ["reward >= 0.1", "error_rate <= 0.1"],
        ["reward >= 0.1", "turns <= 3", "error_rate <= 0.1"],
    ]
    assert config.evals[0].origins["gates.1"] == "bench.gates.toml:1"
    assert config.evals[2].origins["gates.1"] == "bench.gates.toml:3"


def test_an_eval_without_gates_there_has_the_default_one(files: Files) -> None:
    beside(files, "a = []\n")
    assert [len(spec.gates) for spec in files.read(EVALS).evals] == [1, 1, 1]
    beside(files, "")
    assert [len(spec.gates) for spec in files.read(EVALS).evals] == [1, 1, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('\nc = ["reward >= 1"]', "2: bench.toml has no eval 'c'"),
        ('b = ["reward >= 1"]', "1: bench.toml has no eval 'b'"),
        (
            '"b-temperature-2" = ["reward >= 1"]',
            "1: bench.toml has no eval 'b-temperature-2' (did you mean 'b-temperature-",
        ),
        ('"[ab]" = ["reward >= 1"]', "1: bench.toml has no eval '[ab]'"),
        ('"?" = ["reward >= 1"]', "1: bench.toml has no eval '?'"),
        (
            'a = "reward >= 1"',
            '1: a: write the gates of an eval as a list: "a" = ["reward >= 0.8"]',
        ),
        ('[a]\ngates = ["reward >= 1"]', "1: a: write the gates of an eval as a list"),
        ('a = [\n"reward >= 1",\n"reward"]', "3: a[1]: 'reward' has no comparison"),
        ("a = [3]", "1: a[0]: 3 is not a string or a table"),
        ('a = ["pass@9 >= 0.5"]', "1: eval 'a': a[0]: 'pass@9 >= 0.5' needs 9 rollouts"),
        ("a = [", "1: not valid TOML"),
    ],
)
def test_mistakes_name_the_sidecar(files: Files, text: str, message: str) -> None:
    beside(files, text)
    assert files.error(EVALS).startswith(f"bench.gates.toml:{message}")


def test_bytes_that_are_no_text_and_too_many(files: Files) -> None:
    path = files.path.parent / "bench.gates.toml"
    path.write_bytes(b"a = ['\xff']")
    assert files.error(EVALS).startswith("bench.gates.toml:1: not UTF-8 text")
    path.write_bytes(b"#" * (3 * 2**20))
    assert "too large for an eval file" in files.error(EVALS)


def test_gates_in_both_files_are_a_mistake(files: Files) -> None:
    beside(files, 'a = ["reward >= 0.8"]')
    message = files.error('[[eval]]\nenv_id = "a"\ngates = ["reward >= 0.5"]\n')
    assert message == (
        "bench.toml:3: eval 'a' has gates here and at bench.gates.toml:1; keep them in one file"
    )
    assert "has gates here" in files.error('gates = ["reward >= 0"]\n' + EVALS)
    config = files.read('[[eval]]\nenv_id = "a"\ngates = []\n')
    assert config.evals[0].gates[0].text == "reward >= 0.8"


def test_a_sidecar_is_no_eval_file(files: Files) -> None:
    beside(files, 'a = ["reward >= 0.8"]')
    files.read(EVALS)
    owner, files.path = files.path, files.path.parent / "bench.gates.toml"
    assert is_sidecar(files.path)
    assert not is_sidecar(owner)
    assert "these are the gates of bench.toml; run that file" in files.error("a = []")
    owner.unlink()
    assert not is_sidecar(files.path)  # nothing it could belong to: a file of that name
    assert "neither bench.toml nor bench.evals.toml beside them" in files.error_of_file()
    files.path.write_text(EVALS)
    assert len(files.read(EVALS).evals) == 3


@pytest.mark.parametrize("name", ["bench.gates.toml", "bench.evals.gates.toml"])
def test_both_names_beside_an_eval_file(files: Files, name: str) -> None:
    files.path = files.path.with_name("bench.evals.toml")
    sidecar = files.path.with_name(name)
    sidecar.write_text('a = ["reward >= 0.8"]')
    config = files.read(EVALS)
    assert config.evals[0].gates[0].text == "reward >= 0.8"
    assert config.evals[0].origins["gates.0"] == f"{name}:1"
    assert not lost_gates(sidecar.parent)
    files.path = sidecar
    assert "these are the gates of bench.evals.toml; run that file" in files.error_of_file()


def test_two_sidecars_are_a_mistake(files: Files) -> None:
    files.path = files.path.with_name("bench.evals.toml")
    for name in ("bench.gates.toml", "bench.evals.gates.toml"):
        files.path.with_name(name).write_text('a = ["reward >= 0.8"]')
    assert files.error(EVALS) == (
        "bench.evals.toml: its gates stand in both bench.evals.gates.toml and bench.gates.toml;"
        " keep them in one file"
    )


def test_the_exact_name_comes_first(files: Files) -> None:
    beside(files, 'a = ["reward >= 0.8"]')
    assert files.read(EVALS).evals[0].gates[0].text == "reward >= 0.8"
    files.path = files.path.with_name("bench.evals.toml")
    assert files.read(EVALS).evals[0].gates[0].default


def test_a_file_without_evals_owns_no_gates_of_another(files: Files) -> None:
    files.path.write_text("[tool]\n")
    beside(files, 'a = ["reward >= 0.8"]')
    files.path = files.path.with_name("bench.evals.toml")
    assert files.read(EVALS).evals[0].gates[0].text == "reward >= 0.8"


def test_gates_that_belong_to_no_eval_file(files: Files) -> None:
    files.read(EVALS)
    folder = files.path.parent
    assert not lost_gates(folder)
    (folder / "bnech.gates.toml").write_text("a = [")
    (folder / "own.gates.toml").write_text(EVALS)  # an eval file
    (folder / "folder.gates.toml").mkdir()
    ((path, text),) = lost_gates(folder)
    assert path.name == "bnech.gates.toml"
    assert "there is neither bnech.toml nor bnech.evals.toml beside them" in text
