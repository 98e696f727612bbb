"""Lines: every table, key and list element of a TOML text is found where it stands."""

from __future__ import annotations

from typing import Any

import pytest
import tomli

from pytest_evals.config.lines import KeyPath, line_of, locate

TEXT = '''\
# [[eval]]
model = "a"  # gates = 1
"quoted \\u0041 key" = 1
'literal' = 2
note = """
[[eval]]
gates = 5
"""

[[eval]]
env_id = "one"
gates = [
  "reward >= 0.5",  # a ] and a "
  # "commented >= 1",

  "error_rate <= 0",
]
env_args = { level = 1, deep = { a.b = 2 }, list = [ { x = 1 },
  { x = 2 } ] }
literal_block = \'\'\'
env_id = "no"
\'\'\'

[eval.sampling_args]
top_p = 1.5
when = 1979-05-27 07:32:00

[[ eval ]]  # the second
"env_id" = 'two'
markers = [ [ ], [ "x" ] ]
[eval.env_args]
a.b.c = 1

[[ablation]]
[ablation.sweep]
temperature = [0.5,
 1.0]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("model",), 2),
        (("quoted A key",), 3),
        (("literal",), 4),
        (("note",), 5),
        (("eval",), 10),
        (("eval", 0), 10),
        (("eval", 0, "env_id"), 11),
        (("eval", 0, "gates"), 12),
        (("eval", 0, "gates", 0), 13),
        (("eval", 0, "gates", 1), 16),
        (("eval", 0, "env_args"), 18),
        (("eval", 0, "env_args", "deep", "a", "b"), 18),
        (("eval", 0, "env_args", "list", 0, "x"), 18),
        (("eval", 0, "env_args", "list", 1, "x"), 19),
        (("eval", 0, "literal_block"), 20),
        (("eval", 0, "sampling_args"), 24),
        (("eval", 0, "sampling_args", "top_p"), 25),
        (("eval", 0, "sampling_args", "when"), 26),
        (("eval", 1), 28),
        (("eval", 1, "env_id"), 29),
        (("eval", 1, "markers", 1, 0), 30),
        (("eval", 1, "env_args"), 31),
        (("eval", 1, "env_args", "a", "b", "c"), 32),
        (("ablation", 0, "sweep", "temperature", 1), 37),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_each_path_has_its_line(path: KeyPath, line: int, newline: str) -> None:
    assert locate(TEXT.replace("\n", newline))[path] == line


def paths(value: Any, at: KeyPath = ()) -> set[KeyPath]:
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return {at, *(path for key, inner in items for path in paths(inner, (*at, key)))}


def test_the_paths_are_those_of_the_parsed_document() -> None:
    assert set(locate(TEXT)) == paths(tomli.loads(TEXT)) - {()}


@pytest.mark.parametrize(
    "text",
    [
        'a = """x"""""\nb = 1',
        'a = """"x"""\nb = 1',
        'a = """"""\nb = 1',
        "a = ''''x'''''\nb = 1",
        'a = """\\""" #"""\nb = 1',
        'a = "\\"#[["\nb = 1',
        "a = '\\'\nb = 1",
        "a = {\n}\nb = 1",
        "a = [\n]\nb = 1",
        "a = [[1, 2], [[]]]\nb = 1",
        'a = { x = "}", "y]" = [1, { z = 2, }, ], }\nb = 1',
        'a = {\n  x = 1, # }\n  y = "]"\n}\nb = 1',
        "1.2 = 3\nb = 1",
        "a . c = 3\nb = 1",
        "eval = [{ env_id = 'x' }, { env_id = 'y' }]\nb = 1",
        "[x.y]\n[x]\nb = 1",
        "[[x.y]]\na = 1\n[[x.y.z]]\nb = 1\n[[x.y.z]]\n[[x.y]]\n[x.y.w]\nb = 1",
        "a = 1",
        "",
        "# only a comment",
        "a = -inf\nb = nan",
    ],
)
def test_odd_layouts_are_read_like_the_parser_does(text: str) -> None:
    parsed = tomli.loads(text)
    lines = locate(text)
    assert set(lines) == paths(parsed) - {()}
    if parsed.get("b") == 1:
        assert lines[("b",)] == text.count("\n") + 1


def test_a_path_without_a_line_has_that_of_the_table_around_it() -> None:
    lines = locate("a = 1\n[[eval]]\n")
    assert line_of(("eval", 0, "env_id"), lines) == 2
    assert line_of(("b",), lines) is None
    assert line_of((), lines) is None


def test_deep_nesting_and_long_strings_are_no_problem() -> None:
    text = "a = " + "[" * 300 + "]" * 300 + '\nb = """' + 'x\n"' * 200_000 + '"""\nc = 1\n'
    tomli.loads(text)
    assert locate(text)[("c",)] == 200_003
