"""Compare vf-eval of verifiers 0.3.1 with pytest, on one config; a part of compare_verifiers.py.

`compare_envs/vf_eval.toml` goes through vf-eval, through pytest in an interpreter without verifiers
(native) and through pytest in the one with it (package), against one server. Compared are what they
ask the model, the rows they write and the metadata of each run, but for what `ROW_KEYS`,
`METADATA_KEYS` and `SAME_THINGS` name.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from pytest_evals.demo import server
from pytest_evals.demo.chat_completions import chat_completion

CONFIG = "vf_eval.toml"
ROUTE = "/v1/chat/completions"
SHOWN_DIFFERENCES = 3  # rows of each eval
COMPARED_HEADERS = ("authorization", "x-purpose", "x-example")

# What is not compared of a row, and why.
ROW_KEYS = {
    "timing": "times",
    "trajectory_id": "an id",
    "rollout": "our key: which attempt it is",
    "state": "our key: scored, unmeasured or broken",
    "prediction": "our key: what the parser found",
    "attempts": "our key: the requests it took",
    "served_model": "our key: the model that the server names",
    "tool_runs": "our key: tools that were run",
    "task": "our key in an EnvGroup: the member's name, as in releases before 0.1.14",
    "correct": "our key: reward >= pass_threshold; vf-eval repeats a metric of this name there, "
    "which here is under `metrics` only",
}
# What is not compared of metadata.json, and why.
METADATA_KEYS = {
    "time": "times",
    "version_info": "the versions of different packages",
    "name": "here always, there if the config has it: compared then",
    **dict.fromkeys(
        ("complete", "partial", "planned", "states", "stopped_by", "not_started"),
        "our keys: how far the run got",
    ),
    **dict.fromkeys(
        ("unselected", "over", "red_otherwise", "started"), "our keys: judging a run again"
    ),
    **dict.fromkeys(("verdict", "gated", "gates", "standard_error"), "our keys: gates"),
    **dict.fromkeys(("fingerprint", "session", "writer"), "our keys: resuming"),
    **dict.fromkeys(
        ("cached_answers", "cost", "extra_env_kwargs", "paid", "reward_errors", "served_models"),
        "our keys: how it was measured",
    ),
}
# What is written or sent in two ways, and taken for one.
SAME_THINGS = (
    "sampling_args: `max_tokens` that is not given is null there and left out here",
    "averages: to 9 digits, as sums in another order differ in the last one",
    "messages: fields that are null there are left out here, in requests and rows",
    "requests: X-Session-ID is the trajectory_id there, the example_id here",
)

Row: TypeAlias = dict[str, Any]
# What tells the runs of the config apart: env_id, env_args, temperature.
Point: TypeAlias = tuple[str, str, float | None]


@dataclass(slots=True)
class Side:
    """What one of the commands did.

    Attributes:
        runs: the metadata and the rows of each run.
        requests: how often each was sent.
    """

    runs: dict[Point, tuple[Row, list[Row]]]
    requests: Counter[str]


class Attempts:
    """Answers each further request with the same body as another attempt.

    Neither side sends a seed of its own with each rollout, so that all rollouts of an example would
    have one answer. Attempts go to whoever asks first: rows are compared as a set, not in order.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()

    def __call__(self, body: dict[str, Any], number: int) -> dict[str, Any]:
        """Answer a request."""
        same = json.dumps(body, sort_keys=True)
        seed = (body.get("seed") or 0) + 1000 * self.asked[same]
        self.asked[same] += 1
        return chat_completion({**body, "seed": seed}, number)


def compare_vf_eval(with_: str, without: str, work: Path) -> int:
    """Run the config in each way, print a table and the first differences.

    Args:
        with_: an interpreter that has verifiers, with vf-eval beside it.
        without: one that has pytest_evals alone.
        work: a folder with the environments and the config.

    Returns:
        How many rows, metadata and requests differ.
    """
    config = str(work / CONFIG)
    pytest = ["-m", "pytest", config, "-q", "-p", "no:cacheprovider"]
    commands = {
        "vf-eval": [str(Path(with_).parent / "vf-eval"), config, "-d", "-s"],
        "native": [without, *pytest, "--evals-verifiers=native"],
        "package": [with_, *pytest, "--evals-verifiers=package"],
    }
    sides: dict[str, Side] = {}
    honest = server.ANSWERS[ROUTE]
    with server.DemoServer() as demo:
        write_endpoints(work / "endpoints.toml", demo.url)
        for label, command in commands.items():
            server.ANSWERS[ROUTE] = Attempts()
            before = len(demo.bodies)
            run(label, command, work, demo.url)
            sent = zip(demo.bodies[before:], demo.headers[before:], strict=True)
            requests = Counter(request_of(body, headers) for body, headers in sent)
            sides[label] = Side(dict(runs_in(work / label)), requests)
    server.ANSWERS[ROUTE] = honest
    there = sides.pop("vf-eval")
    total = report_runs(there, sides) + report_requests(there, sides)
    report_exclusions()
    return total


def write_endpoints(path: Path, url: str) -> None:
    lines = []
    for name, model, address in (
        ("demo", "demo-small", url),
        ("large", "demo-large", url),
        ("replicas", "demo-small", url),
        ("replicas", "demo-small", url.replace("127.0.0.1", "localhost")),
    ):
        lines += ["[[endpoint]]", f'endpoint_id = "{name}"', f'model = "{model}"']
        lines += [f'url = "{address}"', 'key = "COMPARE_KEY"']
    path.write_text("\n".join(lines))


def run(label: str, command: list[str], work: Path, url: str) -> None:
    """Run a command in a folder of its own."""
    folder = work / label
    folder.mkdir()
    environ = {**os.environ, "COMPARE_KEY": "demo", "COMPARE_JUDGE_URL": url}
    if label == "vf-eval":  # it does not look for environments beside the config
        paths = [str(work), os.environ.get("PYTHONPATH", "")]
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True)
    output = done.stdout + done.stderr
    (work / f"{label}.log").write_text(output)
    if done.returncode:
        print(f"{label}: it exited with {done.returncode}:\n{output[-3000:]}")


def runs_in(folder: Path) -> Iterator[tuple[Point, tuple[Row, list[Row]]]]:
    """Yield the runs below a folder, in the form in which they are compared."""
    for path in folder.glob("outputs/evals/*/*/metadata.json"):
        metadata = json.loads(path.read_text())
        metadata["sampling_args"] = without_nulls(metadata["sampling_args"])
        rows = []
        for line in (path.parent / "results.jsonl").read_text().splitlines():
            row = json.loads(line)
            for key in ("prompt", "completion"):
                row[key] = [without_nulls(message) for message in row[key]]
            rows.append(row)
        arguments = json.dumps(metadata["env_args"], sort_keys=True)
        temperature = metadata["sampling_args"].get("temperature")
        yield (metadata["env_id"], arguments, temperature), (metadata, rows)


def request_of(body: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Return what is compared of a request."""
    messages = [without_nulls(message) for message in body["messages"]]
    chosen = [headers.get(name) for name in COMPARED_HEADERS]
    return json.dumps([{**body, "messages": messages}, chosen], sort_keys=True)


def without_nulls(fields: Mapping[str, Any]) -> Row:
    return {name: value for name, value in fields.items() if value is not None}


def report_runs(there: Side, sides: Mapping[str, Side]) -> int:
    """Print a table of the evals and the first differences; return how many there are."""
    print(f"| eval | rows | {' | '.join(f'rows that differ, {label}' for label in sides)} |")
    print("|---|---|" + "---|" * len(sides))
    total = 0 if there.runs else 1
    details: list[str] = []
    points = {point for side in (there, *sides.values()) for point in side.runs}
    for name, point in sorted((name_of(point), point) for point in points):
        metadata, rows = there.runs.get(point, ({}, []))
        cells = [name, str(len(rows))]
        for label, side in sides.items():
            metadata_here, rows_here = side.runs.get(point, ({}, []))
            differing = list(differing_rows(rows, rows_here))
            skipped = METADATA_KEYS.keys() - ({"name"} & metadata.keys())
            facts = differences(metadata, metadata_here, skipped)
            total += len(differing) + bool(facts)
            cells.append(f"{len(differing)}{', and metadata' if facts else ''}")
            shown = [*differing[:SHOWN_DIFFERENCES], *(f"metadata, {fact}" for fact in facts)]
            details += [f"{name}, {label}: {text}" for text in shown]
        print(f"| {' | '.join(cells)} |")
    print(*("", *details), sep="\n")
    return total


def name_of(point: Point) -> str:
    env_id, arguments, temperature = point
    values = json.loads(arguments) | without_nulls({"temperature": temperature})
    return " ".join([env_id, *(f"{name}={json.dumps(value)}" for name, value in values.items())])


def differing_rows(there: list[Row], here: list[Row]) -> Iterator[str]:
    """Yield a text for each row without an equal one of its example on the other side.

    It says how the row differs from the one that is nearest to it.
    """
    for example in sorted({row["example_id"] for row in [*there, *here]}):
        others = [row for row in there if row["example_id"] == example]
        left = []
        for row in (row for row in here if row["example_id"] == example):
            equal = (n for n, one in enumerate(others) if not differences(one, row, ROW_KEYS))
            place = next(equal, None)
            if place is None:
                left.append(row)
            else:
                del others[place]
        for row in left:
            if not others:
                yield f"example {example}: a row only here"
                continue
            found = [differences(one, row, ROW_KEYS) for one in others]
            place = min(range(len(found)), key=lambda n: len(found[n]))
            del others[place]
            yield f"example {example}: " + "; ".join(found[place])
        yield from (f"example {example}: a row only there" for _ in others)


def differences(
    there: Mapping[str, Any], here: Mapping[str, Any], skipped: Collection[str]
) -> list[str]:
    """Return a text for each key whose value is not the same."""
    return [
        f"{key}: there {there.get(key, 'nothing')!r}, here {here.get(key, 'nothing')!r}"
        for key in sorted({*there, *here}.difference(skipped))
        if key not in there or key not in here or rounded(there[key]) != rounded(here[key])
    ]


def rounded(value: Any) -> Any:
    """Return a value of JSON with its numbers rounded, and truth values unlike any number."""
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, bool):
        return str(value)
    return round(value, 9) if isinstance(value, float) else value


def report_requests(there: Side, sides: Mapping[str, Side]) -> int:
    """Print how many requests differ, and the first; return how many."""
    total = 0
    for label, side in sides.items():
        only_there = list((there.requests - side.requests).elements())
        only_here = list((side.requests - there.requests).elements())
        total += len(only_there) + len(only_here)
        counts = f"{there.requests.total()} there, {side.requests.total()} here"
        print(f"requests, {label}: {counts}, {len(only_there)} and {len(only_here)} differ")
        for where, requests in (("there", only_there), ("here", only_here)):
            for request in sorted(requests)[:2]:
                print(f"only {where}: {request}")
    return total


def report_exclusions() -> None:
    print("\nNot compared, or taken for the same:\n")
    for label, keys in (("row", ROW_KEYS), ("metadata", METADATA_KEYS)):
        for reason in dict.fromkeys(keys.values()):
            names = ", ".join(f"`{name}`" for name, why in keys.items() if why == reason)
            print(f"- {label}, {names}: {reason}")
    print(*(f"- {text}" for text in SAME_THINGS), sep="\n")
