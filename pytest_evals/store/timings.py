"""Timings: the column of a row that says when each part of a rollout was, in seconds."""

from __future__ import annotations

from typing import Any

from ..state import Span, Spans, Timing


def timing_columns(timing: Timing) -> dict[str, Any]:
    """Return the times of a rollout, as verifiers 0.3.1 lays them out."""
    setup, scoring = _span(timing.setup), _span(timing.scoring)
    model, env = _spans(timing.model), _spans(timing.env)
    total = overhead = 0.0
    if timing.scoring.end > 0.0:
        total = timing.scoring.end - timing.generation.start
        overhead = total - sum([part["duration"] for part in (setup, model, env, scoring)])
    return {
        "start_time": timing.start_time,
        "setup": setup,
        "generation": _span(timing.generation),
        "scoring": scoring,
        "model": model,
        "env": env,
        "total": total,
        "overhead": overhead,
    }


def _span(span: Span) -> dict[str, Any]:
    # `span.duration` without its two calls: each rollout has a dozen of these.
    start, end = span.start, span.end
    return {"start": start, "end": end, "duration": end - start if end > start else 0.0}


def _spans(spans: Spans) -> dict[str, Any]:
    rows = [_span(span) for span in spans.spans]
    return {"spans": rows, "duration": sum([row["duration"] for row in rows], 0.0)}
