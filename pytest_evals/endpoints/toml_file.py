"""Reading a TOML file of this room: its text, for the places of errors, and what it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ConfigError


def read_toml(path: Path, what: str) -> tuple[str, dict[str, Any]]:
    """Return the text of a file, and the document.

    Args:
        path: the file.
        what: what it is, for the error where it does not exist.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    text = _read(path, what)
    return text, _parse(path, text)


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(path, None, f"{what} does not exist") from None
    except OSError as error:
        raise ConfigError(path, None, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, None, f"is not UTF-8 (byte {error.start})") from None


def _parse(path: Path, text: str) -> dict[str, Any]:
    # Imported here: sessions without such a file do not need it.
    import tomli

    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(path, error.lineno, f"is not TOML: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(path, None, f"is not TOML that can be read: {error}") from None
