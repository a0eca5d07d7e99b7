"""What rating takes and gives: prices, usage, terms of a period, lines. Values only; amounts are exact decimals in
major units of the period's currency, or integers in its minor unit where the name ends in ``_minor``.
"""

from collections.abc import Hashable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple

PER_UNIT: Final = "per_unit"
GRADUATED: Final = "graduated"
VOLUME: Final = "volume"
PACKAGE: Final = "package"
PERCENTAGE: Final = "percentage"
FREE: Final = "free"

RECURRING: Final = "recurring"
ONE_OFF: Final = "one_off"
SEATS: Final = "seats"
FEE_KINDS: Final = (RECURRING, ONE_OFF, SEATS)

ADVANCE: Final = "advance"
ARREARS: Final = "arrears"
TIMINGS: Final = (ADVANCE, ARREARS)

ZERO: Final = Decimal(0)

Dimensions = tuple[tuple[str, str], ...]
"""Dimension values in order of their names; a dimension without a value is left out."""


# --- Prices and what they are for -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier of a graduated or volume price (``unit_price``, ``flat_fee``) or of a percentage (``percent``).

    ``up_to`` is its inclusive upper edge, in units, for a percentage in major units of value; None on the last tier.
    """

    up_to: Decimal | None
    unit_price: Decimal = ZERO
    flat_fee: Decimal = ZERO
    percent: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class Price:
    """One price in force. ``condition`` is whatever names the condition at the caller (a row's id, a slug).

    ``unit_price`` is that of a unit (per_unit) or of a package of ``package_size`` units. ``percent`` 25 means 25 % of
    the outcomes' value, at least ``minimum`` and at most ``maximum`` for each outcome. ``included`` units a period cost
    nothing, or those of the pooled allowance ``pool``. ``period_maximum`` bounds what the price comes to in a period.
    ``match`` are the dimension values it is for, () fits all; an ``override`` stands on the contract and beats every
    price of the card that fits too; a ``trial`` price counts and shows, and charges nothing.
    """

    id: Hashable
    condition: Hashable
    _: KW_ONLY
    model: str = PER_UNIT
    unit_price: Decimal | None = None
    tiers: tuple[Tier, ...] = ()
    package_size: Decimal | None = None
    percent: Decimal | None = None
    minimum: Decimal | None = None
    maximum: Decimal | None = None
    included: Decimal = ZERO
    pool: str = ""
    period_maximum: Decimal | None = None
    match: Dimensions = ()
    override: bool = False
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Quantity of one condition with the same dimension values, over ``outcomes`` outcomes; ``voided`` are those taken
    back inside their window, which are shown and not charged.

    ``value`` is the sum of the outcomes' amounts, for a percentage. Two figures depend on the outcomes one by one and
    come from `draw_pools` and `percentage_of`: ``included``, the units that a pooled allowance covers, and ``charged``,
    what a percentage with bounds comes to, exactly.
    """

    condition: Hashable
    dimensions: Dimensions
    quantity: Decimal
    outcomes: int = 0
    voided: int = 0
    _: KW_ONLY
    value: Decimal = ZERO
    included: Decimal = ZERO
    charged: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """What goes on one line, with the price chosen for it and the contract version in force when it was met."""

    price: Price
    usage: Usage
    version: Hashable = None


# Named tuples: millions of them pass through `take_in_order`.
class Settled(NamedTuple):
    """One outcome of a period, where outcomes count one by one and in order of (``settled_at``, id)."""

    price: Price
    dimensions: Dimensions
    quantity: Decimal
    value: Decimal = ZERO
    version: Hashable = None


class Part(NamedTuple):
    """Names the outcomes that share a line: one price, contract version and set of dimension values."""

    price: Hashable
    dimensions: Dimensions
    version: Hashable = None


# --- Terms of a period ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fee:
    """A base fee. ``amount`` is that of a full period; of a one-off fee the whole of it; of seats that of one seat and
    full period. It stands outside discount, minimum and cap unless it ``counts``. ``timing`` says on which invoice it
    stands, that before or after its period, and changes no amount.
    """

    id: Hashable
    name: str
    kind: str
    amount: Decimal
    _: KW_ONLY
    seats: Decimal = Decimal(1)
    timing: str = ARREARS
    counts: bool = False


@dataclass(frozen=True, slots=True)
class Share:
    """One contract version's part of a billing period: it is in force for ``days`` local calendar days of the period,
    and the full period that its cadence cuts has ``of_days``. A version that priced something in the period and was in
    force earlier only has 0 days.

    Discount amount, minimum, cap and fees are those of a full period. ``pools`` are units by pool. In a ``trial``
    nothing is charged and none of the terms counts.
    """

    version: Hashable
    days: int
    of_days: int
    _: KW_ONLY
    discount_percent: Decimal | None = None
    discount_amount: Decimal | None = None
    minimum: Decimal | None = None
    cap: Decimal | None = None
    fees: tuple[Fee, ...] = ()
    pools: Mapping[str, Decimal] = field(default_factory=dict)
    trial: bool = False


@dataclass(frozen=True, slots=True)
class Commitment:
    """What a customer commits to over several periods of a contract, in major units.

    ``payment`` advance: billed in full in its first period, usage draws it down, the rest expires with it. Arrears:
    usage is billed as it comes, and what is missing at its end is a true-up in its last period.
    """

    id: Hashable
    amount: Decimal
    payment: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """Carried from period to period: by commitment how many minor units it drew (advance) or counted (arrears)."""

    minor: Mapping[Hashable, int] = field(default_factory=dict)


# --- Lines ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """One product of a line's arithmetic, exact and in major units: ``quantity`` x ``unit_price`` = ``amount``.

    ``kind`` says of what: "units", "included" and "pooled" (units at no charge), "flat_fee" (of a tier reached),
    "packages", "percent" (``quantity`` is a value, ``unit_price`` a percent), "bounds" (what minimum and maximum per
    outcome add or take, ``quantity`` and ``unit_price`` 0), "days" (``quantity`` of ``of`` days, ``amount`` rounded),
    "seats". ``up_to`` is the upper edge of the tier it belongs to.
    """

    quantity: Decimal
    unit_price: Decimal
    amount: Decimal
    kind: str = "units"
    up_to: Decimal | None = None
    of: int | None = None


USAGE: Final = "usage"
FEE: Final = "fee"
DISCOUNT: Final = "discount"
MAXIMUM: Final = "maximum"
MINIMUM: Final = "minimum"
CAP: Final = "cap"
COMMITMENT: Final = "commitment"
DRAWDOWN: Final = "drawdown"
TRUE_UP: Final = "true_up"
LINE_KINDS: Final = (USAGE, FEE, DISCOUNT, MAXIMUM, MINIMUM, CAP, COMMITMENT, DRAWDOWN, TRUE_UP)


@dataclass(frozen=True, slots=True)
class Line:
    """A rated line: its amount in minor units and the steps that lead to it.

    Where ``shared``, the steps are those of the price over all its lines in the period and come to ``price_minor``, of
    which this line has its part by largest remainder. Usage lines have ``price`` and ``usage``, maximum lines
    ``price``, fee lines ``fee``, those of a commitment ``commitment``. ``facts`` are further figures by name, such as
    the minimum and what was reached, for who words the line.
    """

    kind: str
    amount_minor: int
    _: KW_ONLY
    price: Price | None = None
    usage: Usage | None = None
    version: Hashable = None
    steps: tuple[Step, ...] = ()
    shared: bool = False
    price_minor: int | None = None
    fee: Fee | None = None
    commitment: Commitment | None = None
    facts: Mapping[str, int | Decimal | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rated:
    """``lines`` in a stable order, the usage for which no price was found, the sum of the lines, and the commitments'
    state after the period.
    """

    lines: tuple[Line, ...] = ()
    unpriced: tuple[Usage, ...] = ()
    total_minor: int = 0
    drawn: Drawn = field(default_factory=Drawn)
