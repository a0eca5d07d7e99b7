"""Where Stripe sends its webhooks: ``POST /stripe/webhooks``. No session, no API key: the signature is the proof."""

import structlog
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt

from access.errors import ApiError, from_exception, plain_response
from access.parsers import check_body_headers
from access.renderers import dumps
from payments import receiving

log = structlog.get_logger(__name__)


@csrf_exempt
def webhook(request: HttpRequest) -> HttpResponse:
    """200 once the event is stored, also where it was before. 400 or 413 in our error shape for whatever is not right:
    Stripe then sends it again, for three days.
    """
    if request.method != "POST":
        message = f'Method "{request.method}" not allowed. The header Allow lists the methods of this path.'
        return plain_response(ApiError(405, "method_not_allowed", message, headers={"Allow": "POST"}))
    try:
        check_body_headers(request, receiving.MAX_BYTES)
        # One byte more than allowed tells "too large" without reading the rest.
        body = request.read(receiving.MAX_BYTES + 1)
        new = receiving.take(body, request.headers.get("Stripe-Signature", ""), now=timezone.now())
    except Exception as problem:
        error = from_exception(problem)
        if error is None:
            raise
        log.warning("stripe_webhook_refused", status=error.status_code, code=error.code)
        return plain_response(error)
    return HttpResponse(
        dumps({"received": True, "new": new}), content_type="application/json", headers={"Cache-Control": "no-store"}
    )
