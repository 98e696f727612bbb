"""Document: an eval file as read from disk, with the line of each key."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .lines import KeyPath, line_of, locate

# A config is some pages. A larger file named by mistake must not fill the memory.
MAX_BYTES = 2 * 1024 * 1024

_LOOKS_LIKE_EVALS = re.compile(
    r"""^[ \t]*(?:\[{1,2}[ \t]*)?["']?(?:eval|ablation)["']?[ \t]*[\].=]""", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed TOML file.

    Attributes:
        path: the file, as it was named.
        table: its content.
        lines: the line of each key.
    """

    path: Path
    table: dict[str, Any]
    lines: dict[KeyPath, int] = field(repr=False)

    def line(self, *keys: str | int) -> int | None:
        """Return the line of a key, or of the nearest table around it."""
        return line_of(keys, self.lines)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing the user must mend in a file.

    Attributes:
        line: counted from 1; None when it is about the whole file.
        message: what is wrong and what to do, naming the key.
        path: where it is in another file than the one that is read.
    """

    line: int | None
    message: str
    path: Path | None = None


def raise_mistakes(path: Path, mistakes: list[Mistake]) -> None:
    """Raise one ConfigError that lists the mistakes by line; none raises nothing."""
    if not mistakes:
        return
    # Once each: a mistake at top level or in an ablation is met again in every eval.
    each = dict.fromkeys(sorted(mistakes, key=lambda mistake: mistake.line or 0))
    first, *others = each
    rest = [str(ConfigError(other.path or path, other.line, other.message)) for other in others]
    raise ConfigError(first.path or path, first.line, "\n".join([first.message, *rest]))


def read_document(path: Path) -> Document:
    """Read and parse a TOML file.

    Raises:
        ConfigError: it cannot be read, is not UTF-8 or not TOML, or is larger than an eval file
            can be.
    """
    import tomli

    text = _text_of(path)
    try:
        table = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(path, error.lineno, f"not valid TOML: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(path, None, f"not valid TOML: {error}") from None
    return Document(path, table, locate(text))


def is_eval_file(path: Path) -> bool:
    """Say whether a TOML file holds evals, without a check of what they say.

    True for `[[eval]]` or `[[ablation]]` blocks, and for files that try to have some: one with
    broken syntax, or an `[eval]` table with an `env_id`, so that reading it names the mistake.
    Never raises.
    """
    import tomli

    try:
        if not path.is_file() or path.stat().st_size > MAX_BYTES:
            return False
        text = path.read_bytes().decode("utf-8-sig", errors="replace")
    except (OSError, ValueError):
        return False
    if not _LOOKS_LIKE_EVALS.search(text):
        return False
    try:
        table = tomli.loads(text)
    except (ValueError, RecursionError):
        return True
    return any(_holds_evals(table.get(key)) for key in ("eval", "ablation"))


def _holds_evals(value: Any) -> bool:
    if isinstance(value, dict):
        return "env_id" in value or "id" in value
    return isinstance(value, list) and any(isinstance(block, dict) for block in value)


def _text_of(path: Path) -> str:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ConfigError(path, None, "not a TOML file but a folder or a device")
        if size > MAX_BYTES:
            raise ConfigError(
                path,
                None,
                f"{size / 2**20:,.0f} MiB is too large for an eval file"
                f" (the limit is {MAX_BYTES // 2**20} MiB)",
            )
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(path, None, "file not found") from None
    except OSError as error:
        raise ConfigError(path, None, f"cannot be read: {error.strerror or error}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(path, line, "not UTF-8 text; save the file as UTF-8") from None
