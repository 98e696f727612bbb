"""Target: where requests go, as error messages name and quote it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..endpoints.endpoint import Endpoint
from ..endpoints.secrets import Secrets, secrets_of
from ..endpoints.urls import public_url
from ..secret_names import is_secret_name
from ..visible import visible


@dataclass(frozen=True, slots=True)
class Target:
    """An endpoint in messages.

    Attributes:
        url: without anything secret.
        timeout: seconds a reply may take.
        secrets: kept out of quotes.
        has_key: whether requests carry a key, or a header that may be one.
    """

    url: str
    timeout: float
    secrets: Secrets = field(default_factory=Secrets, repr=False)
    has_key: bool = True

    def quote(self, text: str, limit: int) -> str:
        """Return what the server said: one line, no control characters, at most `limit` long."""
        # Masked before it is cut, or half a key could be left at the end. A server can send
        # megabytes, of which this looks at a little more than it shows.
        masked = self.secrets.mask(text[: 8 * limit])
        line = visible(" ".join(masked.split())[: limit + 1])
        return line if len(line) <= limit else line[: limit - 1] + "…"


def target_of(endpoint: Endpoint, key: str | None, timeout: float) -> Target:
    """Return the target that messages about `endpoint` use."""
    secrets = Secrets()
    for secret in [key or "", *secrets_of(endpoint)]:
        secrets.add(secret)
    has_key = key is not None or any(map(is_secret_name, endpoint.headers))
    return Target(public_url(endpoint.url), timeout, secrets, has_key)
