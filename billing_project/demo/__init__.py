"""The main job on a real event log: what `make demo` shows."""
