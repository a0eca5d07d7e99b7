"""Evidence packs: what an invoice or a credit note is counted from, for its reader to count again.

`pack` writes one (docs/evidence.md has the format); `verify_evidence` is the program the reader runs, one file without
dependencies. It shares no code with ours on purpose.
"""
