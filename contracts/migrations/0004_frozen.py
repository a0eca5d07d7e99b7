"""Agreed terms never change: the database stands behind the code.

Versions and prices are never updated or deleted, and a price joins its home in the transaction that makes the home, so
that a rate card or a contract in use cannot be added to either. A contract may only be given another end. Contracts,
their rate cards and all versions of those are in one currency.
"""

from django.db import migrations

VERSIONS = (
    "contracts_conditionversion",
    "contracts_conditioncustomer",
    "contracts_ratecardversion",
    "contracts_contractversion",
    "contracts_price",
)
# With the columns that may change.
PARENTS: dict[str, tuple[str, ...]] = {
    "contracts_condition": ("limited",),
    "contracts_ratecard": (),
    "contracts_contract": ("ends_at",),
}

FUNCTIONS = """
CREATE FUNCTION contracts_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% holds agreed terms, which never change: make a further version', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

-- The arguments are the columns that may change.
CREATE FUNCTION contracts_refuse_other_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    free constant text[] := coalesce(TG_ARGV[:], ARRAY[]::text[]);
BEGIN
    IF TG_OP = 'DELETE' OR to_jsonb(NEW) - free IS DISTINCT FROM to_jsonb(OLD) - free THEN
        RAISE EXCEPTION '% holds agreed terms, which never change', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION contracts_limit_first() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM contracts_conditionversion v WHERE v.condition_id = NEW.id) THEN
        RAISE EXCEPTION 'condition %: whether it is for named customers alone is said when it is made', NEW.slug
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

-- Whether a row with this xmin, which the caller sees, was written by the running transaction (or a savepoint of it).
CREATE FUNCTION contracts_written_here(made xid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    epoch constant bigint := 4294967296;
    here constant bigint := pg_current_xact_id()::text::bigint;
    full_id bigint := here / epoch * epoch + made::text::bigint;
BEGIN
    IF full_id > here + epoch / 2 THEN
        full_id := full_id - epoch;
    ELSIF full_id < here - epoch / 2 THEN
        full_id := full_id + epoch;
    END IF;
    RETURN coalesce(pg_xact_status(full_id::text::xid8) = 'in progress', false);
EXCEPTION WHEN invalid_parameter_value THEN  -- of a transaction long past
    RETURN false;
END $$;

CREATE FUNCTION contracts_price_joins_new_home() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A home that is not seen is being made by another transaction: that is not this one's either.
    IF EXISTS (
        SELECT FROM (SELECT DISTINCT rate_card_version_id AS id FROM added) home
        LEFT JOIN contracts_ratecardversion v ON v.id = home.id
        WHERE home.id IS NOT NULL AND (v.id IS NULL OR NOT contracts_written_here(v.xmin))
    ) OR EXISTS (
        SELECT FROM (SELECT DISTINCT contract_version_id AS id FROM added) home
        LEFT JOIN contracts_contractversion v ON v.id = home.id
        WHERE home.id IS NOT NULL AND (v.id IS NULL OR NOT contracts_written_here(v.xmin))
    ) THEN
        RAISE EXCEPTION 'the prices of a version in use never change: make a further version'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION contracts_card_in_one_currency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM contracts_ratecardversion v WHERE v.rate_card_id = NEW.rate_card_id AND v.currency <> NEW.currency
    ) OR EXISTS (
        SELECT FROM contracts_contractversion v JOIN contracts_contract c ON c.id = v.contract_id
        WHERE v.rate_card_id = NEW.rate_card_id AND c.currency <> NEW.currency
    ) THEN
        RAISE EXCEPTION 'the rate card, or a contract on it, is in another currency than %', NEW.currency
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION contracts_contract_in_one_currency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM contracts_ratecardversion v JOIN contracts_contract c ON c.id = NEW.contract_id
        WHERE v.rate_card_id = NEW.rate_card_id AND v.currency <> c.currency
    ) THEN
        RAISE EXCEPTION 'the rate card is in another currency than the contract' USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
"""

TRIGGERS = """
CREATE TRIGGER limited_when_made BEFORE UPDATE OF limited ON contracts_condition
    FOR EACH ROW WHEN (OLD.limited IS DISTINCT FROM NEW.limited) EXECUTE FUNCTION contracts_limit_first();
CREATE TRIGGER price_joins_new_home AFTER INSERT ON contracts_price
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION contracts_price_joins_new_home();
CREATE TRIGGER one_currency BEFORE INSERT ON contracts_ratecardversion
    FOR EACH ROW EXECUTE FUNCTION contracts_card_in_one_currency();
CREATE TRIGGER one_currency BEFORE INSERT ON contracts_contractversion
    FOR EACH ROW EXECUTE FUNCTION contracts_contract_in_one_currency();
"""


def _up() -> str:
    statements = [FUNCTIONS, TRIGGERS]
    for table in VERSIONS:
        statements.append(
            f"CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON {table}"
            " FOR EACH ROW EXECUTE FUNCTION contracts_refuse_change();"
        )
    for table, free in PARENTS.items():
        arguments = ", ".join(f"'{column}'" for column in free)
        statements.append(
            f"CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON {table}"
            f" FOR EACH ROW EXECUTE FUNCTION contracts_refuse_other_change({arguments});"
        )
    for table in (*VERSIONS, *PARENTS):
        statements.append(
            f"CREATE TRIGGER never_emptied BEFORE TRUNCATE ON {table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION contracts_refuse_change();"
        )
    return "\n".join(statements)


def _down() -> str:
    triggers = [
        ("limited_when_made", "contracts_condition"),
        ("price_joins_new_home", "contracts_price"),
        ("one_currency", "contracts_ratecardversion"),
        ("one_currency", "contracts_contractversion"),
        *((name, table) for name in ("never_changes", "never_emptied") for table in (*VERSIONS, *PARENTS)),
    ]
    functions = (
        "contracts_refuse_change()",
        "contracts_refuse_other_change()",
        "contracts_limit_first()",
        "contracts_price_joins_new_home()",
        "contracts_written_here(xid)",
        "contracts_card_in_one_currency()",
        "contracts_contract_in_one_currency()",
    )
    return "\n".join(
        [f"DROP TRIGGER {name} ON {table};" for name, table in triggers] + [f"DROP FUNCTION {f};" for f in functions]
    )


class Migration(migrations.Migration):
    dependencies = [("contracts", "0003_pins_and_limits")]

    operations = [migrations.RunSQL(_up(), _down())]
