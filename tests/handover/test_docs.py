"""docs/handover.md says what the code does."""

import re

from contracts.models import ContractVersion
from handover import claim, lago, stripe_meters
from handover.models import Handover, Target
from handover.results import Refused
from tests.project.running import ROOT

PAGE = (ROOT / "docs/handover.md").read_text()


def table(first: str) -> list[str]:
    """The first column of the table that begins with this heading: what stands in backquotes."""
    part = PAGE[PAGE.index(f"| {first} |") :].split("\n\n")[0]
    return [name for row in part.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_status_and_every_code_of_ours_is_told() -> None:
    assert sorted(table("status")) == sorted(Handover.Status.values)
    decided = {
        one.code for one in vars(claim).values() if isinstance(one, claim.Wait | claim.Drop | Refused)
    }  # constants
    sources = [(ROOT / module.__file__).read_text() for module in (claim, lago, stripe_meters) if module.__file__]
    written = {code for text in sources for code in re.findall(r'(?:Later|Refused|Wait|Drop)\(\s*"(\w+)"', text)}
    assert decided | written | {"not_configured", "dismissed"} <= set(table("code"))
    assert len(decided | written) >= 15


def test_the_words_of_a_contract_are_the_targets() -> None:
    assert set(ContractVersion.PassOn.values) == {"none", *Target.values}
    assert all(f"`{target}`" in PAGE for target in Target.values)
