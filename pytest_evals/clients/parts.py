"""Parts: what the content of a message is made of, read the same way for every wire format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SetupError
from ..messages import text_of


@dataclass(frozen=True, slots=True)
class Data:
    """A file inside a message: its MIME type and its bytes in base64."""

    media_type: str
    base64: str


def data_of(url: str) -> Data | None:
    """Return what a `data:` URL in base64 holds, None for any other URL."""
    head, comma, data = url.partition(",")
    if not comma or not head.lower().startswith("data:"):
        return None
    media_type, *parameters = head[len("data:") :].split(";")
    if "base64" not in [parameter.strip().lower() for parameter in parameters]:
        return None
    return Data(media_type.strip() or "text/plain", data)


def image_url_of(part: Mapping[str, Any], client_type: str) -> str:
    """Return the URL of an `image_url` part.

    Raises:
        SetupError: it has none.
    """
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, Mapping) else image
    if not isinstance(url, str) or not url:
        raise unsendable(client_type, "an image_url part without a url")
    return url


def only_text(message: Mapping[str, Any], client_type: str) -> str:
    """Return the text of a message.

    Raises:
        SetupError: a part of it is not text.
    """
    content = message.get("content")
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, Mapping) or not isinstance(part.get("text"), str):
                raise unsendable(client_type, f"{kind_of(part)} in a {message.get('role')} message")
    return text_of(message)


def objects_of(message: Mapping[str, Any], name: str, client_type: str) -> list[dict[str, Any]]:
    """Return copies of the objects that a field of a message lists, none where it is not there.

    Raises:
        SetupError: it is something else.
    """
    listed = message.get(name) or []
    if not isinstance(listed, list) or not all(isinstance(item, Mapping) for item in listed):
        raise unsendable(client_type, f"{name} like {listed!r:.60}")
    return [dict(item) for item in listed]


def kind_of(part: object) -> str:
    """Say what a part is, for a message."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    return f"a part of type {kind!r}" if isinstance(kind, str) else f"a part like {part!r:.60}"


def unsendable(client_type: str, what: str) -> SetupError:
    """Return the error of a message that a format cannot express."""
    return SetupError(f"{client_type} cannot send {what}")
