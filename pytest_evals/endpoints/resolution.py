"""Resolution: from the settings of an eval to the Endpoint that its requests go to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import SetupError
from ..nearest import did_you_mean
from ..secret_names import is_secret_name
from .endpoint import CLIENT_TYPES, Endpoint
from .keys import NO_KEY, is_key_variable
from .providers import DEFAULT_MODEL, DEFAULT_PROVIDER, PROVIDERS, Provider
from .registry import Registry, load_registry
from .urls import PORT, public_url, same_server, url_problem


def resolve_endpoint(
    *,
    model: str | None,
    endpoint_id: str | None,
    endpoints_path: Path | None,
    provider: str | None,
    api_base_url: str | None,
    api_key_var: str | None,
    default_path: Path,
    api_client_type: str | None = None,
    headers: Mapping[str, str] | None = None,
    headers_from_state: Mapping[str, str] | None = None,
    any_client_type: bool = False,
) -> Endpoint:
    """Return the endpoint that an eval's settings mean.

    `endpoint_id`, or else `model`, is looked up in the registry. Where it stands there, the row is
    taken, then a named provider replaces where requests go, then `api_base_url` and `api_key_var`
    do. Where it does not, `model` is the id itself, served by the provider (prime when none is
    named), with the same two on top. `api_client_type` and `headers` go over those of the row or
    the provider. When requests go elsewhere, a managed server is not started and the replicas of a
    row are not asked; otherwise what goes over the row goes over each of them.

    Args:
        model: model id or alias of the registry; None for the default model.
        endpoint_id: id of a row of the registry; None when `model` says what to ask for.
        endpoints_path: the registry file or its folder; None for `default_path`.
        provider: name of a provider; None when not given.
        api_base_url: base URL; None when not given.
        api_key_var: the environment variable that holds the key; None when not given.
        default_path: the registry to look in when none is named; it need not exist.
        api_client_type: the wire format; None when not given.
        headers: of every request; those of the row that have the same name, in any case, go.
        headers_from_state: of each request, by name the key of the rollout's state.
        any_client_type: somebody may bring clients for formats that are not known here.

    Raises:
        ConfigError: the registry cannot be used.
        SetupError: an id or a provider does not exist, or a setting is not what it must be.
    """
    if model is not None and endpoint_id is not None:
        raise SetupError(
            f"endpoint_id = {endpoint_id!r} and model = {model!r} are both given; "
            "the row of the registry names the model, so give one of them"
        ).of_keys("model", "endpoint_id")
    _check_overrides(api_base_url, api_key_var, None if any_client_type else api_client_type)
    by_name = None if provider is None else _provider(provider)
    registry = load_registry(
        endpoints_path or default_path,
        required=endpoints_path is not None,
        any_client_type=any_client_type,
    )
    row = _row(registry, model, endpoint_id)
    if row is None:
        endpoint = _served_by(
            provider or DEFAULT_PROVIDER,
            by_name or PROVIDERS[DEFAULT_PROVIDER],
            Endpoint(model=model or DEFAULT_MODEL, url="", key_var=None, label=""),
        )
    elif provider is not None and by_name is not None:
        endpoint = _served_by(provider, by_name, row)
    else:
        endpoint = row
    if api_base_url is not None:
        endpoint = _moved(endpoint, api_base_url, keep_key=bool(row or provider))
    if api_key_var is not None:
        key_var = None if api_key_var == NO_KEY else api_key_var
        endpoint = _each(endpoint, lambda e: replace(e, key_var=key_var, key_optional=False))
    if api_client_type is not None:
        endpoint = _each(endpoint, lambda e: replace(e, client_type=api_client_type))
    if headers:
        endpoint = _each(endpoint, lambda e: _with_headers(e, headers))
    if headers_from_state:
        endpoint = _each(endpoint, lambda e: replace(e, headers_from_state=headers_from_state))
    return endpoint


def _each(endpoint: Endpoint, change: Callable[[Endpoint], Endpoint]) -> Endpoint:
    """Return `endpoint` with a change, in each of its replicas too."""
    return replace(change(endpoint), replicas=tuple(map(change, endpoint.replicas)))


def unlisted_model(model: str, endpoints_path: Path | None, default_path: Path) -> str:
    """Say that a model is taken for a model id because no registry lists it; "" when one does.

    Args:
        model: what an eval names, without saying where it is served.
        endpoints_path, default_path: as for `resolve_endpoint`.
    """
    registry = load_registry(endpoints_path or default_path, required=False, any_client_type=True)
    if registry.find(model) is not None:
        return ""
    if not registry.endpoints:
        return f"model {model!r} is taken for a model id: there are no endpoints in {registry.path}"
    return (
        f"model {model!r} is taken for a model id: it is not in {registry.path}"
        f"{did_you_mean(model, registry.endpoints)}"
    )


def _row(registry: Registry, model: str | None, endpoint_id: str | None) -> Endpoint | None:
    """Return the registry's row, None when `model` is a literal model id."""
    if model is not None and not model.strip():
        raise SetupError("model is empty; give a model id or an alias of the registry").of_keys(
            "model"
        )
    row = registry.find(endpoint_id if endpoint_id is not None else model or DEFAULT_MODEL)
    if row is not None or endpoint_id is None:
        return row
    if not registry.endpoints:
        what = "has no endpoints" if registry.path.exists() else "does not exist"
        raise SetupError(
            f"endpoint_id {endpoint_id!r}: the registry {registry.path} {what};"
            " endpoints_path in the eval file names another one"
        ).of_keys("endpoint_id")
    raise SetupError(
        f"endpoint_id {endpoint_id!r} is not in {registry.path}"
        f"{did_you_mean(endpoint_id, registry.endpoints)}"
    ).of_keys("endpoint_id")


def _provider(name: str) -> Provider:
    """Return the provider of that name."""
    if name in PROVIDERS:
        return PROVIDERS[name]
    raise SetupError(
        f"provider {name!r} is not known{did_you_mean(name, PROVIDERS)}; known are "
        f"{', '.join(PROVIDERS)}. For any other server give api_base_url and api_key_var."
    ).of_keys("provider")


def _served_by(name: str, provider: Provider, endpoint: Endpoint) -> Endpoint:
    """Return `endpoint` served by a provider, without the credentials of where it was."""
    return replace(
        endpoint,
        url=provider.url,
        key_var=provider.key_var,
        key_optional=provider.key_optional,
        client_type=provider.client_type,
        headers={k: v for k, v in endpoint.headers.items() if not is_secret_name(k)},
        serve=None,
        price=None,
        replicas=(),
        label=f"provider {name!r}",
    )


def _moved(endpoint: Endpoint, url: str, *, keep_key: bool) -> Endpoint:
    """Return `endpoint` at another URL.

    The default provider's key is for that provider alone: a server that nobody gave a key gets
    none.
    """
    moved = replace(
        endpoint,
        url=url.rstrip("/"),
        serve=None,
        price=None,
        replicas=(),
        label=f"api_base_url {public_url(url.rstrip('/'))!r}",
    )
    is_own = same_server(url, PROVIDERS[DEFAULT_PROVIDER].url)
    return moved if keep_key or is_own else replace(moved, key_var=None)


def _with_headers(endpoint: Endpoint, headers: Mapping[str, str]) -> Endpoint:
    """Return `endpoint` with more headers; a name is the same in capitals."""
    given = {name.lower() for name in headers}
    kept = {name: each for name, each in endpoint.headers.items() if name.lower() not in given}
    return replace(endpoint, headers={**kept, **headers})


def _check_overrides(
    api_base_url: str | None, api_key_var: str | None, api_client_type: str | None
) -> None:
    """Refuse a URL, a variable name or a wire format that cannot be one."""
    if api_client_type is not None and api_client_type not in CLIENT_TYPES:
        raise SetupError(
            f"api_client_type is {api_client_type!r}{did_you_mean(api_client_type, CLIENT_TYPES)};"
            f" it can be {', '.join(CLIENT_TYPES)}"
        ).of_keys("api_client_type")
    if api_base_url is not None:
        problem = url_problem(api_base_url)
        if problem is None and PORT in api_base_url:
            problem = f"must not hold {PORT}, which only an endpoint with serve can fill"
        if problem is not None:
            raise SetupError(f"api_base_url {problem}: {public_url(api_base_url)!r}").of_keys(
                "api_base_url"
            )
    if api_key_var is not None and not is_key_variable(api_key_var):
        raise SetupError(
            "api_key_var must be the name of an environment variable that holds the key, "
            "not the key itself"
        ).of_keys("api_key_var")
