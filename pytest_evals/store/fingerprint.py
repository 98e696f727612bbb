"""Fingerprint: what a run measured, so that it is not continued as another measurement."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from .dialects import saved_settings
from .encoding import mask_json, to_json

# Characters of one example's digest.
_DIGEST = 8
# verifiers writes these where nothing was asked for.
_DEFAULT_SAMPLING: Mapping[str, Any] = {"n": 1, "extra_body": {}, "max_tokens": None}
# What the rule of verifiers compares.
_LEGACY = ("env_id", "model", "rollouts_per_example", "num_examples")

# How an endpoint is reached: by one of them, where anything is said of it.
_REACHED = frozenset({"url", "serve"})

# A field that differs: its name, what the run says, what is asked for now.
Difference: TypeAlias = tuple[str, Any, Any]
_ABSENT = object()


def digests(examples: Iterable[Mapping[str, Any]]) -> str:
    """Return a text that has a few characters for each example, made of its content.

    What JSON has no form for counts by its type alone: its text may hold an address.
    """
    return "".join(
        hashlib.blake2b(_content(example), digest_size=_DIGEST // 2).hexdigest()
        for example in examples
    )


def _content(example: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(example, sort_keys=True, default=_by_type)
    except (TypeError, ValueError, RecursionError):
        text = to_json(example)
    return text.encode()


def _by_type(value: object) -> str:
    return f"<{type(value).__name__}>"


def dataset_digest(digests: str, num_examples: int) -> str:
    """Return the digest of the first examples of those that `digests` is of."""
    return hashlib.blake2b(digests[: num_examples * _DIGEST].encode(), digest_size=16).hexdigest()


def differences(
    metadata: Mapping[str, Any],
    current: Mapping[str, Any],
    digests: str,
    mask: Callable[[str], str],
    *,
    is_legacy: bool,
) -> list[Difference]:
    """Return in what a run and an eval differ, as far as the run's metadata tell.

    A larger `num_examples` is no difference: the dataset is then compared as far as the run went.

    Args:
        metadata: of the run.
        current: the fingerprint of the eval.
        digests: of its examples.
        mask: replaces the secrets in a text, as in the metadata.
        is_legacy: go by the rule of verifiers, which compares four fields and needs all of them.
    """
    saved = saved_settings(metadata)
    now: dict[str, Any] = json.loads(mask_json(to_json(dict(current)), mask))
    names = _LEGACY if is_legacy else [name for name in now if name in saved]
    found = [] if is_legacy else [*_missing(saved), *_reached(saved, now)]
    for name in names:
        before = saved.get(name, _ABSENT)
        if name == "num_examples":
            found += _examples(before, now[name])
        elif name == "dataset":
            found += _dataset(saved, now, digests)
        elif before is _ABSENT:
            found.append((name, "not said", now[name]))
        else:
            found += _nested(name, _normal(name, before), _normal(name, now[name]))
    return found


def setting_differences(before: Any, now: Any, name: str = "") -> Iterator[Difference]:
    """Yield in which fields two values of one setting differ; the name of the whole is "".

    Args:
        before, now: of JSON's types, secrets masked.
        name: of what they are.
    """
    for found, *values in _nested(name, before, now):
        yield found.removeprefix("."), *values


def plain_sampling(arguments: Any) -> dict[str, Any]:
    """Return sampling arguments without those that ask for nothing."""
    return dict(_normal("sampling_args", arguments)) if isinstance(arguments, Mapping) else {}


def _missing(saved: Mapping[str, Any]) -> list[Difference]:
    required = ("env_id", "rollouts_per_example", "num_examples")
    return [(name, "not said", "needed to continue") for name in required if name not in saved]


def _reached(saved: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Difference]:
    """Say where a server was managed and is not now, or the other way round."""
    before, after = _REACHED & saved.keys(), _REACHED & now.keys()
    if before and after and not before & after:
        for name in sorted(_REACHED):
            yield name, saved.get(name, "not set"), now.get(name, "not set")


def _examples(before: Any, now: int) -> list[Difference]:
    if type(before) is int and before <= now:
        return []
    return [("num_examples", "not said" if before is _ABSENT else before, now)]


def _dataset(saved: Mapping[str, Any], now: Mapping[str, Any], digests: str) -> list[Difference]:
    count = saved.get("num_examples")
    if type(count) is int and now["num_examples"] < count:
        return []  # said already; of examples that are not here nothing can be compared
    digest = dataset_digest(digests, count if type(count) is int else 0)
    if saved["dataset"] == digest:
        return []
    return [(f"content of the first {count} examples", saved["dataset"], digest)]


def _normal(name: str, value: Any) -> Any:
    if name == "sampling_args" and isinstance(value, Mapping):
        unset = _DEFAULT_SAMPLING.items()
        return {k: v for k, v in value.items() if v is not None and (k, v) not in unset}
    if name == "url" and isinstance(value, str):
        return value.rstrip("/")
    return value


def _nested(name: str, before: Any, now: Any) -> Iterator[Difference]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in {**before, **now}:
            if key in before and key in now:
                yield from _nested(f"{name}.{key}", before[key], now[key])
            else:
                yield f"{name}.{key}", before.get(key, "not set"), now.get(key, "not set")
    elif before != now:
        yield name, before, now
