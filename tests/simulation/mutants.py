"""Bugs put into the engine on purpose: the simulator must find each of them, or it is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

from outcomes import evaluation, intake, programs, replay
from outcomes.domain import lifecycle
from outcomes.domain.lifecycle import Fold
from settlement import sweep

Break = Callable[[pytest.MonkeyPatch], None]


def _statements(monkeypatch: pytest.MonkeyPatch, old: str, new: str) -> None:
    """The same change in every statement of the sweep that has the words."""
    texts = asdict(sweep._WALL)
    found = {name: text.replace(old, new) for name, text in texts.items() if old in text}
    assert found, f"no statement of the sweep says {old!r} any more"
    monkeypatch.setattr(sweep, "_WALL", replace(sweep._WALL, **found))


def sweep_misses_what_is_due_now(monkeypatch: pytest.MonkeyPatch) -> None:
    _statements(monkeypatch, "o.due_at <= %(until)s", "o.due_at < %(until)s")


def sweep_overtakes_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    _statements(monkeypatch, "least(%(now)s, w.earliest)", "%(now)s")


def imports_pause_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = sweep._kept
    monkeypatch.setattr(sweep, "_kept", lambda cursor: kept(cursor)._replace(paused=[]))


def grace_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "graces", lambda *arguments: {})


def window_is_closed_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    advance = Fold.advance
    monkeypatch.setattr(Fold, "advance", lambda fold, instant: advance(fold, instant - 1))


def void_clauses_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = programs._program
    monkeypatch.setattr(
        programs, "_program", lambda *version: replace(compiled(*version), voided=lambda facts, history: False)
    )


def versions_rank_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_start", lambda version: version.id)


def other_content_is_a_duplicate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "_same_content", lambda cursor, items, twins: [True] * len(twins))


def replays_forget_decisions(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(*arguments: Any) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(replay, "load_decisions", lambda cursor, subjects: {})
            replay.slow_path(*arguments)

    monkeypatch.setattr(evaluation, "slow_path", forgetful)


# Each with a seed that shows it; to find one anew: `python -m tests.simulation --mutant NAME`.
MUTANTS: dict[Break, int] = {
    sweep_misses_what_is_due_now: 17,
    sweep_overtakes_what_waits: 5,
    imports_pause_nothing: 1,
    grace_is_forgotten: 53,
    window_is_closed_at_its_end: 1,
    void_clauses_are_ignored: 9,
    versions_rank_by_number: 6,
    other_content_is_a_duplicate: 0,
    replays_forget_decisions: 1,
}
