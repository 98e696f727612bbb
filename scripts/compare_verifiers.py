"""Compare verifiers with the two ways to run what is written for it: environments, and a config.

Every environment in compare_envs/ is run against the demo model, which answers the same messages
and seed alike:

    native       by pytest_evals, in an interpreter without verifiers
    package      by pytest_evals driving verifiers, in an interpreter that has it
    verifiers    by `env.evaluate()` of verifiers in the latter

Rewards, metrics, stop conditions and messages are compared rollout by rollout. Then one config goes
through `vf-eval` and through pytest: see compare_vf_eval.py. Make the two interpreters with

    python -m venv without && without/bin/pip install . datasets openai
    python -m venv with && with/bin/pip install . 'verifiers==0.3.1'

and run, from the root of the repository,

    without/bin/python scripts/compare_verifiers.py --with with/bin/python

It prints Markdown tables (those of docs/verifiers.md), in the first of which "the same" means the
same as natively, and the first differences. It exits with 1 when there are any.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from compare_vf_eval import compare_vf_eval

from pytest_evals.demo.server import DemoServer

HERE = Path(__file__).resolve().parent
ENVIRONMENTS = HERE / "compare_envs"
MODEL = "demo-small"
ROLLOUT_SEED = 7
SHOWN_DIFFERENCES = 5

# (example id, rollout number) -> what is compared of it.
Rollouts: TypeAlias = dict[tuple[int, int], dict[str, Any]]


def main() -> int:
    options = read_options()
    versions = [version_in(options.without), version_in(options.with_)]
    if versions[0] is not None or versions[1] is None:
        print(
            "--without has verifiers", versions[0], "and --with has", versions[1], file=sys.stderr
        )
        return 2
    work = Path(tempfile.mkdtemp(prefix="compare-"))
    differences = 0
    if options.only != "config":
        print(f"verifiers {versions[1]}, {options.rollouts} rollouts of each example\n")
        folder = shutil.copytree(ENVIRONMENTS, work / "environments")
        differences += compare_environments(options, folder)
    if options.only != "environments":
        print(f"\nvf-eval of verifiers {versions[1]}, and pytest\n")
        folder = shutil.copytree(ENVIRONMENTS, work / "config")
        differences += compare_vf_eval(options.with_, options.without, folder)
    if differences:
        print(f"\nrows and logs: {work}")
        return 1
    print("\nno differences")
    shutil.rmtree(work)
    return 0


def compare_environments(options: argparse.Namespace, work: Path) -> int:
    """Run every environment in three ways; return how many rollouts differ."""
    names = sorted(path.stem for path in ENVIRONMENTS.glob("*.py"))
    with DemoServer() as server:
        write_evals(work / "compare.toml", names, server.url, options.rollouts)
        environ = {**os.environ, "COMPARE_JUDGE_URL": server.url}
        native = run_pytest(options.without, "native", work, environ)
        package = run_pytest(options.with_, "package", work, environ)
        original = run_verifiers(options.with_, names, work, environ, server.url, options.rollouts)
    return report(names, native, package, original)


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--with", dest="with_", required=True, metavar="PYTHON", help="has verifiers 0.3.1"
    )
    parser.add_argument(
        "--without", default=sys.executable, metavar="PYTHON", help="has none (default: this one)"
    )
    parser.add_argument("--rollouts", type=int, default=12, help="of each example (default: 12)")
    parser.add_argument("--only", choices=("environments", "config"), help="one of the two")
    return parser.parse_args()


def version_in(python: str) -> str | None:
    """Return the version of verifiers that an interpreter has, or None."""
    code = "from pytest_evals.adapters.choice import installed_version as v; print(v() or '')"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip() or None


def write_evals(path: Path, names: list[str], url: str, rollouts: int) -> None:
    lines = [
        f'model = "{MODEL}"',
        f'api_base_url = "{url}"',
        f"rollout_seed = {ROLLOUT_SEED}",
        f"rollouts_per_example = {rollouts}",
        "num_examples = -1",
    ]
    for name in names:
        lines += ["[[eval]]", f'env_id = "{name}"']
    path.write_text("\n".join(lines))


def run_pytest(
    python: str, mode: str, work: Path, environ: Mapping[str, str]
) -> dict[str, Rollouts]:
    """Run every environment with pytest_evals; return its rollouts by environment."""
    outputs = work / mode
    command = [python, "-m", "pytest", "compare.toml", "-q", "-p", "no:cacheprovider"]
    command += [f"--evals-verifiers={mode}", f"--evals-output-dir={outputs}"]
    done = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True)
    (work / f"{mode}.log").write_text(done.stdout + done.stderr)
    if done.returncode:
        print(f"{mode}: pytest exited with {done.returncode}:\n{done.stdout[-3000:]}")
    found: dict[str, Rollouts] = {}
    for path in outputs.glob("evals/*/*/results.jsonl"):
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        name = path.parent.parent.name.partition("--")[0]
        found[name] = {(row["example_id"], row["rollout"]): compared(row) for row in rows}
    return found


def run_verifiers(
    python: str,
    names: list[str],
    work: Path,
    environ: Mapping[str, str],
    url: str,
    rollouts: int,
) -> dict[str, Rollouts]:
    """Run every environment with verifiers' own evaluate(); return its rollouts."""
    out = work / "verifiers.json"
    command = [python, str(HERE / "evaluate_with_verifiers.py"), str(out), url, MODEL]
    command += [str(rollouts), str(ROLLOUT_SEED), *names]
    done = subprocess.run(command, cwd=work, env=environ, capture_output=True, text=True)
    (work / "verifiers.log").write_text(done.stdout + done.stderr)
    if done.returncode:
        print(f"verifiers: it exited with {done.returncode}:\n{done.stderr[-3000:]}")
        return {}
    return {
        name: {(row["example_id"], row["rollout"]): compared(row) for row in rows}
        for name, rows in json.loads(out.read_text()).items()
    }


def compared(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is compared of a row, without what is written in more than one way."""
    reward = row["reward"]
    return {
        "reward": None if reward is None else round(reward, 9),
        "metrics": {name: round(value, 9) for name, value in (row["metrics"] or {}).items()},
        "stop_condition": row["stop_condition"],
        "is_truncated": row["is_truncated"],
        "prompt": [message_of(message) for message in row["prompt"]],
        "completion": [message_of(message) for message in row["completion"] or ()],
    }


def message_of(message: Mapping[str, Any]) -> dict[str, Any]:
    fields = {name: value for name, value in message.items() if value}
    if "tool_calls" in fields:
        fields["tool_calls"] = [json.loads(call) for call in fields["tool_calls"]]
    return fields


def report(
    names: list[str],
    native: Mapping[str, Rollouts],
    package: Mapping[str, Rollouts],
    original: Mapping[str, Rollouts],
) -> int:
    """Print the table and the first differences; return how many rollouts differ."""
    print(
        "| environment | what it shows | rollouts | model calls | reward | package | evaluate() |"
    )
    print("|---|---|---|---|---|---|---|")
    total = 0
    details: list[str] = []
    for name in names:
        rows = native.get(name, {})
        rewards = [row["reward"] for row in rows.values() if row["reward"] is not None]
        calls = sum(
            message["role"] == "assistant" for row in rows.values() for message in row["completion"]
        )
        cells = [name, shows(name), str(len(rows)), str(calls)]
        cells.append(f"{statistics.fmean(rewards):.3f}" if rewards else "none")
        for label, others in (("package", package), ("verifiers", original)):
            differing = differences(rows, others.get(name, {}))
            total += len(differing)
            cells.append(f"{len(differing)} differ" if differing else "the same")
            details += [f"{name}, {label}: {text}" for text in differing[:SHOWN_DIFFERENCES]]
        print(f"| {' | '.join(cells)} |")
    for text in details:
        print(f"\n{text}")
    return total


def shows(name: str) -> str:
    """Return what an environment is there for: the head of its docstring."""
    source = (ENVIRONMENTS / f"{name}.py").read_text()
    head = (ast.get_docstring(ast.parse(source)) or "").partition(":")[0]
    return head[:1].lower() + head[1:]


def differences(rows: Rollouts, others: Rollouts) -> list[str]:
    """Return a text for each rollout that is not the same in both, or not there."""
    found = []
    for key in sorted({*rows, *others}):
        one, other = rows.get(key), others.get(key)
        if one is None or other is None:
            found.append(f"{key} is missing {'natively' if one is None else 'there'}")
        elif one != other:
            parts = [
                f"{field}: natively {one[field]!r}, there {other[field]!r}"
                for field in one
                if one[field] != other[field]
            ]
            found.append(f"{key}: " + "; ".join(parts))
    return found or ([] if rows else ["there are no rollouts"])


if __name__ == "__main__":
    sys.exit(main())
