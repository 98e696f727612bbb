"""CONTRIBUTING.md names every module of the plugin: few of their names can be guessed."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INDEX = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("### The plugin")[2]


def _named(text: str) -> set[str]:
    """Return what stands before the colon of an entry, alone or in a list."""
    entries = re.findall(
        r"(?:^- |[.;] )((?:`\w+`(?:, )?)+)[:;]", text.partition("\n## ")[0], re.MULTILINE
    )
    return {name for entry in entries for name in re.findall(r"\w+", entry)}


def _modules(folder: str) -> set[str]:
    found = {path.stem for path in (ROOT / "pytest_evals" / folder).glob("*.py")}
    return found if folder == "plugin" else found - {"__init__"}


def test_every_module_of_the_plugin_is_in_the_index_and_nothing_else() -> None:
    general, _, rest = INDEX.partition("**Test functions**")
    functions, _, xdist = rest.partition("**Workers of pytest-xdist**")
    assert _named(general) == _modules("plugin")
    assert _named(functions) == _modules("plugin/functions")
    assert _named(xdist) == _modules("plugin/xdist")
