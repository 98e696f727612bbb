"""The schema: the keys that an eval can have, and what is wrong with a table that breaks it."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from pydantic_core import ErrorDetails

from .budget import BUDGET_KEYS
from .lines import KeyPath
from .values import (
    check_dataset_name,
    check_env_id,
    check_extra_env_kwargs,
    check_gate,
    check_header,
    check_header_from_state,
    check_headers,
    check_headers_from_state,
    check_key_var,
    check_marker,
    check_name,
    check_num_workers,
    check_resume,
    check_sampling_args,
    check_text,
    check_url,
    shown,
)

# Where a table stands; "settings" are those of the command line and the ini file.
Level: TypeAlias = Literal["top level", "eval", "ablation", "sweep", "settings"]
Problem: TypeAlias = tuple[KeyPath, str]

# Keys of verifiers' eval files that this version does not read.
NOT_YET_SUPPORTED = frozenset(
    {
        "harness",
        "taskset",
    }
)
# Pairs of keys of which a table can have one.
EXCLUSIVE = (
    ("env_id", "id", "they are the same key"),
    ("sampling_args", "sampling", "they are the same key"),
    ("model", "endpoint_id", "the endpoint has a model of its own"),
    ("resume", "resume_path", "they are the same key"),
)
ALIASES = {"id": "env_id", "args": "env_args", "sampling": "sampling_args", "resume_path": "resume"}

Text = Annotated[str, AfterValidator(check_text)]
Table = dict[str, Any]


class EvalTable(BaseModel):
    """The keys of an `[[eval]]` block, all optional; the same keys are defaults at top level."""

    model_config = ConfigDict(strict=True, extra="forbid")

    env_id: Annotated[Text, AfterValidator(check_env_id)] | None = None
    id: Annotated[Text, AfterValidator(check_env_id)] | None = None
    name: Annotated[Text, AfterValidator(check_name)] | None = None
    env_args: Table | None = None
    args: Table | None = None
    env_dir_path: Text | None = None
    extra_env_kwargs: Annotated[Table, AfterValidator(check_extra_env_kwargs)] | None = None
    num_examples: int | None = None
    rollouts_per_example: Annotated[int, Field(ge=1)] | None = None
    shuffle: bool | None = None
    shuffle_seed: int | None = None
    model: Text | None = None
    endpoint_id: Text | None = None
    endpoints_path: Text | None = None
    api_base_url: Annotated[Text, AfterValidator(check_url)] | None = None
    api_key_var: Annotated[Text, AfterValidator(check_key_var)] | None = None
    api_client_type: Text | None = None
    provider: Text | None = None
    headers: Annotated[dict[str, str], AfterValidator(check_headers)] | None = None
    header: list[Annotated[str, AfterValidator(check_header)]] | None = None
    headers_from_state: (
        Annotated[dict[str, str], AfterValidator(check_headers_from_state)] | None
    ) = None
    header_from_state: list[Annotated[str, AfterValidator(check_header_from_state)]] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[FiniteFloat, Field(ge=0)] | None = None
    sampling_args: Annotated[Table, AfterValidator(check_sampling_args)] | None = None
    sampling: Annotated[Table, AfterValidator(check_sampling_args)] | None = None
    max_concurrent: int | None = None
    max_cost_usd: Annotated[FiniteFloat, Field(gt=0)] | None = None
    max_tokens_total: Annotated[int, Field(ge=1)] | None = None
    max_duration: Annotated[FiniteFloat, Field(gt=0)] | None = None
    pass_threshold: FiniteFloat | None = None
    pass_reward: FiniteFloat | None = None
    reward_errors: Literal["broken", "zero"] | None = None
    rollout_seed: int | None = None
    timeout: Annotated[FiniteFloat, Field(gt=0)] | None = None
    max_retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    independent_scoring: bool | None = None
    output_dir: Text | None = None
    save_results: bool | None = None
    state_columns: list[Text] | None = None
    num_workers: Annotated[Any, AfterValidator(check_num_workers)] = None
    disable_env_server: bool | None = None
    resume: Annotated[Any, AfterValidator(check_resume)] = None
    resume_path: Text | None = None
    verbose: bool | None = None
    disable_tui: bool | None = None
    save_to_hf_hub: bool | None = None
    hf_hub_dataset_name: Annotated[Text, AfterValidator(check_dataset_name)] | None = None
    markers: list[Annotated[str, AfterValidator(check_marker)]] | None = None
    gates: list[Annotated[Any, AfterValidator(check_gate)]] | None = None


def check_table(raw: Mapping[str, Any], level: Level) -> tuple[dict[str, Any], list[Problem]]:
    """Validate one table of an eval file.

    Args:
        raw: the table as parsed; at top level without its blocks.
        level: where it stands.

    Returns:
        Its values by key, aliases replaced (`id` is `env_id`), and what is wrong with it: the path
        of a key within the table, and a message that names the key. With problems the values are
        incomplete.
    """
    problems = _pair_problems(raw)
    if level == "top level" and "name" in raw:
        problems.append((("name",), "key 'name' belongs in an [[eval]] block"))
    if level not in ("top level", "settings"):
        problems += [
            ((key,), f"key {key!r} is about the whole session: it belongs at the top of the file")
            for key in BUDGET_KEYS
            if key in raw
        ]
    if level == "eval" and not raw.keys() & {"env_id", "id"}:
        problems.append(((), "this [[eval]] has no env_id; each block must name its environment"))
    try:
        checked = EvalTable.model_validate(dict(raw))
    except ValidationError as error:
        problems += [_problem(detail, level) for detail in error.errors(include_url=False)]
        return {}, problems
    values = {ALIASES.get(key, key): getattr(checked, key) for key in raw}
    if "args" in raw and "env_args" in raw:
        values["env_args"] = {**raw["env_args"], **raw["args"]}
    return values, problems


def check_number(key: str, value: object) -> int:
    """Return `value` as a valid `num_examples` or `rollouts_per_example`.

    Raises:
        ValueError: it is not one; the message does not name the key.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"must be an integer, not {shown(value)}")  # noqa: TRY004
    if key == "rollouts_per_example" and value < 1:
        raise ValueError(f"must be at least 1, not {value}")
    return value


def _pair_problems(raw: Mapping[str, Any]) -> list[Problem]:
    """Return the pairs of keys that exclude each other in one table."""
    problems: list[Problem] = [
        ((second,), f"{first!r} and {second!r} are both set; keep one, {why}")
        for first, second, why in EXCLUSIVE
        if first in raw and second in raw
    ]
    tables = raw.get("env_args"), raw.get("args")
    if isinstance(tables[0], dict) and isinstance(tables[1], dict):
        problems += [
            (("args", key), f"{key!r} is in 'env_args' and in 'args', which are the same table")
            for key in tables[1]
            if key in tables[0]
        ]
    return problems


def _problem(detail: ErrorDetails, level: Level) -> Problem:
    """Return what pydantic found, in the words of the file."""
    path: KeyPath = detail["loc"]
    kind, value = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return path, _unknown_key(str(path[0]), level)
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)[1:]
    context = detail.get("ctx", {})
    if kind == "value_error":
        return path, f"{key}: {context['error']}"
    if path == ("api_base_url",) and isinstance(value, list):
        return path, (
            "api_base_url takes one URL; replicas are [[endpoint]] rows of one endpoint_id"
            " in the endpoints file"
        )
    expected = {
        "int_type": "an integer",
        "bool_type": "true or false",
        "float_type": "a number",
        "finite_number": "a finite number",
        "string_type": "a string",
        "list_type": "a list",
        "dict_type": "a table",
        "greater_than_equal": f"at least {context.get('ge', 0):g}",
        "less_than_equal": f"at most {context.get('le', 0):g}",
        "greater_than": f"greater than {context.get('gt', 0):g}",
        "literal_error": str(context.get("expected")),
    }.get(kind)
    if expected is None:
        return path, f"{key}: {detail['msg']}"
    if path[0] in ("header", "headers"):  # a value may be a key
        return path, f"{key} must be {expected}"
    return path, f"{key} must be {expected}, not {shown(value)}"


def _unknown_key(key: str, level: Level) -> str:
    if key in NOT_YET_SUPPORTED:
        return f"key {key!r} is not supported yet"
    if key == "sweep":
        return "key 'sweep' belongs in an [[ablation]] block"
    arrays = ["eval", "ablation"] if level == "top level" else []
    keys = [*EvalTable.model_fields, *arrays]
    begun = [name for name in sorted(keys) if name.startswith(f"{key}_")]  # rollouts -> ..._per_...
    nearest = begun or difflib.get_close_matches(key, keys, n=1)
    if nearest:
        hint = f"[[{nearest[0]}]]" if nearest[0] in arrays else repr(nearest[0])
        return f"unknown key {key!r}; did you mean {hint}?"
    return f"unknown key {key!r}; the keys are {', '.join(sorted(EvalTable.model_fields))}"
