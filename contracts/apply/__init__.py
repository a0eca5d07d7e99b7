"""`manage.py apply`: customers, conditions, rate cards and contracts from readable files (docs/apply.md)."""
