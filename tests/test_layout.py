"""Which room may import which, and how a module looks: the layout of the package as a test."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import pytest

PACKAGE = "pytest_evals"
FOLDER = Path(__file__).resolve().parents[1] / PACKAGE

# What the rooms exchange; every room but `demo` may import these.
SHARED = (
    "messages", "state", "errors", "visible", "lifecycle", "records", "names", "nearest", "places",
    "secret_names",
)  # fmt: skip

# What each room may import besides itself. A name covers the modules below it. Imports inside
# functions and for type checking count too.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "records": (),
    "messages": ("records",),
    "errors": (),
    "visible": (),
    "lifecycle": (),
    "nearest": (),
    "places": (),
    "secret_names": (),
    "names": ("nearest",),
    "state": ("messages", "records"),
    "parsers": SHARED,
    "config": (*SHARED, "gates.grammar"),
    "endpoints": SHARED,
    "clients": (*SHARED, "endpoints"),
    "stats": SHARED,
    "rubrics": (*SHARED, "parsers", "clients"),
    "environments": (*SHARED, "rubrics", "parsers", "clients"),
    "store": SHARED,
    "engine": (*SHARED, "environments", "clients", "endpoints", "store"),
    "gates": (*SHARED, "stats"),
    "reports": (*SHARED, "store", "stats", "gates"),
    "adapters": (*SHARED, "environments", "rubrics", "parsers", "clients"),
    "demo": (),
}
# Besides these: `plugin` may import every room and is imported by none, and `__init__`, which
# names what others define, may import them when asked for a name and for type checking.

# What a room may import besides, but only inside a function.
MAY_IMPORT_WHEN_CALLED: dict[str, tuple[str, ...]] = {
    "environments": ("engine", "store", "reports", "stats", "endpoints"),
}

# pytest and what comes with it: only `plugin` knows it.
PYTEST = ("pytest", "_pytest", "pluggy", "xdist")

# Everything here loads with any part of the package, so it imports the standard library alone.
STANDARD_LIBRARY_ONLY = (
    "messages", "records", "lifecycle", "state", "errors", "visible", "names", "nearest", "places",
    "secret_names", "parsers", "stats", "gates", "config.spec",
)  # fmt: skip

# Loaded in every pytest session, also in one that collects no eval: at module level these import
# the standard library, pytest and each other.
LOADED_ALWAYS = (
    "plugin", "plugin.garbage", "plugin.hookspecs", "plugin.options", "plugin.settings",
    "plugin.option_values", "plugin.rewriting", "plugin.judging_options",
)  # fmt: skip

MAX_LINES = 350

# When an import runs: with its module, when a function is called, or never.
When: TypeAlias = Literal["loading", "called", "type checking"]


@dataclass(frozen=True, slots=True)
class Module:
    """A source file: its dotted name below the package ("" for the package itself)."""

    name: str
    path: Path
    source: str
    is_package: bool

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module: dotted, and below the package when `own`."""

    target: str
    line: int
    own: bool
    when: When


def read_modules() -> list[Module]:
    modules = []
    for path in sorted(FOLDER.rglob("*.py")):
        *parents, stem = path.relative_to(FOLDER).with_suffix("").parts
        is_package = stem == "__init__"
        name = ".".join(parents if is_package else [*parents, stem])
        modules.append(Module(name, path, path.read_text("utf-8"), is_package))
    return modules


MODULES = read_modules()
NAMES = frozenset(module.name for module in MODULES)


def imports_of(module: Module, names: frozenset[str] = NAMES) -> Iterator[Import]:
    """Yield every import of a module; `names` are the package's modules."""
    yield from _imports_in(ast.parse(module.source), module, names, "loading")


def _imports_in(
    node: ast.AST,
    module: Module,
    names: frozenset[str],
    when: When,
) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield _absolute(alias.name, node.lineno, when)
        return
    if isinstance(node, ast.ImportFrom):
        base = _base_of(node, module)
        for alias in node.names:
            found = _absolute(f"{base}.{alias.name}", node.lineno, when)
            is_module = found.own and found.target in names
            yield found if is_module else _absolute(base, node.lineno, when)
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and when == "loading":
        when = "called"
    if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
        for statement in node.body:
            yield from _imports_in(statement, module, names, "type checking")
        for statement in node.orelse:
            yield from _imports_in(statement, module, names, when)
        return
    for child in ast.iter_child_nodes(node):
        yield from _imports_in(child, module, names, when)


def _absolute(dotted: str, line: int, when: When) -> Import:
    first, _, rest = dotted.partition(".")
    own = first == PACKAGE
    return Import(rest if own else dotted, line, own, when)


def _base_of(node: ast.ImportFrom, module: Module) -> str:
    """Return the dotted name that `from ... import` starts from."""
    if not node.level:
        return node.module or ""
    here = [PACKAGE, *filter(None, module.name.split("."))]
    up = node.level - 1 if module.is_package else node.level
    return ".".join([*here[: len(here) - up], *filter(None, [node.module])])


def _covers(allowed: tuple[str, ...], target: str) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in allowed)


def room_problem(module: Module, found: Import) -> str | None:
    """Say which rule of the table an import of the package's own modules breaks, or None."""
    room, target = module.room, found.target
    if room == "":
        lazily = found.when != "loading" and not _covers(("plugin",), target)
        return None if lazily else f"the package imports {target!r} before it is asked for it"
    if target == "":
        return "import from the module that defines the name, not from the package"
    if _covers((room,), target) or room == "plugin":
        return None
    if _covers(("plugin",), target):
        return f"{target} is the plugin's; nobody imports plugin"
    if room not in MAY_IMPORT:
        return f"room {room!r} is not in the table MAY_IMPORT"
    if _covers(MAY_IMPORT[room], target):
        return None
    if _covers(MAY_IMPORT_WHEN_CALLED.get(room, ()), target):
        if found.when != "loading":
            return None
        return f"{room} may import {target} inside a function only"
    allowed = ", ".join(MAY_IMPORT[room]) or "nothing"
    return f"{room} may not import {target}; it may import {allowed}"


def outside_problem(module: Module, found: Import) -> str | None:
    """Say which rule an import from outside the package breaks, or None."""
    top = found.target.partition(".")[0]
    if top in sys.stdlib_module_names:
        return None
    if top in PYTEST:
        return None if module.room == "plugin" else f"only plugin imports {top}"
    if module.name == "":
        return f"the package itself imports the standard library only, not {top}"
    if _covers(STANDARD_LIBRARY_ONLY, module.name):
        return f"{module.name} imports the standard library only, not {top}"
    return None


def weight_problem(module: Module, found: Import) -> str | None:
    """Say why an import is too heavy for a module that every session loads, or None."""
    if module.name not in LOADED_ALWAYS or found.when != "loading":
        return None
    top = found.target.partition(".")[0]
    if found.own:
        light = found.target in LOADED_ALWAYS
    else:
        light = top in sys.stdlib_module_names or top in PYTEST
    if light:
        return None
    return (
        f"every session loads this module; import {found.target} inside the function that uses it"
    )


def import_problems(module: Module, names: frozenset[str] = NAMES) -> list[str]:
    """Return one line, `file:line: what is wrong`, for each import that breaks a rule."""
    problems = []
    for found in imports_of(module, names):
        check = room_problem if found.own else outside_problem
        for problem in (check(module, found), weight_problem(module, found)):
            if problem:
                problems.append(f"{module.path}:{found.line}: {problem}")
    return problems


def form_problems(module: Module) -> list[str]:
    """Return what is wrong with a module's docstring and length."""
    problems = []
    docstring = ast.get_docstring(ast.parse(module.source), clean=False) or ""
    if not docstring.partition("\n")[0].strip():
        problems.append(f"{module.path}:1: the first line of the docstring says what it is for")
    lines = module.source.count("\n")
    if lines >= MAX_LINES:
        problems.append(f"{module.path}:{lines}: {lines} lines; split it below {MAX_LINES}")
    return problems


def test_rooms_import_only_what_the_table_allows() -> None:
    problems = [problem for module in MODULES for problem in import_problems(module)]
    assert not problems, "\n".join(["", *problems])


def test_each_module_says_what_it_is_for_and_is_short() -> None:
    problems = [problem for module in MODULES for problem in form_problems(module)]
    assert not problems, "\n".join(["", *problems])


def test_every_room_is_in_the_table() -> None:
    rooms = {module.room for module in MODULES} - {"", "plugin"}
    assert rooms <= set(MAY_IMPORT), f"rooms without a row: {sorted(rooms - set(MAY_IMPORT))}"
    assert "plugin" in NAMES


# The checks themselves, on sources that keep and break each rule.

SAMPLE_NAMES = frozenset(
    ["", *MAY_IMPORT, "plugin", "plugin.nodes", "plugin.options", "gates.grammar", "gates.verdict",
     "environments.environment", "engine.engine", "config.spec", "demo.server"]
)  # fmt: skip


def sample(name: str, source: str) -> Module:
    return Module(name, Path(f"{name}.py"), source, is_package=name in ("", "plugin"))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("state", "from .messages import Message"),
        ("config.spec", "from ..gates.grammar import Gate"),
        ("config.spec", "from ..gates import grammar"),
        ("environments.environment", "def evaluate():\n    from ..engine.engine import Engine"),
        ("environments.environment", "import openai"),
        ("engine.engine", "import pytest_evals.environments.environment"),
        ("plugin.nodes", "import pytest, openai\nfrom .. import demo\nfrom ..engine import engine"),
        ("plugin", "import pytest\nfrom . import options\ndef hook():\n    from . import nodes"),
        ("demo.server", "from . import server"),
        ("", "def __getattr__(name):\n    from .environments import environment"),
        ("", "if TYPE_CHECKING:\n    from .environments.environment import Environment"),
    ],
)
def test_imports_that_keep_the_rules(name: str, source: str) -> None:
    assert import_problems(sample(name, source), SAMPLE_NAMES) == []


@pytest.mark.parametrize(
    ("name", "source", "problem"),
    [
        ("messages", "from .state import State", "messages may not import state"),
        ("state", "from .errors import Error", "state may not import errors"),
        ("stats.means", "from .. import Rubric", "stats.means.py:1: import from the module"),
        ("config.spec", "from ..gates.verdict import Verdict", "may not import gates.verdict"),
        ("config.spec", "from ..gates import verdict", "may not import gates.verdict"),
        ("config.spec", "import pydantic", "config.spec imports the standard library only"),
        ("gates.grammar", "def f():\n    import openai", "gates.grammar.py:2: gates.grammar"),
        ("environments.tasks", "from ..config import spec", "environments may not import config"),
        ("environments.environment", "from ..engine import engine", "inside a function only"),
        (
            "engine.engine",
            "def f():\n    import pytest_evals.plugin.nodes",
            "nobody imports plugin",
        ),
        ("engine.engine", "class A:\n    from .. import plugin", "nobody imports plugin"),
        ("store", "if TYPE_CHECKING:\n    import pytest", "only plugin imports pytest"),
        ("store", "from _pytest.config import Config", "only plugin imports _pytest"),
        ("demo.server", "from ..messages import Message", "demo may not import messages"),
        ("demo.server", "from .. import Environment", "import from the module that defines"),
        ("novel", "from .messages import Message", "room 'novel' is not in the table"),
        ("plugin", "from .nodes import Eval", "inside the function that uses it"),
        ("plugin.options", "from ..errors import Error", "inside the function that uses it"),
        ("plugin.options", "import openai", "inside the function that uses it"),
        ("", "from .messages import Message", "before it is asked for it"),
        ("", "def f():\n    from .plugin import nodes", "before it is asked for it"),
        ("", "import openai", "standard library only, not openai"),
    ],
)
def test_imports_that_break_a_rule(name: str, source: str, problem: str) -> None:
    assert problem in "\n".join(import_problems(sample(name, source), SAMPLE_NAMES))


@pytest.mark.parametrize(
    "source", ["", "x = 1\n", '"""\nLater.\n"""', '"""Noun."""\n' + "x = 1\n" * MAX_LINES]
)
def test_modules_of_the_wrong_form(source: str) -> None:
    assert len(form_problems(sample("stats", source))) == 1
