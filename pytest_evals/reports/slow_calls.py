"""Slow calls: code of environments that kept the event loop from everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

_MOST_NAMED: Final = 5
_ADVICE: Final = (
    "while it runs, no reply to another rollout is read: make it async, or run the work in a"
    " thread, `await asyncio.to_thread(...)`"
)


class SlowCalls:
    """What the rollouts of one eval showed of its reward functions, hooks and tools."""

    def __init__(self) -> None:
        self._longest: dict[str, float] = {}
        self._rollouts: dict[str, int] = {}

    def note(self, blocked: Mapping[str, float]) -> None:
        """Take what blocked the loop in one rollout, with the seconds of each."""
        for name, seconds in blocked.items():
            self._longest[name] = max(seconds, self._longest.get(name, 0.0))
            self._rollouts[name] = self._rollouts.get(name, 0) + 1

    def lines(self, eval_name: str) -> Iterator[str]:
        """Yield a line for each, the slowest first, and the advice; nothing if none."""
        if not self._longest:
            return
        slowest = sorted(self._longest, key=lambda name: -self._longest[name])
        for name in slowest[:_MOST_NAMED]:
            count = self._rollouts[name]
            yield (
                f"slow: {eval_name}: {name} blocked the event loop for up to"
                f" {self._longest[name] * 1000:.0f} ms, in {count}"
                f" {'rollout' if count == 1 else 'rollouts'}"
            )
        if len(slowest) > _MOST_NAMED:
            yield f"slow: {eval_name}: {len(slowest) - _MOST_NAMED} more"
        yield f"  {_ADVICE}"
