"""Environment: a dataset, a way to roll the model out on one example, and a rubric."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from ..clients.asking import note_state
from ..clients.client import Client
from ..errors import Error, SetupError
from ..lifecycle import CLEANUP_SECONDS, Handler, maybe_await
from ..messages import Messages, Response, Tool, Usage
from ..parsers import Parser
from ..rubrics.rubric import Rubric
from ..state import State
from . import evaluation
from .beginning import begin
from .checking import misspelt
from .dataset import DatasetSource, Example, Examples, read_examples
from .executors import scale_executors
from .handlers import BoundHandler, StopCheck, call_all, handlers_of, stop_checks_of
from .sampling import merge_sampling_args
from .tool_defs import as_tools, refuse_openai_tools

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
        message_type: kept as an attribute; every environment is a chat.
        tool_defs: tools that the model is told of where the row's `info` has no `tool_defs`.
        max_workers, map_kwargs, max_seq_len: kept as attributes, for code that reads them.
        env_id: filled in by the loader when None.
        env_args: what `load_environment` was called with; filled in by the loader when None.
        pass_threshold: a rollout is correct from this reward on.
        score_rollouts: False leaves the rubric out.
        **kwargs: set as attributes.

    Attributes:
        dataset, eval_dataset: the examples; None when not given or not yet read.
        concurrency: what `set_concurrency` was told; None before that.
        setup_warnings: what is probably not meant, a line each: a misspelt argument.

    Raises:
        SetupError: no dataset was given, one has a row that cannot be an example, or one of the
            tools is none.
    """

    # Marked methods of a class and what decides the same at once: asked in their place, every turn.
    plain_stops: ClassVar[Mapping[Handler, Callable[[Any, State], bool]]] = {}

    def __init__(
        self,
        dataset: DatasetSource | None = None,
        eval_dataset: DatasetSource | None = None,
        system_prompt: str | None = None,
        few_shot: Sequence[Mapping[str, Any]] | None = None,
        parser: Parser | None = None,
        rubric: Rubric | None = None,
        sampling_args: Mapping[str, Any] | None = None,
        message_type: str = "chat",
        tool_defs: Sequence[Mapping[str, Any]] | None = None,
        max_workers: int = 512,
        env_id: str | None = None,
        env_args: Mapping[str, Any] | None = None,
        map_kwargs: Mapping[str, Any] | None = None,
        max_seq_len: int | None = None,
        score_rollouts: bool = True,
        pass_threshold: float = 0.5,
        **kwargs: Any,
    ) -> None:
        if dataset is None and eval_dataset is None:
            raise SetupError("an environment needs a dataset or an eval_dataset")
        refuse_openai_tools(kwargs, "the argument")
        self.logger = logging.getLogger(f"{__name__}.{type(self).__name__}")
        self.message_type = message_type
        self.max_workers = max_workers
        self.map_kwargs = dict(map_kwargs or {})
        self.max_seq_len = max_seq_len
        self.concurrency: int | None = None
        self.tool_defs: list[Tool] | None = (
            None if tool_defs is None else as_tools(tool_defs, "tool_defs")
        )
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
        self.dataset: Examples | None = None
        self.eval_dataset: Examples | None = None
        self._dataset_source = dataset
        self._eval_dataset_source = eval_dataset
        self._stop_checks: list[tuple[str, StopCheck]] | None = None
        self._cleanup_handlers: list[BoundHandler] | None = None
        for name, value in kwargs.items():
            setattr(self, name, value)
        self.setup_warnings = misspelt(self, kwargs) if kwargs else []
        if dataset is not None and not callable(dataset):
            self.build_dataset()
        if eval_dataset is not None and not callable(eval_dataset):
            self.build_eval_dataset()

    def build_dataset(self) -> Examples | None:
        """Return the training examples, read at the first call; None without a dataset."""
        if self.dataset is None and self._dataset_source is not None:
            self.dataset = self._read("dataset", self._dataset_source)
        return self.dataset

    def build_eval_dataset(self) -> Examples | None:
        """Return the evaluation examples, read at the first call; None without an eval_dataset."""
        if self.eval_dataset is None and self._eval_dataset_source is not None:
            self.eval_dataset = self._read("eval_dataset", self._eval_dataset_source)
        return self.eval_dataset

    def get_dataset(self, n: int = -1, seed: int | None = None) -> Examples:
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
        return examples.first(n, seed)

    def get_eval_dataset(self, n: int = -1, seed: int | None = None) -> Examples:
        """Return evaluation examples, or training ones when there are no others.

        Arguments and errors are those of `get_dataset`.
        """
        examples = self.build_eval_dataset()
        return self.get_dataset(n, seed) if examples is None else examples.first(n, seed)

    async def init_state(
        self,
        input: Mapping[str, Any],
        client: Client,
        model: str,
        sampling_args: Mapping[str, Any] | None = None,
    ) -> State:
        """Return the state of a rollout of the example `input` that is about to begin.

        The other rollouts of the example read the same row: this one has a copy of its own.

        Raises:
            SetupError: its `info` names tools that are none.
        """
        return begin(self, input, client, model, sampling_args)

    async def get_model_response(
        self,
        state: State,
        prompt: Messages,
        client: Client | None = None,
        model: str | None = None,
        tool_defs: Sequence[Mapping[str, Any]] | None = None,
        sampling_args: Mapping[str, Any] | None = None,
    ) -> Response:
        """Ask the model to continue `prompt` and count the tokens in the state's usage.

        What is not given is the state's. Errors are those of `Client.get_response`.
        """
        note_state(state)
        if tool_defs is None:
            tool_defs = state.get("tool_defs")
        response = await (state["client"] if client is None else client).get_response(
            prompt=prompt,
            model=model or state["model"],
            sampling_args=sampling_args or state["sampling_args"] or {},
            tools=tool_defs or None,
        )
        if response.usage is not None:
            state.count(response.usage)
        returned: Response = response
        return returned

    def increment_state_usage(
        self, state: State, input_tokens: float = 0, output_tokens: float = 0
    ) -> None:
        """Count tokens of a model call that was made without `get_model_response`."""
        state.count(Usage(int(input_tokens), int(output_tokens)))

    def get_state_usage(self, state: State) -> dict[str, float] | None:
        """Return `input_tokens` and `output_tokens` so far; None when nothing was counted."""
        usage: dict[str, float] | None = state["usage"]
        return usage

    def rubric_of(self, example: Mapping[str, Any]) -> Rubric:
        """Return the rubric that scores rollouts of `example`."""
        return self.rubric

    def parser_of(self, example: Mapping[str, Any]) -> Parser:
        """Return the parser that finds the answer in a completion of `example`."""
        return self.parser

    async def is_completed(self, state: State, **kwargs: Any) -> bool:
        """Ask the stop conditions in order; end the rollout with the first one that fires.

        Subclasses that override this may pass on other arguments; they are not used.
        """
        if self._stop_checks is None:
            self._stop_checks = stop_checks_of(self, self.plain_stops)
        for name, check in self._stop_checks:
            fired = check(state)
            if type(fired) is not bool:
                fired = await maybe_await(fired)
            if fired:
                state.stop(name)
                return True
        return False

    async def cleanup(self, state: State) -> None:
        """Call the cleanup handlers, each also when another one raised.

        An `errors.Error` becomes the state's, unless it has one; anything else is raised. One that
        takes longer than 60 s is ended by an `InfraError`: what it should have noted for the
        rewards is not there.
        """
        if self._cleanup_handlers is None:
            self._cleanup_handlers = handlers_of(self, "cleanup")
        offered = {"state": state, "env": self, "task": state.get("task")}
        failure = await call_all(self._cleanup_handlers, offered, CLEANUP_SECONDS)
        if failure is None:
            return
        if not isinstance(failure, Error):
            raise failure
        if state.get("error") is None:
            state["error"] = failure

    async def teardown(self) -> None:
        """Release what the environment and its rubric hold, after the last rollout.

        Every handler is called; the first exception of any is raised.
        """
        handlers = [
            BoundHandler("rubric.teardown", self.rubric.teardown, ()),
            *handlers_of(self, "teardown"),
        ]
        failure = await call_all(handlers, {"env": self})
        if failure is not None:
            raise failure

    run_rollout = evaluation.run_rollout
    run_group = evaluation.run_group
    generate = evaluation.generate
    evaluate = evaluation.evaluate
    generate_sync = evaluation.generate_sync
    evaluate_sync = evaluation.evaluate_sync

    @abstractmethod
    async def rollout(
        self,
        input: Example,
        client: Client,
        model: str,
        sampling_args: Mapping[str, Any] | None = None,
    ) -> State:
        """Roll `model` out once on `input` and return the state, complete but not scored.

        What goes wrong ends up in `state["error"]`: an `errors.Error` says what it is, anything
        else is a bug of the environment. What is raised leaves the rollout broken, without a word.
        """

    def set_kwargs(self, **kwargs: Any) -> None:
        """Set attributes, each through its `set_<name>` method where there is one."""
        for name, value in kwargs.items():
            setter = getattr(self, f"set_{name}", None)
            if callable(setter):
                setter(value)
            else:
                setattr(self, name, value)

    def set_concurrency(self, concurrency: int) -> None:
        """Expect this many rollouts at once: resizes the executors of `executors`."""
        self.concurrency = concurrency
        scale_executors(concurrency)

    def set_timeout_seconds(self, timeout_seconds: float | None) -> None:
        """Limit the set-up and turns of a rollout.

        Raises:
            SetupError: the environment has no attribute `timeout_seconds` that its `rollout` obeys.
        """
        if not hasattr(self, "timeout_seconds"):
            raise SetupError(
                f"{type(self).__name__} has a rollout() of its own and no attribute timeout_seconds"
                " for it to obey: it takes no timeout"
            )
        self.timeout_seconds = timeout_seconds

    def set_score_rollouts(self, score_rollouts: bool) -> None:
        """Say whether rollouts are scored."""
        self.score_rollouts = score_rollouts

    def set_max_seq_len(self, max_seq_len: int | None) -> None:
        """Set the attribute `max_seq_len`."""
        self.max_seq_len = max_seq_len

    def add_rubric(self, rubric: Rubric) -> None:
        """Score rollouts with `rubric` as well: rewards are summed.

        A rubric that was given stays as it is: it may be another environment's too.
        """
        from ..rubrics.rubric_group import RubricGroup

        self.rubric = RubricGroup(rubrics=[self.rubric, rubric])

    def _read(self, name: str, source: DatasetSource) -> Examples:
        return read_examples(
            source,
            f"{self._label()}{name}",
            system_prompt=self.system_prompt,
            few_shot=self.few_shot,
        )

    def _label(self) -> str:
        # While load_environment() runs there is no id yet; the loader puts it in front.
        return f"environment {self.env_id!r}: " if self.env_id else ""
