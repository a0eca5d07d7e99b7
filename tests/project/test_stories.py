"""samples/stories: the script that users run plays every story against a real server, and it comes as it is told."""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from billing_project.services import HOST
from tests.project.running import ROOT, home, served

SAMPLES = ROOT / "samples/stories"
STORIES = sorted(SAMPLES.glob("*.story"))

Play = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def play(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Iterator[Play]:
    with home(tmp_path_factory.mktemp("stories"), like=installed) as here, served(here) as (port, key):

        def run(*argv: object, url: str = f"http://{HOST}:{port}", key: str = key) -> subprocess.CompletedProcess[str]:
            """The script as a user runs it: isolated, so that nothing of ours can be imported."""
            return subprocess.run(
                [sys.executable, "-I", str(SAMPLES / "play.py"), "--url", url, "--key", key, *map(str, argv)],
                capture_output=True,
                text=True,
                timeout=300,
                cwd=here.path,
                env={"PYTHONIOENCODING": "utf-8"},
            )

        yield run


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_every_story_comes_as_it_is_told(play: Play, story: Path) -> None:
    done = play(story)
    assert done.returncode == 0, done.stdout + done.stderr
    expectations = re.findall(r"^(?:expect|invoice|line|lines|no) ", story.read_text(), re.MULTILINE)
    assert done.stdout.count("✓") == len(expectations) > 3
    assert "✗" not in done.stdout
    assert "1 of 1 stories came as they are told." in done.stdout


def test_a_story_can_be_played_again_and_explains_itself(play: Play) -> None:
    """The second time the condition and the prices are there; clock and customer are new."""
    done = play(SAMPLES / "reopened_ticket.story", SAMPLES / "reopened_ticket.story", "--explain")
    assert done.returncode == 0, done.stdout + done.stderr
    text = re.sub(r"\s+", " ", done.stdout)
    assert "2 of 2 stories came as they are told." in text
    assert "event e2 (incident.recurred) made it void" in text
    assert "The window of 12 hours ended on 2 March 2026, 04:00 UTC" in text


SHORT = f"""
condition {ROOT}/conditions_dsl/gallery/resolved_incident.outcome
price resolved_incident 2.00
contract monthly
day 0 09:00 incident.resolved incident_id=I-1 resolved_by=autopilot severity=2
day 0 15:00 incident.recurred incident_id=I-1
day 0 16:00 incident.resolved incident_id=I-1 resolved_by=autopilot severity=2
expect I-1#1 void at day 0 15:00
advance day 31
expect I-1 confirmed at day 1 04:00 severity=2
invoice 2026-03 issued 2.00
line 1 x "Incident resolved" at 2.00 = 2.00 severity=2 voided=1
lines 1
"""


@pytest.mark.parametrize(("told", "instead", "said"), [
    ("at day 1 04:00", "at day 1 05:00", "found state confirmed, settled_at 2026-03-02T04:00:00Z"),
    ("severity=2\ninvoice", "severity=3\ninvoice", "severity 3 found state confirmed"),
    ("expect I-1#1 void at", "expect I-1#1 provisional until", "expected state provisional, settles_at"),
    ("issued 2.00", "issued 3.00", "found status issued, total 2.00"),
    ("line 1 x", "line 2 x", "expected quantity 2, unit_price 2.00"),
    ("lines 1", "lines 2", "expected 2 found 1"),
    ("lines 1", "no invoice 2026-03", "expected nothing found issued"),
    ("lines 1", "expect nothing about I-1", "expected nothing found ['void', 'confirmed']"),
])  # fmt: skip
def test_what_comes_otherwise_is_seen(play: Play, tmp_path: Path, told: str, instead: str, said: str) -> None:
    assert SHORT.count(told) == 1
    story = tmp_path / "otherwise.story"
    story.write_text(SHORT.replace(told, instead))
    done = play(story)
    assert done.returncode == 1, done.stdout + done.stderr
    shown = re.sub(r"\s+", " ", done.stdout)
    assert done.stdout.count("✗") == 1
    assert said in shown
    assert "Not so: otherwise.story" in shown
    if "I-1" in instead and "nothing" not in instead:
        assert "“Incident resolved” for incident_id I-1 (otherwise)." in shown


@pytest.mark.parametrize(("line", "said"), [
    ("expect I-7 confirmed", "broken.story, line 4: there is no outcome about I-7"),
    ("prophesy I-7", "broken.story, line 4: nothing is known of 'prophesy'"),
    ("late yesterday incident.resolved", "broken.story, line 4: a moment such as `day 3 10:00` was expected"),
])  # fmt: skip
def test_a_story_that_cannot_be_played(play: Play, tmp_path: Path, line: str, said: str) -> None:
    gallery = ROOT / "conditions_dsl/gallery/resolved_incident.outcome"
    story = tmp_path / "broken.story"
    story.write_text(f"condition {gallery}\nprice resolved_incident 1\ncontract monthly\n{line}\n")
    done = play(story)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_condition_of_the_installations_own_is_left_alone(play: Play, tmp_path: Path) -> None:
    (tmp_path / "own.outcome").write_text("outcome own\nper id\nbill when done\n")
    story = tmp_path / "own.story"
    story.write_text(
        "condition own.outcome\nprice own 1\ncontract monthly\nday 0 10:00 done id=1\nexpect 1 provisional\n"
    )
    assert play(story).returncode == 0
    (tmp_path / "own.outcome").write_text("outcome own\nper id\nbill when undone\n")
    done = play(story)
    assert done.returncode == 2
    assert "has another text of own" in done.stderr


def test_a_wrong_key_and_a_server_that_is_not_there(play: Play) -> None:
    done = play(STORIES[0], key="hf_live_nobody")
    assert done.returncode == 2
    assert "401 invalid_api_key" in done.stderr
    done = play(STORIES[0], url=f"http://{HOST}:9")
    assert done.returncode == 2
    assert "got no answer" in done.stderr


def test_the_readme_names_every_story_and_every_word() -> None:
    page = (SAMPLES / "README.md").read_text()
    assert set(re.findall(r"\]\((\w+)\.story\)", page)) == {path.stem for path in STORIES}
    words = set(re.findall(r"def do_(\w+)", (SAMPLES / "play.py").read_text()))
    assert words == set(re.findall(r"`(\w+)[ `]", page.partition("## Writing one")[2])) - {"day", "unknown"}
    script = (SAMPLES / "play.py").read_text()
    assert not re.search(r"import (?:django|conditions_dsl|outcomes|billing_project)", script)
