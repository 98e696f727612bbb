"""Panel: the lines of the live view, drawn with rich."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from ..visible import visible
from .standing import EvalStanding

# Of the details: heading, progress, figures, one line of the log.
_LEAST_DETAILS = 4
_MOST_LOG_LINES = 6
_BAR = 20
_STYLES = {"passed": "green", "FAILED": "red", "inconclusive": "yellow", "not judged": "yellow"}


class _Sheet(io.StringIO):
    """Takes what rich writes, for a terminal of some encoding."""

    def __init__(self, encoding: str) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """By which rich decides what it can draw."""
        return self._encoding


class Panel:
    """Draws the evals of a session for a terminal.

    Args:
        standings: of the evals, in order.
        has_colour: whether the terminal wants colours and the like.
        encoding: of the terminal.
    """

    def __init__(
        self, standings: Sequence[EvalStanding], *, has_colour: bool, encoding: str
    ) -> None:
        self._standings = standings
        self._console = Console(
            file=_Sheet(encoding),
            force_terminal=True,
            color_system="standard" if has_colour else None,
            no_color=not has_colour,
            legacy_windows=False,
            highlight=False,
            markup=False,
            emoji=False,
            _environ={},
        )

    def lines(
        self, status: str, selected: int, *, columns: int, rows: int, room: int, fills: bool
    ) -> list[str]:
        """Return the lines to draw, each narrower than the terminal.

        Args:
            status: the line about all evals.
            selected: the eval that is shown in detail.
            columns, rows: of the whole terminal.
            room: rows that there are for the view.
            fills: use all of them.
        """
        width = max(1, columns - 1)
        if room < _LEAST_DETAILS + 1 or width < 20:
            return self._drawn([_line(status)], width)[:1]
        parts: list[RenderableType] = [_line(status, "bold")]
        room -= 1
        if len(self._standings) > 1:
            # Half of the screen, and never so much that nothing is left for the details.
            most = min(rows // 2 - 1, room - _LEAST_DETAILS)
            shown = min(len(self._standings), most)
            if shown > 0:
                parts.append(self._overview(selected, shown, width))
                room -= shown
        log_lines = room - 3 if fills else min(room - 3, _MOST_LOG_LINES)
        parts.extend(self._details(selected, max(0, log_lines), width))
        return self._drawn(parts, width)

    def _overview(self, selected: int, shown: int, width: int) -> Table:
        """Return a line for each eval around the selected one."""
        count = len(self._standings)
        first = min(max(0, selected - shown // 2), count - shown)
        table = Table.grid(padding=(0, 1), expand=False)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=None)
        wide = width >= 60
        name_width = max(8, width - (58 if wide else 22))
        table.columns[0].max_width = name_width
        for justify in ("left", "right", "right", "right", "left") if wide else ("right", "right"):
            table.add_column(no_wrap=True, overflow="crop", justify=justify)
        for index in range(first, first + shown):
            table.add_row(*self._cells(index, index == selected, wide), style=None)
        return table

    def _cells(self, index: int, is_selected: bool, wide: bool) -> Iterator[RenderableType]:
        standing = self._standings[index]
        style = "reverse" if is_selected else ""
        mark = ">" if is_selected else " "
        yield Text(f"{mark} {visible(standing.run.heading)}", style=style)
        progress = f"{standing.done}/{standing.planned}"
        reward = standing.mean_reward
        shown = "-" if reward is None else f"{reward:.3f}"
        if not wide:
            yield Text(progress)
            yield Text(shown)
            return
        yield ProgressBar(max(1, standing.planned), standing.done, width=12)
        yield Text(progress)
        yield Text(shown)
        noun = "error" if standing.errors == 1 else "errors"
        yield Text(f"{standing.errors} {noun}", style=_error_style(standing))
        yield Text(standing.state, style=_STYLES.get(standing.state, ""))

    def _details(self, selected: int, log_lines: int, width: int) -> Iterator[RenderableType]:
        standing = self._standings[selected]
        run = standing.run
        count = len(self._standings)
        where = f"  (left, right: {selected + 1} of {count})" if count > 1 else ""
        title = Text(f"{visible(run.heading)}  {visible(run.facts.model)}{where}", "bold")
        title.truncate(max(4, width - 8), overflow="ellipsis")
        yield Rule(title, align="left", style="dim")
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(max(1, standing.planned), standing.done, width=min(_BAR, width // 3)),
            Text(f"{standing.done}/{standing.planned}", no_wrap=True),
            Text(f"{_tokens(standing)}", style=_error_style(standing), no_wrap=True),
            Text(standing.state, style=_STYLES.get(standing.state, ""), no_wrap=True),
        )
        yield bar
        reward = standing.mean_reward
        figures = {} if reward is None else {"reward": reward}
        figures |= standing.metrics
        text = ", ".join(f"{visible(name)} {value:.3f}" for name, value in figures.items())
        yield _line(text or "no rollout has been scored yet")
        for line in standing.log_tail(log_lines):
            yield _line("  " + visible(line).expandtabs(4).replace("\n", " "), "dim")

    def _drawn(self, parts: Sequence[RenderableType], width: int) -> list[str]:
        self._console.width = width
        with self._console.capture() as capture:
            self._console.print(Group(*parts), no_wrap=True, overflow="ellipsis", crop=True)
        return capture.get().rstrip("\n").split("\n")


def _line(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis", end="\n")


def _tokens(standing: EvalStanding) -> str:
    parts = [f"{standing.errors} {'error' if standing.errors == 1 else 'errors'}"]
    if standing.input_tokens or standing.output_tokens:
        parts.append(f"{standing.input_tokens:,}/{standing.output_tokens:,} tokens")
    return ", ".join(parts)


def _error_style(standing: EvalStanding) -> str:
    if not standing.errors:
        return ""
    return "red" if standing.errors > 0.1 * standing.done else "yellow"
