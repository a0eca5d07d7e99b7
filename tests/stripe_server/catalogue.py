"""Tax rates, meters and their events, and the account itself."""

from typing import Any

from tests.stripe_server import shapes
from tests.stripe_server.errors import StripeFailure
from tests.stripe_server.params import check_length, merged_metadata
from tests.stripe_server.routing import route
from tests.stripe_server.world import Object, World

DAY = 86_400
_RATE = "active country description display_name jurisdiction metadata state tax_type"


@route("POST", "/v1/tax_rates", "tax_rates.create", "TaxRateCreateParams", _RATE + " inclusive percentage")
def create_tax_rate(world: World, params: dict[str, Any]) -> Object:
    percentage = params["percentage"]
    if not 0 <= percentage <= 100 or -percentage.as_tuple().exponent > 4:
        raise StripeFailure("Invalid percentage: between 0 and 100, with up to 4 decimal places.", param="percentage")
    check_length(params["display_name"], 50, "display_name")
    plain = {name: params.get(name) or None for name in ("country", "description", "jurisdiction", "state", "tax_type")}
    rate = world.add(
        "tax_rate",
        "txr",
        **plain,
        active=params.get("active", True),
        display_name=params["display_name"],
        inclusive=params["inclusive"],
        metadata=merged_metadata({}, params.get("metadata")),
        percentage=float(percentage),
        rate_type="percentage",
    )
    world.emit("tax_rate.created", rate)
    return rate


@route("POST", "/v1/tax_rates/{id}", "tax_rates.update", "TaxRateUpdateParams", _RATE)
def update_tax_rate(world: World, params: dict[str, Any], id: str) -> Object:
    """Percentage and inclusive cannot be changed: the parameters do not exist."""
    rate = world.get("tax_rate", id)
    metadata = merged_metadata(rate["metadata"], params.get("metadata"))
    with world.updating(rate, "tax_rate.updated"):
        rate.update({name: value if value != "" else None for name, value in params.items()}, metadata=metadata)
    return rate


def rates_named(world: World, ids: Any, param: str) -> list[Object]:
    """Tax rates by id; at most five on a line or an invoice (https://docs.stripe.com/invoicing/taxes/tax-rates)."""
    rates = [world.get("tax_rate", id, f"{param}[{n}]") for n, id in enumerate(ids or [])]
    if len(rates) > 5:
        raise StripeFailure("You can add up to five tax rates.", param=param)
    for rate in rates:
        if not rate["active"]:
            raise StripeFailure(f"The tax rate {rate['id']} is inactive and can't be added.", param=param)
    return rates


@route(
    "POST",
    "/v1/billing/meters",
    "meters.create",
    "billing.MeterCreateParams",
    "customer_mapping default_aggregation display_name event_name event_time_window value_settings",
)
def create_meter(world: World, params: dict[str, Any]) -> Object:
    check_length(params["event_name"], 100, "event_name")
    for meter in world.all("billing.meter"):
        if meter["event_name"] == params["event_name"] and meter["status"] == "active":
            raise StripeFailure(
                f"An active meter with event_name {params['event_name']} already exists.",
                code="resource_already_exists",
                param="event_name",
            )
    made = world.add(
        "billing.meter",
        "mtr",
        customer_mapping=params.get("customer_mapping", {"event_payload_key": "stripe_customer_id", "type": "by_id"}),
        default_aggregation=params["default_aggregation"],
        display_name=params["display_name"],
        event_name=params["event_name"],
        event_time_window=params.get("event_time_window"),
        status="active",
        status_transitions={"deactivated_at": None},
        updated=world.clock.now(),
        value_settings=params.get("value_settings", {"event_payload_key": "value"}),
    )
    world.emit("billing.meter.created", made)
    return made


@route(
    "POST",
    "/v1/billing/meter_events",
    "meter_events.create",
    "billing.MeterEventCreateParams",
    "event_name identifier payload timestamp",
)
def create_meter_event(world: World, params: dict[str, Any]) -> Object:
    """Identifiers are unique "within a rolling period of at least 24 hours". What the payload names is looked at later
    at Stripe, and here by the books: an event of an unknown meter or customer is taken, and counts for nobody.
    """
    now = world.clock.now()
    timestamp = params.get("timestamp", now)
    identifier = params.get("identifier") or world.new_id("req")
    check_length(identifier, 100, "identifier")
    check_length(params["event_name"], 100, "event_name")
    if timestamp < now - 35 * DAY or timestamp > now + 300:
        raise StripeFailure(
            "The timestamp must be within the past 35 calendar days or up to 5 minutes in the future.",
            code="timestamp_too_far_in_past" if timestamp < now else "timestamp_in_future",
            param="timestamp",
        )
    for event in reversed(world.by_kind["billing.meter_event"].values()):
        if event["created"] <= now - DAY:
            break
        if event["identifier"] == identifier:
            raise StripeFailure(f"An event already exists with identifier {identifier}.", param="identifier")
    made = {
        "object": "billing.meter_event",
        "created": now,
        "event_name": params["event_name"],
        "identifier": identifier,
        "livemode": world.livemode,
        "payload": params["payload"],
        "timestamp": timestamp,
    }
    world.by_kind["billing.meter_event"][world.new_id("me")] = made
    return made


@route("GET", "/v1/account", "account.retrieve", "AccountRetrieveParams")
def retrieve_account(world: World, params: dict[str, Any]) -> Object:
    return account(world)


@route("GET", "/v1/accounts/{id}", "accounts.retrieve", "AccountRetrieveParams")
def retrieve_own_account(world: World, params: dict[str, Any], id: str) -> Object:
    if id != world.account:
        raise StripeFailure(
            f"The provided key does not have access to account '{id}' (or that account does not exist).",
            status=403,
            code="account_invalid",
        )
    return account(world)


def account(world: World) -> Object:
    name = "Holdfast test account"
    return {
        "id": world.account,
        "object": "account",
        "business_profile": shapes.part("account", "business_profile", {"name": name}),
        "business_type": "company",
        "charges_enabled": True,
        "country": "US",
        "created": 1_700_000_000,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "site@example.com",
        "metadata": {},
        "payouts_enabled": True,
        "type": "standard",
    }
