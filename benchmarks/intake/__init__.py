"""How fast events come in and become outcomes: docs/benchmarks.md tells what each row means."""

from benchmarks.intake.run import main

__all__ = ["main"]
