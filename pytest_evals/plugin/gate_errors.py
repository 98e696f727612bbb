"""Gate errors: what is wrong with a gate of an eval, and where that stands."""

from __future__ import annotations

from ..config.spec import EvalSpec
from ..errors import SetupError


def refused(spec: EvalSpec, number: int, problem: str) -> SetupError:
    """Return the error of a gate that cannot be judged, to be raised before anything is asked.

    Args:
        spec: of the eval.
        number: of the gate, from 0.
        problem: what is wrong, and what to do.
    """
    origin = spec.origins.get(f"gates.{number}", "")
    where = f"{origin}: " if ".gates.toml" in origin else ""
    text = f"{where}gate {spec.gates[number].text!r}: {problem}"
    return SetupError(text).of_keys(f"gates.{number}", "gates")
