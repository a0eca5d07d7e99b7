"""The table of broken texts (broken.txt), and the page docs/language-errors.md that is made of it.

    .venv/bin/python -m tests.conditions_dsl.errors_page             writes the page
    .venv/bin/python -m tests.conditions_dsl.errors_page --accept    first takes today's messages into the table

An entry is `=== title`, the text, `---`, and what a person is shown.
"""

from __future__ import annotations

import sys
from pathlib import Path

from conditions_dsl import ConditionError, parse

TABLE = Path(__file__).with_name("broken.txt")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "language-errors.md"
HEAD = """# What the condition language says of a slip

Every text below is refused, with the sentence, the caret and, where one is found, the mended text shown under it. The
page is made from the table that is the test (`tests/conditions_dsl/broken.txt`), so these are the very words.
"""


def entries():
    """(title, text, message) of each entry."""
    out = []
    for entry in TABLE.read_text(encoding="utf-8").split("\n=== ")[1:]:
        title, rest = entry.split("\n", 1)
        text, message = rest.split("\n---\n", 1)
        out.append((title, text, message.strip("\n")))
    return out


def told(text):
    """What is shown for a text, line ends trimmed; None when it is accepted."""
    try:
        parse(text)
    except ConditionError as error:
        return "\n".join(line.rstrip() for line in str(error).split("\n"))
    return None


def page():
    parts = [HEAD]
    for title, text, message in entries():
        shown = text if len(text) < 400 else text[:120] + " …"
        parts.append(f"## {title}\n\n```\n{shown}\n```\n\n```text\n{message}\n```\n")
    return "\n".join(parts)


def accept():
    parts = ["# See errors_page.py."]
    parts += [f"=== {title}\n{text}\n---\n{told(text) or 'ACCEPTED'}\n" for title, text, _ in entries()]
    TABLE.write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    if "--accept" in sys.argv:
        accept()
    PAGE.write_text(page(), encoding="utf-8")
