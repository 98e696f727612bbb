"""Verdicts on their way from the controller, which judges, to the workers that run gate items."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ...gates.grammar import Gate
from ...gates.verdict import Slice, Verdict


def encode_verdict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict without its gate, of exactly the types that can be sent."""
    values = {
        field.name: getattr(verdict, field.name)
        for field in dataclasses.fields(verdict)
        if field.name != "gate"
    }
    values["slices"] = [[_plain(value) for value in each] for each in verdict.slices]
    return {name: _plain(value) for name, value in values.items()}


def decode_verdict(values: Mapping[str, Any], gate: Gate) -> Verdict:
    """Return the verdict on a gate that `encode_verdict` took apart."""
    slices = tuple(Slice(*each) for each in values["slices"])
    return Verdict(gate=gate, **{**values, "slices": slices})


def _plain(value: Any) -> Any:
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value
