"""The `expand` parameter (https://docs.stripe.com/api/expanding_objects): ids become objects, up to four deep."""

from typing import Any

from tests.stripe_server import shapes
from tests.stripe_server.errors import StripeFailure
from tests.stripe_server.world import Object, World

DEEPEST = 4
# What the routes of a name that write something answer with.
KINDS = {
    "balance_transactions": "customer_balance_transaction",
    "calculations": "tax.calculation",
    "credit_notes": "credit_note",
    "customers": "customer",
    "invoiceitems": "invoiceitem",
    "invoices": "invoice",
    "meter_events": "billing.meter_event",
    "meters": "billing.meter",
    "payment_methods": "payment_method",
    "refunds": "refund",
    "tax_rates": "tax_rate",
    "webhook_endpoints": "webhook_endpoint",
}


def expand(world: World, shown: Object, paths: list[str]) -> Object:
    for path in paths:
        steps = path.split(".")
        if len(steps) - (steps[0] == "data") > DEEPEST:
            raise StripeFailure(
                f"You cannot expand more than {DEEPEST} levels of a property. Property: {path}", param="expand"
            )
        _follow(world, shown, steps, path)
    return shown


def check(resource: str, paths: list[str]) -> None:
    """Refuse before anything is done what has no field of its first name; the rest shows in `expand`."""
    kind = KINDS[resource]
    for path in paths:
        first = path.split(".")[0]
        if first not in shapes.fields_of(shapes.class_of(kind)):
            raise _refuse(path)


def _refuse(path: str) -> StripeFailure:
    return StripeFailure(f"This property cannot be expanded ({path}).", param="expand")


def _follow(world: World, node: Any, steps: list[str], path: str) -> None:
    if not steps or node is None:
        return
    if isinstance(node, list):
        for item in node:
            _follow(world, item, steps, path)
        return
    step, rest = steps[0], steps[1:]
    kind = node.get("object")
    if kind in ("list", "search_result"):
        if step != "data":
            raise _refuse(path)
        _follow(world, node["data"], rest, path)
        return
    if step in shapes.INCLUDABLE.get(kind, ()) and step not in node:
        node[step] = _included(world, node, step)
    known = isinstance(node.get(step), dict | list) or step in shapes.INCLUDABLE.get(kind, ())
    if step not in node or (kind and not known and not shapes.is_expandable(kind, step)):
        raise _refuse(path)
    if isinstance(node[step], str):
        found = world.find(node[step])
        if found is None:
            raise _refuse(path)
        node[step] = world.view(found)
    _follow(world, node[step], rest, path)


def _included(world: World, node: Object, name: str) -> Any:
    if name == "invoice_credit_balance":
        return dict(world.balances[node["id"]])
    entries = [entry for entry in world.all("invoice_payment") if entry["invoice"] == node["id"]]
    if name == "payments":
        return world.page(entries, {}, f"/v1/invoice_payments?invoice={node['id']}")
    return sum(entry["amount_paid"] for entry in entries if entry["payment"]["type"] == "payment_record")
