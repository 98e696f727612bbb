"""`python -m pytest_evals.demo`: run the demo server until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from typing import NoReturn


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pytest_evals.demo",
        description="Serve a deterministic, imperfect model on 127.0.0.1 as OpenAI and others do.",
    )
    add = parser.add_argument
    add("--port", type=int, default=8000, help="0 picks a free one (default: %(default)s)")
    add("--latency", type=float, default=0.0, metavar="S", help="seconds of every request")
    add("--straggler", type=float, default=0.0, metavar="S", help="seconds of the first request")
    add("--key", help="refuse every other bearer token with 401")
    add("--status", type=int, help="answer every request with this status")
    add("--fault-rate", type=float, default=0.0, metavar="P", help="share of faulty requests")
    add(
        "--fault-kinds",
        default="",
        metavar="KINDS",
        help="of 429,500,reset,hang,truncated,html (any status from 400 on)",
    )
    add("--fault-seed", type=int, default=0, metavar="N", help="which requests are faulty")
    add("--retry-after", type=float, metavar="S", help="the Retry-After of 429 and 5xx")
    add("--capacity", type=int, metavar="N", help="answer 429 beyond N requests in flight")
    return parser


async def _serve(options: argparse.Namespace) -> None:
    from .faults import Faults
    from .server import HOST, DemoApp, serving

    faults = Faults(
        latency=options.latency,
        straggler=options.straggler,
        key=options.key,
        status=options.status,
        rate=options.fault_rate,
        kinds=tuple(kind for kind in options.fault_kinds.split(",") if kind),
        seed=options.fault_seed,
        retry_after=options.retry_after,
        capacity=options.capacity,
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    async with serving(DemoApp(faults), options.port) as port:
        print(f"http://{HOST}:{port}/v1", flush=True)
        await stopping.wait()


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(0)


def main() -> int:
    """Run the server; returns the exit code."""
    # Importing the server takes a moment in which a signal must also end quietly.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _leave)
    parser = _parser()
    options = parser.parse_args()
    try:
        asyncio.run(_serve(options))
    except ValueError as error:
        parser.error(str(error))
    except (OSError, OverflowError) as error:
        print(f"cannot listen on port {options.port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
