"""Headers: what every request to an endpoint says besides its body."""

from __future__ import annotations

from base64 import b64encode
from importlib.metadata import version
from urllib.parse import unquote, urlsplit

from ..endpoints.endpoint import Endpoint
from ..endpoints.keys import NO_KEY

ANTHROPIC_VERSION = "2023-06-01"


def request_headers(endpoint: Endpoint, key: str | None) -> dict[str, str]:
    """Return the headers of requests with a JSON body, their names in small letters.

    The endpoint's own headers replace those of the same name. A user and password in its URL
    replace the key.

    Args:
        endpoint: its `url` and `headers` are used.
        key: the bearer token; None where the server takes none.
    """
    # Servers without keys ignore it; gateways before them may want one.
    bearer = _basic_auth(endpoint.url) or f"Bearer {key or NO_KEY}"
    return _common() | {"authorization": bearer} | _own(endpoint)


def anthropic_headers(endpoint: Endpoint, key: str | None) -> dict[str, str]:
    """Return the headers of requests to Anthropic's API: as `request_headers`, with an `x-api-key`.

    That is left out where an `authorization`, the endpoint's or its URL's, takes its place: the
    server refuses a request with two credentials of which one is not good.
    """
    ours = _common() | {"anthropic-version": ANTHROPIC_VERSION}
    own = _own(endpoint)
    basic = _basic_auth(endpoint.url)
    if basic:
        ours["authorization"] = basic
    elif "authorization" not in own:
        ours["x-api-key"] = key or NO_KEY
    return ours | own


def _common() -> dict[str, str]:
    return {
        "accept": "application/json",
        "content-type": "application/json",
        "user-agent": f"pytest-rollouts/{version('pytest-rollouts')}",
    }


def _own(endpoint: Endpoint) -> dict[str, str]:
    return {name.lower(): value for name, value in endpoint.headers.items()}


def _basic_auth(url: str) -> str:
    """Return what says the user and password in a URL, "" when there are none."""
    userinfo, at, _ = urlsplit(url).netloc.rpartition("@")
    if not at:
        return ""
    user, _, password = userinfo.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}".encode()
    return f"Basic {b64encode(pair).decode()}"
