"""AskedGates: the gates of an eval as they were written, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..gates.grammar import Gate, Written, impossible, parse_gates
from .blocks import Block
from .document import Mistake

DEFAULT_GATE = "added: the eval has no gate on error_rate"


@dataclass(frozen=True, slots=True)
class AskedGate:
    """A gate as written.

    Attributes:
        written: the gate, in its short form or its long one.
        origin: where it comes from: `bench.toml:4`, `--evals-gate`.
        prefix: what a message about it begins with.
        line: where it stands, if that is in a file.
        path: the file, if it is not the one that is read.
    """

    written: Written
    origin: str
    prefix: str
    line: int | None = None
    path: Path | None = None


def gates_of_file(block: Block, top_level: Block) -> list[AskedGate]:
    """Return the gates that the file asks of a block's eval: its own, else those at top level."""
    source = block if "gates" in block.table else top_level
    asked = []
    for index, written in enumerate(source.table.get("gates", ())):
        line = source.line("gates", index)
        origin = f"{source.document.path.name}:{line}"
        asked.append(AskedGate(written, origin, f"gates[{index}]: ", line))
    return asked


def gates_of_eval(
    asked: Sequence[AskedGate],
    name: str,
    values: Mapping[str, Any],
    block: Block,
    mistakes: list[Mistake],
) -> tuple[Gate, ...]:
    """Return the gates of an eval, the default one last; note those that could never pass."""
    gates = parse_gates([gate.written for gate in asked])
    for gate, origin in zip(gates, asked, strict=False):  # the default one has no origin
        why = impossible(
            gate,
            num_examples=values["num_examples"],
            rollouts_per_example=values["rollouts_per_example"],
        )
        if why is not None:
            message = f"eval {name!r}: {origin.prefix}{why}"
            mistakes.append(Mistake(origin.line or block.line(), message, origin.path))
    return gates
