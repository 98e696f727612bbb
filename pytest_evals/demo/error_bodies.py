"""Bodies of errors, as each provider writes them."""

from __future__ import annotations

from typing import Any

from .refusal import RequestError

_ANTHROPIC = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def error_body(error: RequestError, *, is_anthropic: bool) -> dict[str, Any]:
    """Return the body that says why a request gets no answer."""
    if is_anthropic:
        kind = "api_error" if error.status >= 500 else "invalid_request_error"
        said = {"type": _ANTHROPIC.get(error.status, kind), "message": str(error)}
        return {"type": "error", "error": said, "request_id": "req_demo"}
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    inner = {
        "message": str(error),
        "type": "rate_limit_error" if error.status == 429 else kind,
        "param": error.param,
        "code": error.code,
    }
    return {"error": inner}
