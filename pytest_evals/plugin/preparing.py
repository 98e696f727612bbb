"""Preparing an eval: all it needs is found, loaded and checked before its first model call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..clients.factory import check_arguments, check_client_type
from ..config.spec import EvalSpec
from ..gates.grammar import doubtful
from ..store.fingerprint import digests
from ..store.rows import STANDARD_KEYS
from . import verbose
from .baselines import check_baselines
from .hub import check_hub
from .runs import Run
from .slicing import check_slices

if TYPE_CHECKING:
    from .session import EvalSession


def prepare(
    session: EvalSession, spec: EvalSpec, nodeid: str, hook: Any, siblings: list[EvalSpec]
) -> Run | None:
    """Make everything one eval needs before its first model call.

    Args:
        hook: the hooks in force where the eval's file lies.
        siblings: the evals of the same file, to name those that lack the same key.

    Returns:
        None when its endpoint's missing key, the cache or the prices were reported already.

    Raises:
        SetupError: the endpoint, the key, the cache, the prices or the environment cannot be
            used.
    """
    if not (session.cache.open() and session.prices.read()):
        return None
    check_hub(spec, [run.spec for run in session.runs])
    endpoint = session.endpoints.of(spec)
    session.prices.check(spec, endpoint, session.reader.budget)
    if not session.are_clients_brought():
        check_client_type(endpoint)
    check_arguments(endpoint, spec.sampling_args)
    if not session.cache.replays and not session.endpoints.read_key(endpoint, siblings):
        return None
    environment = session.environments.of(spec, hook)
    examples = environment.get_eval_dataset(n=spec.num_examples, seed=spec.order)
    warnings = session.environments.check(spec, environment, examples)
    warnings += [
        f"state column {name!r}: every row has a key of that name, which stays as it is"
        for name in spec.state_columns
        if name in STANDARD_KEYS
    ]
    warnings += [text for gate in spec.gates if (text := doubtful(gate))]
    run = Run(
        spec,
        endpoint,
        environment,
        examples,
        nodeid,
        session.secrets.mask,
        accepts_partial=bool(session.config.getoption("evals_partial")),
        env_version=session.environments.version_of(spec),
        dataset=digests(examples),
    )
    if spec.verbose:
        verbose.log_in_detail(session.config)
    for text in warnings:
        run.warn(f"{spec.name}: {text}")
    check_baselines(run, session.config)
    if any(gate.by or gate.each for gate in spec.gates):
        metrics = session.environments.metric_names(spec, environment, examples)
        check_slices(spec, examples, metrics)
    session.runs.append(run)
    return run
