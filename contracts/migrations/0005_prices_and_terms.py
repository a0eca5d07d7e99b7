"""Price models, and the money terms of contracts: discount, minimum, cap, fees, pools, commitments, trials.

Every price and contract version that exists stays as it is: prices per unit, and no further terms.
"""

import django.db.models.deletion
from django.db import migrations, models

# What the column of a price may hold: [] without tiers; else edges that ascend, none but the last open, the last always,
# and the amounts of the model. Everything is exact decimal text.
FUNCTIONS = r"""
CREATE FUNCTION contracts_tiers_hold(tiers jsonb, model text) RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    exact constant text := '^(0|[1-9][0-9]{0,14})([.][0-9]{1,12})?$';
    amounts constant text[] :=
        CASE WHEN model = 'percentage' THEN ARRAY['percent'] ELSE ARRAY['unit_price', 'flat_fee'] END;
    tier jsonb;
    field record;
    lower numeric := 0;
    last integer;
BEGIN
    IF jsonb_typeof(tiers) IS DISTINCT FROM 'array' THEN
        RETURN false;
    END IF;
    last := jsonb_array_length(tiers) - 1;
    FOR place IN 0 .. last LOOP
        tier := tiers -> place;
        IF jsonb_typeof(tier) <> 'object' THEN
            RETURN false;
        ELSIF NOT tier ? 'up_to' OR NOT tier ?| amounts OR tier - amounts - 'up_to' <> '{}' THEN
            RETURN false;
        ELSIF (tier -> 'up_to' = 'null') <> (place = last) THEN
            RETURN false;
        END IF;
        FOR field IN SELECT key, value, value #>> '{}' AS plain FROM jsonb_each(tier) WHERE value <> 'null' LOOP
            IF jsonb_typeof(field.value) <> 'string' OR field.plain !~ exact THEN
                RETURN false;
            ELSIF field.key = 'percent' AND field.plain::numeric > 1000 THEN
                RETURN false;
            ELSIF field.key = 'up_to' THEN
                IF field.plain::numeric <= lower THEN
                    RETURN false;
                END IF;
                lower := field.plain::numeric;
            END IF;
        END LOOP;
        IF EXISTS (SELECT FROM unnest(amounts) AS amount WHERE tier -> amount = 'null') THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;

CREATE FUNCTION contracts_pools_hold(pools jsonb) RETURNS boolean LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    pool record;
BEGIN
    IF jsonb_typeof(pools) IS DISTINCT FROM 'object' THEN
        RETURN false;
    END IF;
    FOR pool IN SELECT key, value, value #>> '{}' AS units FROM jsonb_each(pools) LOOP
        IF pool.key = '' OR jsonb_typeof(pool.value) <> 'string'
           OR pool.units !~ '^(0|[1-9][0-9]{0,14})([.][0-9]{1,12})?$' THEN
            RETURN false;
        ELSIF pool.units::numeric <= 0 THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;
"""
NO_FUNCTIONS = """
DROP FUNCTION contracts_pools_hold(jsonb);
DROP FUNCTION contracts_tiers_hold(jsonb, text);
"""


# Fees and commitments are agreed terms, too: they never change, and join their version in the transaction that makes it.
TABLES = ("contracts_fee", "contracts_commitment")
FREEZE = """
CREATE FUNCTION contracts_term_joins_new_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM contracts_contractversion v
        WHERE v.id IN (SELECT DISTINCT contract_version_id FROM added) AND NOT contracts_written_here(v.xmin)
    ) THEN
        RAISE EXCEPTION 'the terms of a version in use never change: make a further version'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NULL;
END $$;
""" + "\n".join(
    f"""
CREATE TRIGGER never_changes BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION contracts_refuse_change();
CREATE TRIGGER never_emptied BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION contracts_refuse_change();
CREATE TRIGGER joins_new_version AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION contracts_term_joins_new_version();
"""
    for table in TABLES
)
THAW = "\n".join(
    f"DROP TRIGGER {name} ON {table};"
    for table in TABLES
    for name in ("never_changes", "never_emptied", "joins_new_version")
) + "\nDROP FUNCTION contracts_term_joins_new_version();"


class Migration(migrations.Migration):

    dependencies = [
        ('contracts', '0004_frozen'),
    ]

    operations = [
        migrations.RunSQL(FUNCTIONS, NO_FUNCTIONS),
        migrations.CreateModel(
            name='Commitment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('amount', models.DecimalField(decimal_places=12, help_text='In major units.', max_digits=30)),
                ('payment', models.CharField(choices=[('advance', 'In advance'), ('arrears', 'In arrears')], max_length=16)),
                ('starts_at', models.DateTimeField()),
                ('ends_at', models.DateTimeField(blank=True, null=True)),
            ],
            options={
                'ordering': ['contract_version', 'id'],
            },
        ),
        migrations.CreateModel(
            name='Fee',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(help_text='What the customer reads on the line.', max_length=255)),
                ('kind', models.CharField(choices=[('recurring', 'Recurring'), ('one_off', 'One-off'), ('seats', 'Seats')], max_length=16)),
                ('amount', models.DecimalField(decimal_places=12, help_text='In major units.', max_digits=30)),
                ('seats', models.DecimalField(blank=True, decimal_places=12, help_text='How many seats are billed.', max_digits=30, null=True)),
                ('timing', models.CharField(choices=[('advance', 'In advance'), ('arrears', 'In arrears')], default='arrears', max_length=16)),
                ('counts', models.BooleanField(default=False, help_text='Counts towards discount, minimum and cap.')),
            ],
            options={
                'ordering': ['contract_version', 'id'],
            },
        ),
        migrations.RemoveConstraint(
            model_name='price',
            name='price_is_a_sane_amount',
        ),
        migrations.AddField(
            model_name='contractversion',
            name='cap',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='A full period comes to at most so much, in major units.', max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='contractversion',
            name='discount_amount',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='Off a full period, in major units.', max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='contractversion',
            name='discount_percent',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='Off what a period comes to: 10 means 10 %.', max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='contractversion',
            name='minimum',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='A full period comes to at least so much, in major units.', max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='contractversion',
            name='pools',
            field=models.JSONField(blank=True, default=dict, help_text='Pooled allowances: name -> units a period, as exact decimal text.'),
        ),
        migrations.AddField(
            model_name='contractversion',
            name='trial',
            field=models.BooleanField(default=False, help_text='What is met is counted and shown, and charged nothing.'),
        ),
        migrations.AddField(
            model_name='price',
            name='included',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='Units a period at no charge.', max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='price',
            name='maximum',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='Of a percentage: each outcome costs at most so much.', max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='price',
            name='minimum',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='Of a percentage: each outcome costs at least so much.', max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='price',
            name='package_size',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='Units in a package.', max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='price',
            name='percent',
            field=models.DecimalField(blank=True, decimal_places=12, help_text="25 means 25 % of an outcome's amount.", max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='price',
            name='period_maximum',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='The price comes to at most so much a period.', max_digits=30, null=True),
        ),
        migrations.AddField(
            model_name='price',
            name='pool',
            field=models.CharField(blank=True, default='', help_text="Name of the contract's pooled allowance it draws on.", max_length=64),
        ),
        migrations.AddField(
            model_name='price',
            name='tiers',
            field=models.JSONField(blank=True, default=list),
        ),
        migrations.AlterField(
            model_name='price',
            name='model',
            field=models.CharField(choices=[('per_unit', 'Per unit'), ('graduated', 'Graduated: the units of each tier at its price'), ('volume', 'Volume: all units at the price of the tier they reach'), ('package', 'Package'), ('percentage', "Percentage of the outcome's amount"), ('free', 'Free')], max_length=16),
        ),
        migrations.AlterField(
            model_name='price',
            name='unit_price',
            field=models.DecimalField(blank=True, decimal_places=12, help_text='Per billable unit, or per package.', max_digits=30, null=True),
        ),
        migrations.AddConstraint(
            model_name='contractversion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('discount_percent__isnull', True), ('discount_amount__isnull', True), _connector='OR'), models.Q(('discount_percent__isnull', True), models.Q(('discount_percent__gt', 0), ('discount_percent__lte', 100)), _connector='OR'), models.Q(('discount_amount__isnull', True), models.Q(('discount_amount__gt', 0), ('discount_amount__lt', 1000000000000000)), _connector='OR')), name='contract_discount_is_one_and_sane'),
        ),
        migrations.AddConstraint(
            model_name='contractversion',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('minimum__isnull', True), models.Q(('minimum__gt', 0), ('minimum__lt', 1000000000000000)), _connector='OR'), models.Q(('cap__isnull', True), models.Q(('cap__gte', 0), ('cap__lt', 1000000000000000)), _connector='OR')), name='contract_minimum_and_cap_are_sane'),
        ),
        migrations.AddConstraint(
            model_name='contractversion',
            constraint=models.CheckConstraint(condition=models.Q(('minimum__isnull', True), ('cap__isnull', True), ('minimum__lte', models.F('cap')), _connector='OR'), name='contract_minimum_is_not_above_cap'),
        ),
        migrations.AddConstraint(
            model_name='contractversion',
            constraint=models.CheckConstraint(condition=models.Func('pools', function='contracts_pools_hold', output_field=models.BooleanField()), name='contract_pools_are_units_by_name'),
        ),
        migrations.AddConstraint(
            model_name='price',
            constraint=models.CheckConstraint(condition=models.Q(('unit_price__isnull', True), models.Q(('unit_price__gte', 0), ('unit_price__lt', 1000000000000000)), _connector='OR'), name='price_is_a_sane_amount'),
        ),
        migrations.AddConstraint(
            model_name='price',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('package_size__isnull', True), models.Q(('package_size__gt', 0), ('package_size__lt', 1000000000000000)), _connector='OR'), models.Q(('percent__isnull', True), models.Q(('percent__gte', 0), ('percent__lte', 1000)), _connector='OR'), models.Q(('minimum__isnull', True), models.Q(('minimum__gte', 0), ('minimum__lt', 1000000000000000)), _connector='OR'), models.Q(('maximum__isnull', True), models.Q(('maximum__gte', 0), ('maximum__lt', 1000000000000000)), _connector='OR'), models.Q(('minimum__isnull', True), ('maximum__isnull', True), ('minimum__lte', models.F('maximum')), _connector='OR'), models.Q(('included__isnull', True), models.Q(('included__gte', 0), ('included__lt', 1000000000000000)), _connector='OR'), models.Q(('period_maximum__isnull', True), models.Q(('period_maximum__gte', 0), ('period_maximum__lt', 1000000000000000)), _connector='OR')), name='price_has_sane_terms'),
        ),
        migrations.AddConstraint(
            model_name='price',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('model', 'per_unit'), ('package_size__isnull', True), ('unit_price__isnull', False), ('tiers', []), ('percent__isnull', True), ('minimum__isnull', True), ('maximum__isnull', True), models.Q(('pool', ''), ('included__isnull', True), _connector='OR')), models.Q(('model__in', ['graduated', 'volume']), ('unit_price__isnull', True), ('package_size__isnull', True), models.Q(('tiers', []), _negated=True), ('percent__isnull', True), ('minimum__isnull', True), ('maximum__isnull', True), models.Q(('pool', ''), ('included__isnull', True), _connector='OR')), models.Q(('model', 'package'), ('package_size__isnull', False), ('unit_price__isnull', False), ('tiers', []), ('percent__isnull', True), ('minimum__isnull', True), ('maximum__isnull', True), models.Q(('pool', ''), ('included__isnull', True), _connector='OR')), models.Q(('model', 'percentage'), ('unit_price__isnull', True), ('package_size__isnull', True), ('pool', ''), ('included__isnull', True), models.Q(models.Q(('percent__isnull', False), ('tiers', [])), models.Q(('percent__isnull', True), models.Q(('tiers', []), _negated=True)), _connector='OR')), models.Q(('model', 'free'), ('unit_price__isnull', True), ('package_size__isnull', True), ('pool', ''), ('included__isnull', True), ('percent__isnull', True), ('tiers', []), ('minimum__isnull', True), ('maximum__isnull', True), ('period_maximum__isnull', True)), _connector='OR'), name='price_fields_fit_its_model'),
        ),
        migrations.AddConstraint(
            model_name='price',
            constraint=models.CheckConstraint(condition=models.Func('tiers', 'model', function='contracts_tiers_hold', output_field=models.BooleanField()), name='price_tiers_have_no_gap_and_no_overlap'),
        ),
        migrations.AddField(
            model_name='commitment',
            name='contract_version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='commitments', to='contracts.contractversion'),
        ),
        migrations.AddField(
            model_name='fee',
            name='contract_version',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='fees', to='contracts.contractversion'),
        ),
        migrations.AddConstraint(
            model_name='commitment',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0), ('amount__lt', 1000000000000000)), name='commitment_is_a_sane_amount'),
        ),
        migrations.AddConstraint(
            model_name='commitment',
            constraint=models.CheckConstraint(condition=models.Q(('payment__in', ['advance', 'arrears'])), name='commitment_payment_known'),
        ),
        migrations.AddConstraint(
            model_name='commitment',
            constraint=models.CheckConstraint(condition=models.Q(('ends_at__isnull', True), ('ends_at__gt', models.F('starts_at')), _connector='OR'), name='commitment_ends_after_start'),
        ),
        migrations.AddConstraint(
            model_name='fee',
            constraint=models.UniqueConstraint(fields=('contract_version', 'name'), name='fee_name_once_per_version'),
        ),
        migrations.AddConstraint(
            model_name='fee',
            constraint=models.CheckConstraint(condition=models.Q(('amount__gt', 0), ('amount__lt', 1000000000000000), models.Q(('seats__isnull', True), models.Q(('seats__gte', 0), ('seats__lt', 1000000000000000)), _connector='OR')), name='fee_is_a_sane_amount'),
        ),
        migrations.AddConstraint(
            model_name='fee',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('kind', 'seats'), ('seats__isnull', False)), models.Q(('kind', 'recurring'), ('seats__isnull', True)), models.Q(('kind', 'one_off'), ('seats__isnull', True), ('timing', 'arrears')), _connector='OR'), name='fee_fields_fit_its_kind'),
        ),
        migrations.AddConstraint(
            model_name='fee',
            constraint=models.CheckConstraint(condition=models.Q(('timing__in', ['advance', 'arrears'])), name='fee_timing_known'),
        ),
        migrations.RunSQL(FREEZE, THAW),
    ]
