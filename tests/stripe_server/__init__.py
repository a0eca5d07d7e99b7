"""A stateful HTTP server on loopback that behaves as Stripe's documentation says: see README.md."""

from tests.stripe_server.books import Books, InvoiceBook
from tests.stripe_server.dashboard import Dashboard
from tests.stripe_server.errors import StripeFailure
from tests.stripe_server.events import Delivery, signature
from tests.stripe_server.faults import FAULTS, Faults
from tests.stripe_server.server import StripeServer
from tests.stripe_server.world import API_VERSION

__all__ = [
    "API_VERSION", "FAULTS", "Books", "Dashboard", "Delivery", "Faults", "InvoiceBook", "StripeFailure", "StripeServer",
    "signature",
]  # fmt: skip
