"""Failures: the assertions that failed in the rollouts of an eval, as its gates tell them."""

from __future__ import annotations

_SHOWN = 10


class Failures:
    """Counts failed assertions by their text.

    Attributes:
        told: the lines of the process that knows all of them; None where this one does.
    """

    def __init__(self) -> None:
        self.told: list[str] | None = None
        self._found: dict[str, tuple[str, int]] = {}

    def note(self, text: str, name: str) -> None:
        """Note an assertion that failed in the rollout `name`."""
        first, count = self._found.get(text, (name, 0))
        self._found[text] = (first, count + 1)

    def lines(self) -> list[str]:
        """Return each assertion below the first rollout it failed in, the first ten of them."""
        if self.told is not None:
            return self.told
        lines = []
        for text, (first, count) in list(self._found.items())[:_SHOWN]:
            others = f" and {count - 1} more" if count > 1 else ""
            lines += [f"{first}{others}:", *(f"  {line}" for line in text.splitlines())]
        if len(self._found) > _SHOWN:
            lines.append(f"and {len(self._found) - _SHOWN} more assertions")
        return lines
