"""EvalRun: what the engine needs to know of one eval to roll its model out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..clients.cache import ResponseCache
from ..clients.metered import Count
from ..endpoints.endpoint import Endpoint
from ..endpoints.prices import Price
from ..environments.environment import Environment
from ..store.run_folder import RunFolder
from .rollouts import seed_of


@dataclass(frozen=True, eq=False)
class EvalRun:
    """One execution of one eval.

    Attributes:
        name: the eval's name, for messages.
        environment: what rolls out and scores.
        endpoint: where the model is served; rollouts of one endpoint share a client.
        sampling_args: fields of every request besides model, messages and seed.
        folder: where rows go.
        log: the run's log.
        rollouts_per_example: size of a complete group.
        pass_threshold: a rollout is correct from this reward on.
        max_concurrent: cap on the eval's own rollouts in flight; None for none.
        rollout_seed: base of the seeds sent; None sends none.
        price: of the model's tokens; None where it is not known.
        count: told of the tokens of every answer; None where nobody counts.
        cache: where answers are looked up before the model is asked; None where it is off.
        max_retries: how often a rollout is tried again whose infrastructure failed.
        state_columns: keys of the states that rows have as well.
        example_columns: columns of the examples that rows have as well.
    """

    name: str
    environment: Environment
    endpoint: Endpoint
    sampling_args: Mapping[str, Any]
    folder: RunFolder
    log: logging.Logger
    rollouts_per_example: int
    pass_threshold: float
    max_concurrent: int | None = None
    rollout_seed: int | None = None
    price: Price | None = None
    count: Count | None = None
    cache: ResponseCache | None = None
    max_retries: int = 0
    state_columns: tuple[str, ...] = ()
    example_columns: tuple[str, ...] = ()

    def sampling_args_of(self, example_id: int, rollout: int) -> dict[str, Any]:
        """Return the sampling arguments of one rollout, its seed included."""
        if self.rollout_seed is None:
            return dict(self.sampling_args)
        return {**self.sampling_args, "seed": seed_of(self.rollout_seed, example_id, rollout)}
