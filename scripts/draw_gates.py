"""Draw docs/images/false-reds.svg: how often gates are red for a model exactly at the limit.

    python scripts/draw_gates.py

The chances are exact, for rewards of 0 and 1, one rollout per example and a limit of 0.80; a chance
over the numbers of examples n - 4 .. n + 4 is averaged, as it jumps with what 0.80 n rounds to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pytest_evals.stats.power import evidence_red, point_red

IMAGE = Path(__file__).resolve().parents[1] / "docs" / "images" / "false-reds.svg"
LIMIT = 0.8
LESS = 0.7
SIZES = range(10, 401, 5)
WIDTH, HEIGHT = 640, 300
LEFT, RIGHT, TOP, BOTTOM = 52, 190, 20, 44

CURVES: tuple[tuple[str, str, str, Callable[[int], float]], ...] = (
    ("point, at 0.80", "#c0392b", "", lambda n: point_red(n, LIMIT, LIMIT)),
    ("evidence, at 0.80", "#2471a3", "", lambda n: evidence_red(n, LIMIT, LIMIT)),
    ("point, at 0.70", "#c0392b", "5 4", lambda n: point_red(n, LIMIT, LESS)),
    ("evidence, at 0.70", "#2471a3", "5 4", lambda n: evidence_red(n, LIMIT, LESS)),
)


def main() -> None:
    """Write the picture."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        *_axes(),
    ]
    for place, (name, colour, dashes, chance) in enumerate(CURVES):
        smooth = [sum(chance(n + near) for near in range(-4, 5)) / 9 for n in SIZES]
        parts.append(_curve(smooth, colour, dashes))
        y = TOP + 20 + 22 * place
        x = WIDTH - RIGHT + 16
        parts.append(
            f'<line x1="{x}" y1="{y}" x2="{x + 26}" y2="{y}" stroke="{colour}" stroke-width="2"'
            f' stroke-dasharray="{dashes}"/><text x="{x + 34}" y="{y + 4}">{name}</text>'
        )
    IMAGE.parent.mkdir(exist_ok=True)
    IMAGE.write_text("\n".join([*parts, "</svg>", ""]), "utf-8")


def _axes() -> list[str]:
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = _y(share)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{share:.0%}</text>'
        )
    parts += [
        f'<text x="{_x(n):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n}</text>'
        for n in (10, 50, 100, 200, 300, 400)
    ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(
        f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">'
        "examples, one rollout each</text>"
    )
    return parts


def _curve(shares: Sequence[float], colour: str, dashes: str) -> str:
    points = " ".join(
        f"{_x(n):.1f},{_y(share):.1f}" for n, share in zip(SIZES, shares, strict=True)
    )
    return (
        f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"'
        f' stroke-dasharray="{dashes}"/>'
    )


def _x(n: int) -> float:
    return LEFT + (n - SIZES[0]) / (SIZES[-1] - SIZES[0]) * (WIDTH - LEFT - RIGHT)


def _y(share: float) -> float:
    return TOP + (1 - share) * (HEIGHT - TOP - BOTTOM)


if __name__ == "__main__":
    main()
