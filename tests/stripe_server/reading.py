"""The routes that only read, and read in one way: retrieve, list, search, and the lines of a document."""

from typing import Any

from tests.stripe_server.routing import filtered, route
from tests.stripe_server.searching import search
from tests.stripe_server.world import Object, World

# Path after /v1/: (kind of the objects, parameter types of retrieve and of list, or None where a module has its own,
# and the parameters that filter the list).
READ = {
    "billing/meters": ("billing.meter", None, "billing.MeterListParams", "status"),
    "charges": ("charge", "ChargeRetrieveParams", "ChargeListParams", "created customer payment_intent"),
    "credit_notes": ("credit_note", "CreditNoteRetrieveParams", "CreditNoteListParams", "created customer invoice"),
    "customers": ("customer", None, "CustomerListParams", "created email"),
    "invoiceitems": ("invoiceitem", "InvoiceItemRetrieveParams", None, ""),
    "invoices": (
        *("invoice", "InvoiceRetrieveParams", "InvoiceListParams"),
        "collection_method created customer due_date status",
    ),
    "payment_intents": ("payment_intent", "PaymentIntentRetrieveParams", None, ""),
    "payment_methods": ("payment_method", "PaymentMethodRetrieveParams", None, ""),
    "refunds": ("refund", "RefundRetrieveParams", "RefundListParams", "charge created payment_intent"),
    "tax_rates": ("tax_rate", "TaxRateRetrieveParams", "TaxRateListParams", "active created inclusive"),
    "webhook_endpoints": ("webhook_endpoint", "WebhookEndpointRetrieveParams", "WebhookEndpointListParams", ""),
}
SEARCHED = {"customers": ("customer", "CustomerSearchParams"), "invoices": ("invoice", "InvoiceSearchParams")}
WITH_LINES = {
    "invoices": ("invoice", "InvoiceLineItemListParams"),
    "credit_notes": ("credit_note", "CreditNoteLineItemListParams"),
}


def _register(path: str, kind: str, retrieved: str | None, listed: str | None, filters: str) -> None:
    name = path.split("/")[-1]
    if retrieved is not None:

        @route("GET", f"/v1/{path}/{{id}}", f"{name}.retrieve", retrieved)
        def retrieve(world: World, params: dict[str, Any], id: str) -> Object:
            return world.get(kind, id)

    if listed is not None:

        @route("GET", f"/v1/{path}", f"{name}.list", listed, filters)
        def list_(world: World, params: dict[str, Any]) -> Object:
            return world.page(filtered(world.all(kind), params, *filters.split()), params, f"/v1/{path}")


def _register_search(path: str, kind: str, type_name: str) -> None:
    @route("GET", f"/v1/{path}/search", f"{path}.search", type_name, "query page")
    def found(world: World, params: dict[str, Any]) -> Object:
        return search(world, kind, params, f"/v1/{path}/search")


def _register_lines(path: str, kind: str, type_name: str) -> None:
    @route("GET", f"/v1/{path}/{{id}}/lines", f"{path}.lines", type_name)
    def lines(world: World, params: dict[str, Any], id: str) -> Object:
        world.get(kind, id)
        return world.page(world.lines[id], params, f"/v1/{path}/{id}/lines")


for _path, _entry in READ.items():
    _register(_path, *_entry)
for _path, _searched in SEARCHED.items():
    _register_search(_path, *_searched)
for _path, _lined in WITH_LINES.items():
    _register_lines(_path, *_lined)
