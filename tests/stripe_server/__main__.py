"""`python -m tests.stripe_server`: Stripe to try Holdfast against, without an account."""

import argparse
import secrets
import threading

from tests.stripe_server import StripeServer
from tests.stripe_server.faults import AT_RANDOM


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.stripe_server", description=__doc__)
    parser.add_argument("--port", type=int, default=12111)
    parser.add_argument("--webhook", metavar="URL", help="deliver every event to this address, signed")
    parser.add_argument("--secret", default="whsec_holdfast", help="of the webhook (default: %(default)s)")
    parser.add_argument(
        "--faults", type=float, default=0.0, metavar="RATE", help="share of requests that suffer a fault"
    )
    parser.add_argument("--seed", type=int, default=0, help="by which the faults are drawn")
    parser.add_argument("--rate-limit", type=int, metavar="N", help="requests a second of one key")
    options = parser.parse_args()
    ids = secrets.randbits(64)  # a client may still know those of an earlier run
    with StripeServer(port=options.port, seed=ids, rate_limit=options.rate_limit) as stripe:
        if options.faults:
            stripe.faults.at_random(options.faults, options.seed)
        if options.webhook:
            stripe.dashboard().add_endpoint(options.webhook, options.secret)
            stripe.deliver_in_background()
        print(f"Stripe, as its documentation says, on {stripe.url} (test key {stripe.key}, account {stripe.account}).")
        print(
            "Customers, invoices, credit notes, payments, meters and events live in memory and end with this process."
        )
        print("Each finalised invoice has a page, its hosted_invoice_url: one button pays, one is declined.")
        if options.webhook:
            print(f"Events go to {options.webhook}, signed with {options.secret}.")
        if options.faults:
            print(f"{options.faults:.0%} of the requests suffer one of: {', '.join(AT_RANDOM)}.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("\nEnded.")


if __name__ == "__main__":
    main()
