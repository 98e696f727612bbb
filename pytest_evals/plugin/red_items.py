"""RedItems: which items of a run are red, and in which phase each became so."""

from __future__ import annotations

from collections.abc import Collection


class RedItems:
    """The items that have failed, as far as they were not run again.

    Attributes:
        names: of the items.
    """

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._phases: dict[str, str] = {}

    def note(self, name: str, *, has_failed: bool, when: str) -> None:
        """Note whether a report of an item failed; a new setup means it is run again."""
        if when == "setup":
            self.names.discard(name)
            self._phases.pop(name, None)
        if has_failed:
            self.names.add(name)
            self._phases.setdefault(name, when)

    def failed(self, gates: Collection[str]) -> int:
        """Return how many failed before their teardown, the gates left out."""
        return sum(when != "teardown" and item not in gates for item, when in self._phases.items())

    def late_lines(self, name: str) -> list[str]:
        """Say how many items of the eval `name` failed in their teardown."""
        late = sum(when == "teardown" for when in self._phases.values())
        if not late:
            return []
        return [
            f"1 item of {name} failed in its teardown"
            if late == 1
            else f"{late} items of {name} failed in their teardowns"
        ]
