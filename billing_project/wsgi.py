"""The WSGI entry point: ``granian --interface wsgi billing_project.wsgi:application``."""

import gc
import io
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

from outcomes.wire import MAX_BATCH_BYTES

App = Callable[[dict[str, Any], Any], Iterable[bytes]]

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_project.settings")


def with_unannounced_bodies(app: App) -> App:
    """``app`` with bodies that come without a Content-Length (chunked, or by HTTP/2); Django takes those for empty.

    No endpoint takes a body of more than MAX_BATCH_BYTES. Of a larger one no more is read than shows it, and it is
    announced by a length that every endpoint refuses in its own words.
    """

    def answer(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        unannounced = not environ.get("CONTENT_LENGTH") and environ["REQUEST_METHOD"] in ("POST", "PUT", "PATCH")
        # The server promises that reading ends where the body does; without that it might never end.
        if unannounced and environ.get("wsgi.input_terminated"):
            body = environ["wsgi.input"].read(MAX_BATCH_BYTES + 1)
            environ["wsgi.input"] = io.BytesIO(body)
            environ["CONTENT_LENGTH"] = str(len(body) if len(body) <= MAX_BATCH_BYTES else sys.maxsize)
        return app(environ, start_response)

    return answer


application = with_unannounced_bodies(get_wsgi_application())

from access.checks import refuse_unsafe_production  # noqa: E402 - settings are read by now

refuse_unsafe_production()

# What is loaded stays: the collector need not look at it again. A batch of events is thousands of objects without
# cycles, and at the usual threshold it took a fifth of intake's time to find none.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 20)
