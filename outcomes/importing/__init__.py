"""Files of events, loaded by `manage.py import_events` (docs/imports.md)."""
