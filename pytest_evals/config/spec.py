"""EvalSpec: one eval, validated and resolved, as every other room sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..gates.grammar import Gate


@dataclass(frozen=True, slots=True)
class EvalSpec:
    """One `[[eval]]` block, or one point of an `[[ablation]]`, with its defaults filled in.

    Attributes:
        name: unique in its file; made of letters, digits and `_ . + -`.
        env_id: as the user wrote it (`my-env`, `owner/my-env`).
        env_args: keyword arguments of `load_environment`.
        extra_env_kwargs: given to the loaded environment, through its `set_kwargs`.
        num_examples: examples to take from the head of the dataset; 0 or less takes all.
        rollouts_per_example: attempts at each example, at least 1.
        shuffle, shuffle_seed: whether the examples are put in another order before the first are
            taken, and in which one; 0 when None.
        model: model id or alias of the registry; None when `endpoint_id` names the endpoint.
        endpoint_id: row of the registry; None when `model` does.
        endpoints_path: the registry file, absolute; None for the default one.
        env_dir_path: the folder of environments; None for the default one.
        provider, api_base_url, api_key_var, api_client_type: overrides of where requests go, and in
            which format; None when not given.
        headers: sent with every request, over those of the registry's row; they may hold secrets.
        sampling_args: fields of the request body besides model and messages, with `max_tokens`
            and `temperature` merged in where they were given.
        max_concurrent: cap on this eval's rollouts in flight; None when only the session's applies.
        pass_threshold: a rollout is correct from this reward on; None for the environment's own.
        pass_reward: a rollout below it fails as a test item; None when rewards fail no item.
        reward_errors: what a mistake in a reward function means: its rollout is "broken", or the
            function's score is "zero"; None for what the rubric says, as a rule "broken".
        rollout_seed: base of the `seed` sent with each rollout; None sends none.
        timeout: seconds a rollout may take to generate before it is ended and scored; None for the
            environment's own limit.
        max_retries: how often a rollout is tried again whose infrastructure failed; None for never.
        independent_scoring: whether each rollout is scored by itself: rewards that compare those of
            an example are refused.
        headers_from_state: of each request, by name the key of the rollout's state that is its
            value; over the one that every request has.
        output_dir: the folder that holds `evals/`; None for the default one.
        save_results: whether its results are kept.
        state_columns: keys of the rollouts' states that rows have as well.
        num_workers: how many processes it asks for; "auto" or None for as many as it gets.
        resume: the folder of the run to continue; True for the newest run of the eval that is
            incomplete, if there is one; False or None for a new run.
        verbose: its log also holds what is of use when something is looked for.
        disable_tui: no live view for a session with this eval.
        save_to_hf_hub, hf_hub_dataset_name: whether its rows are pushed to the Hugging Face Hub at
            the end, and as which dataset; None for a name made of its settings.
        markers: pytest marks of its items.
        gates: in order, the default one last.
        path, line: where the block stands; line is counted from 1.
        lines: those of its keys in the file, also of keys that it has from the top level: of
            `gates`, of its element `gates.0`, of `env_args.difficulty`.
        origins: which level gives each value, by the same names: `bench.toml:4`, `--evals-model`,
            `built in`.
    """

    name: str
    env_id: str
    path: Path
    line: int
    num_examples: int
    rollouts_per_example: int
    env_args: Mapping[str, Any] = field(default_factory=dict)
    extra_env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    shuffle: bool = False
    shuffle_seed: int | None = None
    model: str | None = None
    endpoint_id: str | None = None
    endpoints_path: Path | None = None
    provider: str | None = None
    api_base_url: str | None = None
    api_key_var: str | None = None
    api_client_type: str | None = None
    env_dir_path: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    sampling_args: Mapping[str, Any] = field(default_factory=dict)
    max_concurrent: int | None = None
    pass_threshold: float | None = None
    pass_reward: float | None = None
    reward_errors: Literal["broken", "zero"] | None = None
    rollout_seed: int | None = None
    timeout: float | None = None
    max_retries: int | None = None
    independent_scoring: bool = False
    headers_from_state: Mapping[str, str] = field(default_factory=dict)
    output_dir: str | None = None
    save_results: bool = True
    state_columns: tuple[str, ...] = ()
    num_workers: int | str | None = None
    resume: bool | str | None = None
    verbose: bool = False
    disable_tui: bool = False
    save_to_hf_hub: bool = False
    hf_hub_dataset_name: str | None = None
    markers: tuple[str, ...] = ()
    gates: tuple[Gate, ...] = ()
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    origins: dict[str, str] = field(default_factory=dict, compare=False, repr=False)

    def option_of(self, *keys: str) -> str:
        """Return the option or ini key that gives the first known of `keys`; "" if a file does."""
        origins = (self.origins[key] for key in keys if key in self.origins)
        origin = next(origins, "")
        return origin if origin.startswith(("--", "ini ")) else ""

    @property
    def order(self) -> int | None:
        """The seed of the order of its examples; None for that of the dataset."""
        return (self.shuffle_seed or 0) if self.shuffle else None

    def line_of(self, *keys: str) -> int:
        """Return the line of the first of `keys` that stands in the file, or of the block."""
        return next((self.lines[key] for key in keys if key in self.lines), self.line)
