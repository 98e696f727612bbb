"""Outages: the health of every endpoint, and of what scores every eval."""

from __future__ import annotations

from collections import defaultdict

from ..endpoints.endpoint import Endpoint
from .health import EndpointHealth
from .run import EvalRun
from .scoring_health import ScoringHealth


class Outages:
    """What is known of the services that rollouts need."""

    def __init__(self) -> None:
        # By identity, as the clients are kept.
        self._endpoints: defaultdict[int, EndpointHealth] = defaultdict(EndpointHealth)
        self._scoring: defaultdict[EvalRun, ScoringHealth] = defaultdict(ScoringHealth)

    def endpoint(self, endpoint: Endpoint) -> EndpointHealth:
        """Return the health of an endpoint."""
        return self._endpoints[id(endpoint)]

    def scoring(self, run: EvalRun) -> ScoringHealth:
        """Return the health of what scores the rollouts of an eval."""
        return self._scoring[run]
