"""What the readers of the different files share: text, YAML entries, and the names of version files."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from access.errors import flatten
from access.serializers import StrictSerializer
from contracts.apply.documents import Document, DocumentError, parse_path, read_yaml
from contracts.apply.plan import Plan

_VERSION_NAME = re.compile(
    r"(?P<name>[^@]+)(@(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})(T(?P<hour>[0-9]{2})(?P<minute>[0-9]{2})Z)?)?"
)


Entry = tuple[str, dict[str, Any], Callable[[str], int | None]]
"""An entry of a file: its key, its other fields, and what finds the line of a path in it."""


@dataclass(frozen=True)
class VersionFile:
    """``helpdesk@2026-03-01.yaml``: the state of ``helpdesk`` from that day (UTC) on; without a date, from
    the beginning or, edited in place, from now on (docs/apply.md).
    """

    path: Path
    name: str
    starts: datetime | None


def shown(path: Path, root: Path) -> str:
    """The file as messages name it."""
    return path.relative_to(root).as_posix()


def read_text(path: Path, root: Path, plan: Plan) -> str | None:
    """The text of a file, or None with a complaint."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        plan.complain(shown(path, root), f"This is not UTF-8 text (byte {error.start}): save the file as UTF-8.")
    except OSError as error:
        plan.complain(shown(path, root), f"This cannot be read: {error.strerror}.")
    return None


def read_document(path: Path, root: Path, plan: Plan) -> Document | None:
    """The YAML of a file, or None with a complaint."""
    text = read_text(path, root, plan)
    if text is None:
        return None
    try:
        return read_yaml(text)
    except DocumentError as error:
        plan.complain(shown(path, root), f"{error.message[0].upper()}{error.message[1:]}.", line=error.line)
        return None


def version_files(folder: Path, suffix: str, root: Path, plan: Plan) -> dict[str, list[VersionFile]]:
    """The files of a folder by name, undated first, then by date. Files of other kinds are complained of: a condition
    in a file that is passed over in silence would never bill.
    """
    found: dict[str, list[VersionFile]] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        if path.name.startswith(".") or path.name.endswith("~"):
            continue
        match = _VERSION_NAME.fullmatch(path.stem)
        if path.suffix != suffix or match is None:
            plan.complain(
                shown(path, root),
                f"Files here are called NAME{suffix}, or NAME@2026-03-01{suffix} for a version from that day on: rename"
                " it or move it elsewhere.",
            )
            continue
        try:
            starts = _start(match)
        except ValueError:
            plan.complain(shown(path, root), "There is no such date: write the file name as NAME@2026-03-01.")
            continue
        found.setdefault(match["name"], []).append(VersionFile(path, match["name"], starts))
    for files in found.values():
        files.sort(key=lambda file: (file.starts is not None, file.starts or datetime.min.replace(tzinfo=UTC)))
    return found


def _start(match: re.Match[str]) -> datetime | None:
    if match["day"] is None:
        return None
    time = f"{match['hour'] or '00'}:{match['minute'] or '00'}"
    return datetime.fromisoformat(f"{match['day']}T{time}:00+00:00")


def checked(
    request: StrictSerializer,
    *,
    plan: Plan,
    file: str,
    entry: str,
    locate: Callable[[str], int | None],
) -> bool:
    """Whether the entry has the shape of a request of the API; complains of every field that has not."""
    if request.is_valid():
        return True
    for detail in flatten(request.errors):
        message = f"{detail.path}: {detail.message}" if detail.path else detail.message
        plan.complain(file, message, line=locate(detail.path), entry=entry)
    return False


def locator(document: Document, *prefixes: tuple[str | int, ...]) -> Callable[[str], int | None]:
    """Finds lines of paths below the first prefix that has them; else the line of the first prefix."""

    def locate(path: str) -> int | None:
        steps = parse_path(path)
        for prefix in prefixes:
            if steps and (*prefix, steps[0]) in document.lines:
                return document.line_of((*prefix, *steps))
        return document.line_of(prefixes[0])

    return locate


def mapping_of(document: Document, known: tuple[str, ...], plan: Plan, file: str) -> dict[str, Any] | None:
    """The top of a file with ``defaults`` and a list; complains of anything else."""
    value = document.value
    if not isinstance(value, dict) or not isinstance(value.get(known[-1]), list):
        plan.complain(
            file, f"Expected a list under `{known[-1]}:`, and perhaps `defaults:` for what its entries share."
        )
        return None
    defaults = value.get("defaults")
    if defaults is not None and not isinstance(defaults, dict):
        plan.complain(file, "Expected fields under `defaults:`.", line=document.line_of(("defaults",)))
        return None
    for name in value:
        if name not in known:
            message = f"`{name}` means nothing here; known are: {', '.join(known)}."
            plan.complain(file, message, line=document.line_of((name,)))
    return value


def keyed_entries(path: Path, root: Path, plan: Plan, name: str, kind: str) -> Iterator[Entry]:
    """The entries of a YAML file that is a list under ``name``, each with a ``key``, the defaults filled in. What
    cannot be read leaves things of the ``kind`` unread.
    """
    document = read_document(path, root, plan)
    top = None if document is None else mapping_of(document, ("defaults", name), plan, path.name)
    if document is None or top is None:
        plan.unread.add(kind)
        return
    for index, entry in enumerate(top[name]):
        place = (name, index)
        if not isinstance(entry, dict) or not isinstance(entry.get("key"), str):
            message = "Expected an entry with a `key:` that is text (a number is put in quotes)."
            plan.complain(path.name, message, line=document.line_of(place))
            plan.unread.add(kind)
            continue
        values = {**(top.get("defaults") or {}), **entry}
        yield values.pop("key"), values, locator(document, place, ("defaults",))
