"""Environment: a dataset, a way to roll the model out on one example, and a rubric."""

from __future__ import annotations

import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ..clients.client import Client
from ..errors import EnvironmentLoadError, MissingKeyError, SetupError, one_line
from ..parsers import Parser
from ..rubrics.rubric import Rubric
from ..state import State, new_state
from .dataset import DatasetSource, Example, load_examples

logger = logging.getLogger(__name__)


class Environment(ABC):
    """What `load_environment()` returns; subclasses say how a rollout goes.

    Args:
        dataset: training examples: a list of dicts, a Hugging Face `Dataset`, or a function without
            arguments that returns one. `load_examples` says what a row may hold. A function is
            called when the examples are first needed, anything else is read at once.
        eval_dataset: examples to evaluate on; `dataset` when None. One of them is required.
        system_prompt: put in front of every prompt that has no system message of its own.
        few_shot: messages between the system prompt and a `question`.
        parser: finds the answer in a completion; the rubric's when None.
        rubric: scores a rollout; an empty one when None.
        sampling_args: fields of the request body; the caller's are merged over them.
        env_id: filled in by the loader when None.
        env_args: what `load_environment` was called with; filled in by the loader when None.
        pass_threshold: a rollout is correct from this reward on.
        score_rollouts: False leaves the rubric out.
        **kwargs: set as attributes.

    Attributes:
        dataset, eval_dataset: the examples; None when not given or not yet read.

    Raises:
        SetupError: no dataset was given, or one has a row that cannot be an example.
    """

    def __init__(
        self,
        dataset: DatasetSource | None = None,
        eval_dataset: DatasetSource | None = None,
        system_prompt: str | None = None,
        few_shot: Sequence[Mapping[str, Any]] | None = None,
        parser: Parser | None = None,
        rubric: Rubric | None = None,
        sampling_args: Mapping[str, Any] | None = None,
        env_id: str | None = None,
        env_args: Mapping[str, Any] | None = None,
        pass_threshold: float = 0.5,
        score_rollouts: bool = True,
        **kwargs: Any,
    ) -> None:
        if dataset is None and eval_dataset is None:
            raise SetupError("an environment needs a dataset or an eval_dataset")
        self.system_prompt = system_prompt
        self.few_shot = few_shot
        self.rubric = rubric if rubric is not None else Rubric(parser=parser)
        self.parser = parser or self.rubric.parser
        if type(self.parser) is not type(self.rubric.parser):
            logger.warning(
                "the environment has a %s and its rubric a %s: reward functions get the latter",
                type(self.parser).__name__,
                type(self.rubric.parser).__name__,
            )
        self.sampling_args = merge_sampling_args({"n": 1, "extra_body": {}}, sampling_args)
        self.env_id = env_id or ""
        self.env_args: dict[str, Any] = dict(env_args or {})
        self.pass_threshold = pass_threshold
        self.score_rollouts = score_rollouts
        self.dataset: list[Example] | None = None
        self.eval_dataset: list[Example] | None = None
        self._dataset_source = dataset
        self._eval_dataset_source = eval_dataset
        for name, value in kwargs.items():
            setattr(self, name, value)
        if dataset is not None and not callable(dataset):
            self.build_dataset()
        if eval_dataset is not None and not callable(eval_dataset):
            self.build_eval_dataset()

    def build_dataset(self) -> list[Example] | None:
        """Return the training examples, read at the first call; None without a dataset."""
        if self.dataset is None and self._dataset_source is not None:
            self.dataset = self._read("dataset", self._dataset_source)
        return self.dataset

    def build_eval_dataset(self) -> list[Example] | None:
        """Return the evaluation examples, read at the first call; None without an eval_dataset."""
        if self.eval_dataset is None and self._eval_dataset_source is not None:
            self.eval_dataset = self._read("eval_dataset", self._eval_dataset_source)
        return self.eval_dataset

    def get_dataset(self, n: int = -1, seed: int | None = None) -> list[Example]:
        """Return training examples.

        Args:
            n: how many, from the head; 0 or less, or more than there are, takes all.
            seed: shuffle first. The order depends on the seed alone; it is not the order in which
                `datasets` would shuffle.

        Raises:
            SetupError: the environment has no dataset, or it cannot be read.
        """
        examples = self.build_dataset()
        if examples is None:
            raise SetupError(f"{self._label()}has no dataset, only an eval_dataset")
        return _select(examples, n, seed)

    def get_eval_dataset(self, n: int = -1, seed: int | None = None) -> list[Example]:
        """Return evaluation examples, or training ones when there are no others.

        Arguments and errors are those of `get_dataset`.
        """
        examples = self.build_eval_dataset()
        return self.get_dataset(n, seed) if examples is None else _select(examples, n, seed)

    def init_state(
        self,
        example: Mapping[str, Any],
        client: Client,
        model: str,
        sampling_args: Mapping[str, Any] | None = None,
    ) -> State:
        """Return the state of a rollout of `example` that is about to begin."""
        merged = merge_sampling_args(self.sampling_args, sampling_args)
        state = new_state(example, client=client, model=model, sampling_args=merged)
        row = state["input"]
        # The other rollouts of the example read the same prompt and info: a rollout that adds to
        # its own must not change theirs.
        row["prompt"] = list(row["prompt"])
        row["info"] = dict(row.get("info") or {})
        state["task"] = row.get("task") or self.env_id or "default"
        return state

    @abstractmethod
    async def rollout(
        self,
        input: Example,
        client: Client,
        model: str,
        sampling_args: Mapping[str, Any] | None = None,
    ) -> State:
        """Roll `model` out once on `input` and return the state, complete but not scored.

        An `errors.Error` ends up in `state["error"]`; anything else that is raised is a bug in
        the environment and propagates.
        """

    def _read(self, name: str, source: DatasetSource) -> list[Example]:
        try:
            return load_examples(source, system_prompt=self.system_prompt, few_shot=self.few_shot)
        except (KeyboardInterrupt, GeneratorExit, MissingKeyError):
            raise
        except SetupError as error:
            raise SetupError(f"{self._label()}{name}: {error}") from error
        except BaseException as error:  # a sys.exit() or a skip in a builder is no answer either
            raise EnvironmentLoadError(
                f"{self._label()}{name} cannot be read: {one_line(error)}"
            ) from error

    def _label(self) -> str:
        # While load_environment() runs there is no id yet; the loader puts it in front.
        return f"environment {self.env_id!r}: " if self.env_id else ""


def merge_sampling_args(under: Mapping[str, Any], over: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return both merged, `over` winning; their `extra_body` tables are merged one level deep."""
    merged = {**under, **(over or {})}
    merged["extra_body"] = {
        **(under.get("extra_body") or {}),
        **((over or {}).get("extra_body") or {}),
    }
    return merged


def _select(examples: list[Example], n: int, seed: int | None) -> list[Example]:
    if seed is not None:
        examples = random.Random(seed).sample(examples, len(examples))
    return examples[:n] if n > 0 else list(examples)
