"""Screen: what a terminal shows of the codes that were written to it."""

from __future__ import annotations

import re

_CODES = re.compile(r"\x1b(\[[?\d;]*[A-Za-z]|[78DM])|([\r\n\b])|([^\x1b\r\n\b]+)")


class Screen:
    """As much of a terminal as pytest and what is drawn use, and none of the forgiving kind.

    A letter in the last column leaves the cursor there, and the next letter goes to the next line.
    Whatever moves the cursor meanwhile makes the terminal forget that: then the next letter takes
    the place of the last one.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self._cells: list[list[str]] = [[]]
        self._top = self._row = self._column = 0
        self._is_waiting = False
        self._saved = (0, 0)

    def lines(self) -> list[str]:
        """Return all lines, those that have left the screen as well."""
        return ["".join(cells).rstrip() for cells in self._cells]

    def feed(self, text: str) -> None:
        """Take what is written."""
        for code, control, letters in _CODES.findall(text):
            for letter in letters:
                self._put(letter)
            if control == "\n" or code == "D":
                self._go(self._row + 1, self._column, scrolls=True)
            elif control == "\r":
                self._go(self._row, 0)
            elif control == "\b":
                self._go(self._row, max(self._column - 1, 0))
            elif code == "7":
                self._saved = (self._row - self._top, self._column)
            elif code == "8":
                self._go(self._top + self._saved[0], self._saved[1])
            elif re.fullmatch(r"\[\d*[AB]", code):
                count = int(code[1:-1] or 1)
                self._go(self._row + (count if code.endswith("B") else -count), self._column)
            elif code == "[2K":
                self._cells[self._row] = []
            elif code == "[J":
                del self._cells[self._row][self._column :]
                del self._cells[self._row + 1 :]
            else:
                assert not code or code.endswith("m"), f"unknown code {code!r}"

    def _put(self, letter: str) -> None:
        if self._is_waiting:
            self._go(self._row + 1, 0, scrolls=True)
        cells = self._cells[self._row]
        cells += " " * (self._column + 1 - len(cells))
        cells[self._column] = letter
        self._is_waiting = self._column == self._columns - 1
        self._column += not self._is_waiting

    def _go(self, row: int, column: int, *, scrolls: bool = False) -> None:
        bottom = self._top + self._rows - 1
        if scrolls and row > bottom:
            self._top += 1
        else:
            row = min(max(row, self._top), bottom)
        while len(self._cells) <= row:
            self._cells.append([])
        self._row, self._column, self._is_waiting = row, column, False
