"""Reads YAML into plain values that remember their lines, so that every later complaint can name one.

A subset of YAML on purpose: no aliases (one place says what holds), no ``yes``/``no``/``on`` (a customer called NO is
no boolean), dates stay text (their zone is decided where they are used), and numbers are exact decimals, never
floats.
"""

import json
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import yaml

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)\.[0-9]+")
_MAX_DEPTH = 20


class DocumentError(Exception):
    """The file cannot be read at all, or says one thing twice. ``line`` starts at 1."""

    def __init__(self, message: str, line: int | None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


@dataclass
class Document:
    """The value of a file, and the line of each of its places: ``lines[("prices", 1, "match")]``."""

    value: Any
    lines: dict[Path, int] = field(default_factory=dict)

    def line_of(self, path: Path) -> int | None:
        """The line of a place, or of the nearest place around it that is in the file."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.lines:
                return self.lines[path[:length]]
        return None


def read_yaml(text: str) -> Document:
    """Parse one YAML document. Raises ``DocumentError`` with the line."""
    try:
        _refuse_aliases_and_depth(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DocumentError(f"not YAML: {error.problem or error.context}", mark.line + 1 if mark else None) from None
    except yaml.YAMLError as error:  # e.g. control characters: no mark of its own
        raise DocumentError(f"not YAML: {error}", None) from None
    document = Document(None)
    if node is not None:
        document.value = _value(node, (), document.lines)
    return document


_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def _refuse_aliases_and_depth(text: str) -> None:
    """Looks at the tokens alone, since composing recurses: neither an alias nor a thousand brackets may reach it."""
    depth = 0
    for token in yaml.scan(text, Loader=yaml.SafeLoader):
        line = token.start_mark.line + 1
        if isinstance(token, (yaml.AliasToken, yaml.AnchorToken)):
            raise DocumentError(
                "anchors and aliases (& and *) are not read here; write the entry out, or put it under `defaults`", line
            )
        depth += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        if depth > _MAX_DEPTH:
            raise DocumentError(f"nested more than {_MAX_DEPTH} deep", line)


def _value(node: yaml.Node, path: Path, lines: dict[Path, int]) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(path, line)
    if node.tag.startswith("!"):
        raise DocumentError(f"the tag {node.tag} means nothing here", line)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, index), lines) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines)
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node)


def _mapping(node: yaml.MappingNode, path: Path, lines: dict[Path, int]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise DocumentError("a name is expected before the colon", line)
        key = key_node.value
        if key in values:
            raise DocumentError(f"`{key}` stands here a second time", line)
        lines[(*path, key)] = line
        values[key] = _value(value_node, (*path, key), lines)
    return values


def _scalar(node: yaml.ScalarNode) -> str | int | Decimal | bool | None:
    text: str = node.value
    # Quoted or block text, or `!!str`, is text, whatever it looks like.
    if node.style is not None or node.tag == "tag:yaml.org,2002:str":
        return text
    if text in ("", "~", "null"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) < 19 else Decimal(text)
    if _DECIMAL.fullmatch(text):
        return Decimal(text)
    return text


_PATH_PART = re.compile(r"\.?(?P<name>[^.\[\]]+)|\[(?P<index>[0-9]+)\]|\[(?P<quoted>\"(?:[^\"\\]|\\.)*\")\]")


def parse_path(text: str) -> Path:
    """A path as error details write it (``prices[1].match["a b"]``), as the steps into a document."""
    parts: list[str | int] = []
    for match in _PATH_PART.finditer(text):
        if match["index"] is not None:
            parts.append(int(match["index"]))
        else:
            parts.append(json.loads(match["quoted"]) if match["quoted"] else match["name"])
    return tuple(parts)
