"""Two texts beside each other."""

from workbench.diffs import Line, Piece, differs, lines


def told(found: list[Line]) -> list[str]:
    """`- 2 settle after [72] hours` for each line that is not the same."""
    sign = {"gone": "-", "new": "+"}
    return [
        f"{sign[one.kind]} {one.old or one.new} " + "".join(f"[{p.text}]" if p.changed else p.text for p in one.pieces)
        for one in found
        if one.kind != "same"
    ]


def test_a_changed_line_is_marked_word_by_word() -> None:
    found = lines("outcome x\nsettle after 72 hours\n", "outcome x\nsettle after 24 hours\n")
    assert told(found) == ["- 2 settle after [72] hours", "+ 2 settle after [24] hours"]
    assert found[0] == Line("same", 1, 1, (Piece("outcome x"),))


def test_lines_that_are_not_alike_are_gone_and_new() -> None:
    found = lines("void when ticket.reopened", "dimension priority = latest priority of closed")
    assert told(found) == ["- 1 void when ticket.reopened", "+ 1 dimension priority = latest priority of closed"]


def test_a_line_that_is_added_is_no_change_of_its_neighbour() -> None:
    old = "per a\nbill when closed\nsettle after 1 hour\n"
    new = "per a\nbill when closed\nvoid when reopened\nsettle after 2 hours\n"
    assert told(lines(old, new)) == [
        "- 3 settle after [1] [hour]",
        "+ 3 void when reopened",
        "+ 4 settle after [2] [hours]",
    ]


def test_both_texts_can_be_read_back() -> None:
    old, new = "a\nb c d\n\ne", "b c\n\ne\nf g"
    found = lines(old, new)
    for side, text in (("old", old), ("new", new)):
        assert "\n".join("".join(p.text for p in one.pieces) for one in found if getattr(one, side)) == text
        numbers = [getattr(one, side) for one in found if getattr(one, side)]
        assert numbers == list(range(1, len(text.split("\n")) + 1))


def test_the_same_text_has_no_difference() -> None:
    assert not differs(lines("a\nb", "a\nb"))
    assert differs(lines("a\nb", "a"))
