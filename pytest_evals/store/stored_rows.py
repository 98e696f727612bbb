"""StoredRows: the rows of a run that goes on, read from disk when they are asked for."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from .dialects import generated_again, is_finite, own_line
from .reading import OWN, Key, last_lines, results_files
from .replacing import replacing
from .rows import RESULTS_FILE, UNSCORED, Row

# In lines of this package alone: in a text the quotes would be escaped.
_GENERATED = f'"state": "generated", "{UNSCORED}": '.encode()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be kept of a run.

    Attributes:
        rollouts_per_example: rows of a higher number are none of the eval's.
        planned: every rollout of the eval; None where only a part of them is known here.
        scores_groups: the rewards of an example's rollouts may depend on each other.
        keeps_errors: unmeasured and broken rollouts are done as well, as in verifiers.
    """

    rollouts_per_example: int
    planned: Collection[Key] | None = None
    scores_groups: bool = False
    keeps_errors: bool = False

    @property
    def done(self) -> frozenset[str]:
        """The states of rows that need nothing more."""
        errors = ("unmeasured", "broken") if self.keeps_errors else ()
        return frozenset({"scored", *errors})


@dataclass(slots=True)
class _Changes:
    """Whether results.jsonl loses anything by being written anew."""

    dropped: int = 0
    foreign: int = 0
    lines: list[str] = field(default_factory=list)


class StoredRows:
    """What is on disk of the rollouts of a run.

    Rows that are appended later are not seen.

    Attributes:
        notices: what was wrong with the files, a line each.
    """

    def __init__(
        self,
        path: Path,
        done: Mapping[Key, tuple[int, int]],
        generated: Mapping[Key, tuple[int, int]],
        notices: Sequence[str],
    ) -> None:
        self._file: BinaryIO | None = path.open("rb") if path.exists() else None
        self._done = done
        self._generated = generated
        self.notices = notices

    def done(self, key: Key) -> str | None:
        """Return the line of a rollout that needs nothing more."""
        return self._line(self._done.get(key))

    def generated(self, key: Key) -> str | None:
        """Return the line of a rollout that has only to be scored."""
        return self._line(self._generated.get(key))

    def is_done(self, key: Key) -> bool:
        """Whether a rollout needs nothing more."""
        return key in self._done

    @property
    def num_done(self) -> int:
        """How many rollouts need nothing more."""
        return len(self._done)

    @property
    def num_generated(self) -> int:
        """How many have only to be scored."""
        return len(self._generated)

    def _line(self, place: tuple[int, int] | None) -> str | None:
        if place is None or self._file is None:
            return None
        offset, length = place
        return os.pread(self._file.fileno(), length, offset).decode()

    def close(self) -> None:
        """Close the file; again does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None


def take_over(folder: Path, wanted: Wanted) -> StoredRows:
    """Merge what a run left behind into results.jsonl and return what there is.

    Rows of other programs become rows of this package. Of a group that is scored together and is
    not whole, scored rows become `generated` again: they are scored with the others. Where a row
    lacks what that needs, it goes, and its rollout is redone. What results.jsonl loses that way,
    or because it was no row of the eval, stays beside it in `results.jsonl.bak`.

    No process may be appending.

    Raises:
        OSError: a file cannot be read or written; nothing was lost.
    """
    results, paths = folder / RESULTS_FILE, results_files(folder)
    if not paths:
        return StoredRows(results, {}, {}, ())
    places: dict[str, dict[Key, tuple[int, int]]] = {}
    changes = _Changes()
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        broken_up = _broken_up(files, wanted) if wanted.scores_groups else frozenset()
        earlier = _generated_lines(files, broken_up) if broken_up else {}
        merged = stack.enter_context(replacing(results))
        offset = 0
        for row, line in last_lines(files, changes.lines.append):
            key: Key = (row["example_id"], row["rollout"])
            kept, state = _kept(row, line, wanted, changes), row["state"]
            if kept is not None and state == "scored" and key[0] in broken_up:
                state, kept = "generated", earlier.get(key) or _unscored(row, changes)
            if kept is None:
                continue
            merged.write(kept)
            places.setdefault(state, {})[key] = (offset, len(kept))
            offset += len(kept)
        if changes.dropped or changes.foreign or changes.lines:
            _keep_copy(results)
    for path in paths:
        if path != results:
            path.unlink()
    done = {key: place for state in wanted.done for key, place in places.get(state, {}).items()}
    return StoredRows(results, done, places.get("generated", {}), list(_notices(changes, folder)))


def _kept(row: Row, line: bytes, wanted: Wanted, changes: _Changes) -> bytes | None:
    key = (row["example_id"], row["rollout"])
    if not 0 <= key[1] < wanted.rollouts_per_example:
        changes.dropped += 1
        return None
    if wanted.planned is not None and key not in wanted.planned:
        changes.dropped += 1
        return None
    if row["state"] == "scored" and not is_finite(row.get("reward")):
        changes.lines.append(f"rollout {key[0]}-r{key[1]} is scored without a reward")
        return None
    if OWN.match(line) is not None:
        return line
    changes.foreign += 1
    return own_line(row).encode()


def _unscored(row: Row, changes: _Changes) -> bytes | None:
    line = generated_again(row)
    changes.dropped += line is None
    return None if line is None else line.encode()


def _broken_up(files: Sequence[BinaryIO], wanted: Wanted) -> frozenset[int | str]:
    """Return the examples that have a scored row, and not one for every rollout."""
    scored: Counter[int | str] = Counter()
    done: Counter[int | str] = Counter()
    for row, _ in last_lines(files):
        if 0 <= row["rollout"] < wanted.rollouts_per_example:
            scored[row["example_id"]] += row["state"] == "scored"
            done[row["example_id"]] += row["state"] in wanted.done
    whole = wanted.rollouts_per_example
    return frozenset(example for example in scored if scored[example] and done[example] < whole)


def _generated_lines(
    files: Sequence[BinaryIO], examples: Collection[int | str]
) -> dict[Key, bytes]:
    """Return the last line of these examples' rollouts that was written before scoring."""
    lines: dict[Key, bytes] = {}
    for file in files:
        file.seek(0)
        for line in file:
            begins = OWN.match(line)
            if begins is None or _GENERATED not in line or not line.endswith(b"\n"):
                continue
            key: Key = (int(begins[1]), int(begins[2]))
            if key[0] in examples:
                lines[key] = line
    return lines


def _keep_copy(results: Path) -> None:
    if not results.exists():
        return
    number, copy = 1, results.with_name(f"{results.name}.bak")
    while copy.exists():
        number += 1
        copy = results.with_name(f"{results.name}.bak{number}")
    shutil.copy2(results, copy)


def _notices(changes: _Changes, folder: Path) -> Iterator[str]:
    yield from changes.lines[:3]
    if len(changes.lines) > 3:
        yield f"and {len(changes.lines) - 3} more lines of {folder.name} that are no rows"
    if changes.dropped:
        yield f"{changes.dropped} rows are not of this eval, or of groups that must be redone"
    if changes.foreign:
        yield f"{changes.foreign} rows of another program were taken over"
