"""Base URLs of endpoints: whether one is usable, where it leads, how it is shown."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

PORT = "{port}"


def url_problem(url: str) -> str | None:
    """Say what is wrong with a base URL, or None; the text never holds the URL itself."""
    if any(char.isspace() or not char.isprintable() for char in url):
        return "holds white space or control characters"
    parts = _split(url)
    if parts is None:
        return "is not a URL"
    if parts.scheme not in ("http", "https"):
        return "must begin with http:// or https://"
    if not parts.hostname:
        return "names no host"
    if parts.fragment:
        return "must not have a #fragment"
    return None


def is_loopback(url: str) -> bool:
    """Whether a usable URL leads to this machine; 0.0.0.0 does too, as servers print it."""
    parts = _split(url)
    host = (parts.hostname or "") if parts else ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def same_server(url: str, other: str) -> bool:
    """Whether two URLs lead to one host and port in the same way, as https and http do not."""
    return _server(url) == _server(other) is not None


def public_url(url: str) -> str:
    """Return the URL without what may be secret: user, password and query."""
    parts = _split(url)
    if parts is None:
        return "<not a URL>"
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if parts.scheme else f"{host}{parts.path}"


def _server(url: str) -> tuple[str, str | None, int | None] | None:
    parts = _split(url)
    if parts is None or PORT in url:
        return None
    default = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or default


def _split(url: str) -> SplitResult | None:
    """Return the parts, None when the URL cannot be read; a `{port}` still stands in it."""
    try:
        parts = urlsplit(url)
        # The port is checked only when it is read.
        _ = urlsplit(url.replace(PORT, "1")).port
    except ValueError:
        return None
    return parts
