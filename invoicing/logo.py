"""The seller's logo on PDFs. A file that is missing, too large or no picture is logged, and never stops a document."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Final

import structlog
import typst
from django.conf import settings

log = structlog.get_logger(__name__)

MAX_BYTES: Final = 256 * 1024
MAX_PIXELS: Final = 4096
NONE: Final = "[]"
_PNG: Final = b"\x89PNG\r\n\x1a\n"


def of_seller() -> str:
    """The picture that HOLDFAST_SELLER_LOGO names as a JSON list of its bytes, which is how typst takes one that is no
    file; an empty list without one that can be set. Read again when the file changes.
    """
    if not settings.SELLER_LOGO:
        return NONE
    path = Path(settings.SELLER_LOGO)
    try:
        stat = path.stat()
        return _read(path, stat.st_mtime_ns, stat.st_size)
    except OSError as problem:
        log.warning("seller_logo_unreadable", path=str(path), error=str(problem))
        return NONE


@lru_cache(maxsize=4)
def _read(path: Path, changed: int, size: int) -> str:
    """One version of the file, so that what is wrong with its content is logged once."""
    wrong = "" if size <= MAX_BYTES else f"it is larger than {MAX_BYTES} bytes"
    content = b"" if wrong else path.read_bytes()
    if content.startswith(_PNG) and max(_side(content, 16), _side(content, 20)) > MAX_PIXELS:
        wrong = f"it is more than {MAX_PIXELS} pixels wide or high"
    picture = json.dumps(list(content))
    wrong = wrong or _problem(picture)
    if wrong:
        log.warning("seller_logo_unreadable", path=str(path), error=wrong)
        return NONE
    return picture


def _side(png: bytes, offset: int) -> int:
    return int.from_bytes(png[offset : offset + 4], "big")


def _problem(picture: str) -> str:
    """What typst says of the picture by itself; empty where it can be set."""
    try:
        typst.compile(
            b"#image(bytes(json(bytes(sys.inputs.logo))), height: 1cm)",
            ignore_system_fonts=True,
            sys_inputs={"logo": picture},
        )
    except typst.TypstError as problem:
        return str(problem)
    return ""
