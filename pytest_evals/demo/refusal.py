"""Refusal: why a request gets no completion."""

from __future__ import annotations


class RequestError(Exception):
    """A request that is answered with an error."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param
