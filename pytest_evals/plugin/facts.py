"""Facts: what the owner of a run must know that only its environment and endpoint can say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..config.spec import EvalSpec
from ..endpoints.endpoint import ServeCommand
from ..store.fingerprint import dataset_digest
from .functions.environment import PYTHON


@dataclass(frozen=True, slots=True)
class Facts:
    """What an environment and an endpoint say of an eval.

    Attributes:
        model: the model id to ask for.
        base_url: where requests go, without what may be secret; of a managed endpoint it holds
            `{port}` until the server runs.
        label: how messages name the endpoint.
        serve: the server to start; None when it runs already.
        sampling_args: as sent, the environment's own included.
        num_examples: examples really selected, never "all".
        pass_threshold: a rollout is correct from this reward on.
        is_scored: whether the environment scores rollouts at all.
        client_type: the wire format of the endpoint.
        env_version: of the environment, where it has one.
        dataset: digests of its examples (`store.fingerprint`); "" for a test function.
        judge: the judges of its rubric (`judges`).
    """

    model: str
    base_url: str
    label: str
    serve: ServeCommand | None
    sampling_args: Mapping[str, Any]
    num_examples: int
    pass_threshold: float
    is_scored: bool
    client_type: str = ""
    env_version: str | None = None
    dataset: str = ""
    judge: Sequence[Mapping[str, Any]] = ()

    @property
    def can_go_on(self) -> bool:
        """Whether a run of the eval can be continued by a later session; one of a function cannot.

        What its calls return depends on fixtures, of which a row says nothing.
        """
        return self.client_type != PYTHON

    def fingerprint(self, spec: EvalSpec) -> dict[str, Any]:
        """Return what an eval measures: a run goes on only where this is the same."""
        reached = {"url": self.base_url} if self.serve is None else {"serve": self.serve.command}
        return {
            "env_id": spec.env_id,
            "env_version": self.env_version,
            "env_args": dict(spec.env_args),
            "extra_env_kwargs": dict(spec.extra_env_kwargs),
            "model": self.model,
            **reached,
            "client_type": self.client_type,
            "sampling_args": dict(self.sampling_args),
            "num_examples": self.num_examples,
            "rollouts_per_example": spec.rollouts_per_example,
            "shuffle_seed": spec.order,
            "rollout_seed": spec.rollout_seed,
            "timeout": spec.timeout,
            "judge": [dict(judge) for judge in self.judge],
            "dataset": dataset_digest(self.dataset, self.num_examples),
        }
