"""JSON paths as error details write them: ``prices[0].unit_price``."""

import json
import re

_PLAIN = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")


def child(path: str, key: str) -> str:
    """The member `key` of the object at `path`; a key with other characters is quoted: ``data["a b"]``."""
    if _PLAIN.fullmatch(key):
        return f"{path}.{key}" if path else key
    return f"{path}[{json.dumps(key)}]"


def item(path: str, index: int) -> str:
    """The element `index` of the list at `path`."""
    return f"{path}[{index}]"
