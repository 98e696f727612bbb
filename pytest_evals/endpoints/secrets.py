"""Secrets: values that must not leave the process, and the mask that removes them from text."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from ..secret_names import is_secret_name
from .endpoint import Endpoint

MASK = "***"
# A shorter value would be found in ordinary text.
SHORTEST = 6

_SECRET_QUERY = re.compile(r"key|token|secret|password|auth|sig", re.IGNORECASE)
# Three bytes become four characters, so a value looks different at each of three offsets; of the
# characters it shares with a neighbour this many stand before the first that it alone decides.
_SHARED_BEFORE = (0, 2, 3)
_B64 = "[A-Za-z0-9+/_-]"


class Secrets:
    """The secrets of a session.

    Values may be added from one thread while others mask.
    """

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        # Needles say whether a text needs the pattern: a few substring searches cost a tenth of
        # one pass of the pattern. Both are replaced as one, so that a reader sees a pair.
        self._search: tuple[tuple[str, ...], re.Pattern[str]] = ((), re.compile("(?!)"))

    def add(self, *values: str) -> None:
        """Mask `values` from now on, but those shorter than `SHORTEST`; ends are stripped."""
        stripped = {value.strip() for value in values}
        new = {value for value in stripped if len(value) >= SHORTEST} - self._values
        if not new:
            return
        self._values |= new
        forms: dict[str, str] = {}
        for secret in self._values:
            forms |= _forms(secret)
        # Where one needle holds another, the longer is tried first, so that nothing of it is left.
        longest_first = sorted(forms, key=len, reverse=True)
        pattern = re.compile("|".join(forms[needle] for needle in longest_first))
        self._search = (tuple(longest_first), pattern)

    def mask(self, text: str) -> str:
        """Return `text` with each secret, plain or encoded, replaced by `***`."""
        needles, pattern = self._search
        for needle in needles:
            if needle in text:
                return pattern.sub(MASK, text)
        return text


def secret_headers(headers: Mapping[str, str]) -> list[str]:
    """Return what is secret in `headers`: values, and the parts of them that stand alone."""
    found: list[str] = []
    for name, value in headers.items():
        if not is_secret_name(name):
            continue
        found.append(value)
        if name.lower() == "cookie":
            found += [crumb.partition("=")[2] for crumb in value.split(";")]
        elif " " in value.strip():
            # "Bearer <key>": the key alone is what other texts would hold.
            found.append(value.split()[-1])
    return [value.strip() for value in found if value.strip()]


def secrets_of(endpoint: Endpoint) -> list[str]:
    """Return what is secret in an endpoint besides its key: in its headers and in its URL."""
    found = secret_headers(endpoint.headers)
    found += [unquote(value) for value in found]
    return list(dict.fromkeys([*found, *url_secrets(endpoint.url)]))


def url_secrets(url: str) -> list[str]:
    """Return what is secret in a URL: a password, or a name alone, and values of its query."""
    found: list[str] = []
    parts = urlsplit(url)
    userinfo, at, _ = parts.netloc.rpartition("@")
    if at:
        user, colon, password = userinfo.partition(":")
        found.append(password if colon else user)
    for field in parts.query.split("&"):
        name, _, value = field.partition("=")
        if _SECRET_QUERY.search(name):
            found.append(value)
    found += [unquote(value) for value in found[:]]
    found += [value for name, value in parse_qsl(parts.query) if _SECRET_QUERY.search(name)]
    return list(dict.fromkeys(value for value in found if value))


def _forms(value: str) -> dict[str, str]:
    """Return the texts that give `value` away, each with the pattern that removes it."""
    # Variables of the process may hold bytes that are no UTF-8.
    data = value.encode("utf-8", "surrogatepass")
    plain = {
        value,
        quote(data, safe=""),
        quote(data),
        quote_plus(data),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(value))[3:-3],
        repr(value)[1:-1],
        repr(data)[2:-1],
        html.escape(value),
        html.escape(value, quote=False),
        data.hex(),
        data.hex().upper(),
    }
    plain |= {re.sub("%[0-9A-F]{2}", lambda m: m[0].lower(), text) for text in plain}
    return {text: re.escape(text) for text in plain} | _base64_forms(data)


def _base64_forms(data: bytes) -> dict[str, str]:
    """Return the base64 texts of `data` at each place it can have in a longer one."""
    forms: dict[str, str] = {}
    for offset, before in enumerate(_SHARED_BEFORE):
        bits = 8 * (offset + len(data))
        encoded = base64.b64encode(bytes(offset) + data).decode("ascii")[before : bits // 6]
        shared_after = f"{_B64}?" if bits % 6 else ""
        shared_before = f"{_B64}?" if before else ""
        for text in {encoded, encoded.replace("+", "-").replace("/", "_")}:
            forms[text] = f"{shared_before}{re.escape(text)}{shared_after}"
    return forms
