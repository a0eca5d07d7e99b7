"""What the API answers in place of an object (https://docs.stripe.com/api/errors)."""

from typing import Any


class StripeFailure(Exception):
    """`status` is the HTTP status; the rest are the fields of the answer's `error`. `headers` go with the answer."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers or {}
        self.error: dict[str, Any] = {"type": type, "message": message}
        if code is not None:
            self.error["code"] = code
            self.error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param is not None:
            self.error["param"] = param
        self.error.update(more)

    @property
    def body(self) -> dict[str, Any]:
        return {"error": self.error}


def missing(param: str) -> StripeFailure:
    return StripeFailure(f"Missing required param: {param}.", code="parameter_missing", param=param)


def no_such(kind: str, id: str, param: str | None = None) -> StripeFailure:
    """An object that is not there: 404 where the path names it (`param` None or "id"), 400 where a parameter does."""
    status = 404 if param in (None, "id") else 400
    return StripeFailure(f"No such {kind}: '{id}'", status=status, code="resource_missing", param=param or "id")


def not_covered(what: str) -> StripeFailure:
    """Stripe takes it, this server does not: said loudly, since passing over a parameter would be a wrong answer."""
    return StripeFailure(f"tests.stripe_server does not cover {what}", status=501, type="api_error", code="not_covered")
