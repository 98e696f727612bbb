"""Draw docs/images/live-view.svg: a session in tmux, with the live view, as a picture.

    python scripts/picture_live_view.py

Needs tmux. Evals of example_envs run against the demo server of the package.
"""

from __future__ import annotations

import io
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from pytest_evals.demo.server import DemoServer

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "images" / "live-view.svg"
COLUMNS, ROWS = 100, 26
ENVIRONMENTS = ("arithmetic", "wordle", "calculator", "reverse_text", "best_of", "ledger")
EVALS = """
model = "demo-small"
api_base_url = "{url}"
rollout_seed = 7
num_examples = 20
rollouts_per_example = 2
"""
EVAL = """
[[eval]]
env_id = "{name}"
gates = ["reward >= 0.5"]
"""
# As rich has it, without a font from elsewhere.
FORM = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{
  font-family: monospace; font-size: {char_height}px; line-height: {line_height}px;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def tmux(*args: str) -> str:
    """Run a command of a tmux server of our own and return what it prints."""
    command = ["tmux", "-L", f"pytest-evals-{os.getpid()}", "-f", os.devnull, *args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def screen_of_a_session(folder: Path, url: str) -> str:
    """Return a screen of a session half way, with colours."""
    names = [name for name in ENVIRONMENTS if (ROOT / "example_envs" / name).is_dir()]
    blocks = "".join(EVAL.format(name=name.replace("_", "-")) for name in names)
    (folder / "bench.evals.toml").write_text(EVALS.format(url=url) + blocks)
    pytest = [
        *(sys.executable, "-m", "pytest", "bench.evals.toml", "--no-header", "--color=yes"),
        *("--evals-max-concurrent=8", f"--evals-env-dir-path={ROOT / 'example_envs'}"),
        *("-p", "no:cacheprovider", "-p", "no:asyncio", "-p", "no:randomly", "--rootdir=."),
    ]
    variables = [f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}", "LANG=C.UTF-8"]
    command = shlex.join(["env", "-u", "CI", "-u", "BUILD_NUMBER", *variables, *pytest])
    size = ["-x", str(COLUMNS), "-y", str(ROWS)]
    tmux("new-session", "-d", *size, "-c", str(folder), command)
    try:
        deadline = time.monotonic() + 60
        while "calculator " not in tmux("capture-pane", "-p") or _done() < 70:
            if time.monotonic() > deadline:
                raise SystemExit(f"the view did not come:\n{tmux('capture-pane', '-p')}")
            time.sleep(0.2)
        return tmux("capture-pane", "-e", "-p")
    finally:
        tmux("kill-server")


def _done() -> int:
    """Return how many rollouts the view says are done."""
    lines = [
        line for line in tmux("capture-pane", "-p").splitlines() if "/" in line and " done," in line
    ]
    return int(lines[-1].split()[1].partition("/")[0]) if lines else 0


def main() -> None:
    """Draw the picture."""
    with tempfile.TemporaryDirectory() as folder, DemoServer(latency=0.3) as server:
        shown = screen_of_a_session(Path(folder), server.url)
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(shown.rstrip("\n")), soft_wrap=True)
    svg = console.export_svg(
        title="pytest bench.evals.toml", theme=MONOKAI, code_format=FORM, unique_id="live-view"
    )
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(svg)
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main()
