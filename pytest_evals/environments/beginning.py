"""Beginning a rollout: the state it starts from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..clients.asking import note_state
from ..clients.client import Client
from ..state import State, new_state
from .copying import own_copy
from .hook_messages import checked_messages
from .sampling import merge_sampling_args
from .tool_defs import as_tools, refuse_openai_tools

if TYPE_CHECKING:
    from .environment import Environment


def begin(
    environment: Environment,
    example: Mapping[str, Any],
    client: Client,
    model: str,
    sampling_args: Mapping[str, Any] | None,
) -> State:
    """Return the state of a rollout that is about to begin; see `Environment.init_state`."""
    row = own_copy(example)
    prompt, info = row.get("prompt"), row.get("info")
    if prompt is not None:
        row["prompt"] = checked_messages(prompt, "the prompt of the example", environment)
    if not info:
        info = {}
    elif isinstance(info, str):
        info = json.loads(info)
    row["info"] = info
    merged = merge_sampling_args(environment.sampling_args, sampling_args)
    state = new_state(row, client=client, model=model, sampling_args=merged)
    note_state(state)  # for code that asks the client itself
    state["task"] = row.get("task") or environment.env_id or "default"
    if "tool_defs" in info:
        state["tool_defs"] = as_tools(info["tool_defs"], "info['tool_defs']")
    elif environment.tool_defs:
        state["tool_defs"] = list(environment.tool_defs)
    if "oai_tools" in info:
        refuse_openai_tools(info, "the info column")
    return state
