"""Price curves as SVG: text, a few lines of it, the same on every machine."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Final

from conditions_dsl.words import plain
from contracts.domain.rating.curve import Piece

WIDTH: Final = 640
HEIGHT: Final = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 76, 24, 40, 52
_COLORS: Final = ("#1f6feb", "#c2410c", "#15803d")


def svg(title: str, curves: Mapping[str, Sequence[Piece]], *, across: str, up: str) -> str:
    """A picture of one or several curves by name. ``across`` and ``up`` say what the axes are of.

    Coordinates are rounded to a tenth of a pixel. Raises ValueError where there is no curve.
    """
    pieces = [piece for found in curves.values() for piece in found]
    if not pieces:
        raise ValueError("a picture has a curve")
    widest = max(piece.end for piece in pieces)
    # A little air above the highest point; a curve that is zero throughout still has an axis.
    highest = max(max(piece.low, piece.high) for piece in pieces) * Decimal("1.08") or Decimal(1)
    frame = _Frame(widest, highest)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        ' font-family="system-ui, sans-serif" font-size="12" fill="#24292f">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14" font-weight="600">{escape(title)}</text>',
        *_axes(frame, across, up),
    ]
    for number, (name, found) in enumerate(curves.items()):
        color = _COLORS[number % len(_COLORS)]
        # Broken lines from the second curve on, so that one below shows where they are the same.
        parts += _drawn(frame, found, color, ' stroke-dasharray="8 6"' if number else "")
        if len(curves) > 1:
            x = WIDTH - _RIGHT - 8
            y = HEIGHT - _BOTTOM - 12 - 18 * (len(curves) - 1 - number)
            halo = 'stroke="#ffffff" stroke-width="5" paint-order="stroke"'
            parts.append(f'<text x="{x}" y="{y}" text-anchor="end" fill="{color}" {halo}>{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


class _Frame:
    """Where quantities and amounts lie in the picture."""

    def __init__(self, widest: Decimal, highest: Decimal) -> None:
        self.widest, self.highest = widest, highest

    def x(self, quantity: Decimal) -> str:
        return _pixels(_LEFT + (WIDTH - _LEFT - _RIGHT) * quantity / self.widest)

    def y(self, amount: Decimal) -> str:
        return _pixels(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * amount / self.highest)


def _pixels(number: Decimal) -> str:
    return plain(number.quantize(Decimal("0.1")))


def _axes(frame: _Frame, across: str, up: str) -> Iterator[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for amount in ticks(frame.highest):
        y = frame.y(amount)
        yield f'<path d="M{_LEFT} {y}H{right}" stroke="#d0d7de"/>'
        yield f'<text x="{_LEFT - 8}" y="{y}" text-anchor="end" dominant-baseline="middle">{_grouped(amount)}</text>'
    for quantity in ticks(frame.widest):
        x = frame.x(quantity)
        yield f'<path d="M{x} {bottom}v5" stroke="#57606a"/>'
        yield f'<text x="{x}" y="{bottom + 18}" text-anchor="middle">{_grouped(quantity)}</text>'
    yield f'<path d="M{_LEFT} {bottom}H{right}" stroke="#57606a"/>'
    yield f'<text x="{right}" y="{HEIGHT - 12}" text-anchor="end" fill="#57606a">{escape(across)}</text>'
    yield f'<text x="{right}" y="22" text-anchor="end" fill="#57606a">{escape(up)}</text>'


def ticks(most: Decimal) -> list[Decimal]:
    """Four to ten round numbers from 0 up to ``most``: steps of 1, 2 or 5 times a power of ten."""
    power = Decimal(1).scaleb(most.adjusted() - 1)
    step = next(power * times for times in (1, 2, 5, 10, 20) if most / (power * times) < 9)
    return [step * count for count in range(int(most // step) + 1)]


def _grouped(number: Decimal) -> str:
    whole, _, decimals = plain(number).partition(".")
    return f"{int(whole):,}" + (f".{decimals}" if decimals else "")


def _drawn(frame: _Frame, pieces: Sequence[Piece], color: str, style: str) -> Iterator[str]:
    """The curve, dotted where it jumps; a dot at the end that belongs to it and a ring at the other."""
    jumps = [(one, after) for one, after in itertools.pairwise(pieces) if one.high != after.low]
    for one, after in jumps:
        x = frame.x(one.end)
        path = f"M{x} {frame.y(one.high)}V{frame.y(after.low)}"
        yield f'<path d="{path}" stroke="{color}" stroke-dasharray="2 3" fill="none"/>'
    runs: list[list[str]] = []
    for number, piece in enumerate(pieces):
        if number == 0 or pieces[number - 1].high != piece.low:
            runs.append([f"{frame.x(piece.start)} {frame.y(piece.low)}"])
        runs[-1].append(f"{frame.x(piece.end)} {frame.y(piece.high)}")
    path = "M" + "M".join("L".join(run) for run in runs)
    yield f'<path d="{path}" stroke="{color}" stroke-width="2" fill="none"{style}/>'
    for one, after in jumps:
        yield f'<circle cx="{frame.x(one.end)}" cy="{frame.y(one.high)}" r="3" fill="{color}"/>'
        hole = f'fill="#ffffff" stroke="{color}"'
        yield f'<circle cx="{frame.x(one.end)}" cy="{frame.y(after.low)}" r="3" {hole}/>'
