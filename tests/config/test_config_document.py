"""Documents: files that cannot be read say so, and eval files are told from other TOML."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_evals.config.document import MAX_BYTES, is_eval_file, read_document
from pytest_evals.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bench.toml"


def error_of(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_document(path)
    return str(caught.value).replace(str(path), path.name)


def test_a_missing_file(file: Path) -> None:
    assert error_of(file) == "bench.toml: file not found"


def test_a_folder(file: Path) -> None:
    file.mkdir()
    assert error_of(file) == "bench.toml: not a TOML file but a folder or a device"
    assert not is_eval_file(file)


def test_a_pipe_is_not_waited_for(file: Path) -> None:
    os.mkfifo(file)
    assert "not a TOML file" in error_of(file)
    assert not is_eval_file(file)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission(file: Path) -> None:
    file.write_text("[[eval]]")
    file.chmod(0)
    assert "cannot be read: Permission denied" in error_of(file)
    assert not is_eval_file(file)


def test_a_huge_file_is_refused_unread(file: Path) -> None:
    with file.open("wb") as stream:
        stream.truncate(MAX_BYTES * 1000)
    assert error_of(file) == (
        "bench.toml: 2,000 MiB is too large for an eval file (the limit is 2 MiB)"
    )
    assert not is_eval_file(file)


def test_broken_syntax_has_its_line(file: Path) -> None:
    file.write_text('[[eval]]\nenv_id = "a"\nname = \n')
    assert error_of(file) == "bench.toml:3: not valid TOML: Invalid value"


@pytest.mark.parametrize("text", [f"a = {'9' * 5000}", f"a = {'[' * 5000}", 'a = "\x00"'])
def test_hostile_toml(file: Path, text: str) -> None:
    file.write_text(text)
    assert "not valid TOML" in error_of(file)


def test_text_that_is_not_utf_8_has_its_line(file: Path) -> None:
    file.write_bytes('[[eval]]\nname = "é"'.encode("latin-1"))
    assert error_of(file) == "bench.toml:2: not UTF-8 text; save the file as UTF-8"
    assert is_eval_file(file)


def test_utf_16(file: Path) -> None:
    file.write_text("[[eval]]\n", encoding="utf-16")
    assert "not UTF-8 text" in error_of(file)


def test_a_byte_order_mark_and_crlf_are_read(file: Path) -> None:
    file.write_bytes(b'\xef\xbb\xbf[[eval]]\r\nenv_id = "a"\r\n')
    document = read_document(file)
    assert document.table == {"eval": [{"env_id": "a"}]}
    assert document.line("eval", 0, "env_id") == 2
    assert is_eval_file(file)


@pytest.mark.parametrize(
    "text",
    [
        '[[eval]]\nenv_id = "a"',
        'model = "m"\n  [[ eval ]]  # here\n',
        '[["eval"]]\nenv_id = "a"',
        'eval = [{ env_id = "a" }]',
        '[[ablation]]\nenv_id = "a"',
        '[eval]\nenv_id = "a"',
        '[[eval]]\nenv_id = "a',
        "[[eval]]\nnumber = " + "9" * 5000,
    ],
)
def test_files_with_evals(file: Path, text: str) -> None:
    file.write_text(text)
    assert is_eval_file(file)


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[tool.pytest]\neval = "x"',
        "[tool.verifiers.eval]\nnum_examples = 3",
        "[[tool.eval]]\nenv_id = 'a'",
        "[tool]\n[[tool.x]]\neval = [{a = 1}]",
        "eval = true",
        "eval = []",
        "[eval]\nbatch_size = 3",
        'text = """\n[[eval]]\n"""',
        "# [[eval]]",
        "[evaluation]\nenv_id = 'a'",
        "broken = ",
    ],
)
def test_files_without_evals(file: Path, text: str) -> None:
    file.write_text(text)
    assert not is_eval_file(file)


def test_a_file_that_is_not_there_is_no_eval_file(tmp_path: Path) -> None:
    assert not is_eval_file(tmp_path / "none.toml")
    assert not is_eval_file(Path("nul\0byte.toml"))
