"""Run: one execution of one eval in this process, item by item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..clients.cache import ResponseCache
from ..clients.metered import Count
from ..config.spec import EvalSpec
from ..endpoints.endpoint import Endpoint
from ..endpoints.prices import Price
from ..endpoints.urls import public_url
from ..engine.parts import scores_groups
from ..engine.rollouts import RolloutJob
from ..engine.run import EvalRun
from ..environments.environment import Environment
from ..environments.sampling import merge_sampling_args
from ..store.run_folder import RunFolder
from .facts import Facts
from .item_run import ItemRun
from .judges import judges_of
from .slicing import own_columns


class Run(ItemRun):
    """A run whose items are here: the environment, the examples, and what the engine works on.

    An xdist worker has it as well; what is the owner's business it leaves alone.

    Attributes:
        endpoint, environment, examples: what is evaluated.
        begins_late: it begins with its first rollout, not with the session.
        rollout_hooks: what its rollout items call hooks through; None for pytest's own way.
    """

    begins_late = False
    ended = 0  # rollouts, those that earlier sessions did included; counted on the engine's loop

    @property
    def is_over(self) -> bool:
        """Whether all of its selected rollouts have ended, reported or not."""
        return self.ended >= self.selected

    def __init__(
        self,
        spec: EvalSpec,
        endpoint: Endpoint,
        environment: Environment,
        examples: Sequence[dict[str, Any]],
        nodeid: str,
        mask: Callable[[str], str],
        *,
        accepts_partial: bool,
        env_version: str | None = None,
        dataset: str = "",
    ) -> None:
        facts = _facts(spec, endpoint, environment, len(examples), env_version, dataset)
        super().__init__(spec, facts, nodeid, mask, accepts_partial=accepts_partial)
        self.endpoint = endpoint
        self.environment = environment
        self.examples = examples
        self._eval_run: EvalRun | None = None
        self._places: dict[Any, int] = {}
        self._failures: dict[str, str] = {}
        self.rollout_hooks: Any = None

    def scores_groups(self) -> bool:
        """Whether rollouts of any example are scored together."""
        try:
            return any(scores_groups(self.environment, example) for example in self.examples)
        except Exception:  # of the environment: scoring meets it again, where it is reported
            return False

    @property
    def engine_run(self) -> EvalRun:
        """What the engine works on; only of a run that was started."""
        assert self._eval_run is not None
        return self._eval_run

    def open(
        self,
        folder: RunFolder,
        endpoint: Endpoint,
        cache: ResponseCache | None = None,
        price: Price | None = None,
        count: Count | None = None,
    ) -> None:
        """Give the run its folder and log, and the endpoint as it is reached now.

        Args:
            folder: where its rows go.
            endpoint: with the port of a managed one.
            cache: where answers are looked up before the model is asked; None where it is off.
            price: of the model's tokens; None where it is not known.
            count: told of the tokens of every answer; None where nobody counts.
        """
        self.take_folder(folder, _urls(endpoint))
        self._eval_run = EvalRun(
            name=self.nodeid,
            environment=self.environment,
            endpoint=endpoint,
            sampling_args=self.spec.sampling_args,
            folder=folder,
            log=self.log,
            rollouts_per_example=self.spec.rollouts_per_example,
            pass_threshold=self.facts.pass_threshold,
            max_concurrent=self.spec.max_concurrent,
            rollout_seed=self.spec.rollout_seed,
            cache=cache,
            price=price,
            count=count,
            max_retries=self.spec.max_retries or 0,
            state_columns=self.spec.state_columns,
            example_columns=own_columns(self.spec.gates),
        )

    def job(self, example: dict[str, Any], rollout: int, stored: str | None = None) -> RolloutJob:
        """Return the work of one rollout item.

        Args:
            example: its row of the dataset.
            rollout: the number of the attempt.
            stored: the line of its row, where it has only to be scored.
        """
        return RolloutJob(self.engine_run, example, rollout, stored, self._turn(example, rollout))

    def _turn(self, example: dict[str, Any], rollout: int) -> int:
        """Return which of the endpoint's servers a rollout asks first: its group's, in turn."""
        if not self.endpoint.replicas:
            return 0
        if not self._places:
            self._places = {each["example_id"]: n for n, each in enumerate(self.examples)}
        place = self._places.get(example["example_id"], 0)
        if not self.spec.independent_scoring:
            return place
        return place * self.spec.rollouts_per_example + rollout

    def failed_before(self, error: str, name: str) -> str | None:
        """Return the rollout that first failed in this way, noting `name` if none did.

        Args:
            error: its text, or the type and place of an error of the user's code.
            name: the rollout that failed now.
        """
        first = self._failures.setdefault(error, name)
        return None if first == name else first


def _urls(endpoint: Endpoint) -> str:
    return ",".join(public_url(server.url) for server in endpoint.servers)


def _facts(
    spec: EvalSpec,
    endpoint: Endpoint,
    environment: Environment,
    num_examples: int,
    env_version: str | None,
    dataset: str,
) -> Facts:
    threshold = spec.pass_threshold
    return Facts(
        model=endpoint.model,
        base_url=_urls(endpoint),
        label=endpoint.label,
        serve=endpoint.serve,
        sampling_args=merge_sampling_args(environment.sampling_args, spec.sampling_args),
        num_examples=num_examples,
        pass_threshold=environment.pass_threshold if threshold is None else threshold,
        is_scored=bool(getattr(environment, "score_rollouts", True)),
        client_type=endpoint.client_type,
        env_version=env_version,
        dataset=dataset,
        judge=judges_of(environment),
    )
