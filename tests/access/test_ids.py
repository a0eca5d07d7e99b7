"""Public ids: the vectors of the TypeID specification, order, strictness."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from access import ids

VALID = [  # of the specification's valid.yml
    ("prefix", "0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"),
    ("prefix", "01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"),
    ("x", "00000000000000000000000000", "00000000-0000-0000-0000-000000000000"),
    ("x", "00000000000000000000000001", "00000000-0000-0000-0000-000000000001"),
    ("x", "0000000000000000000000000a", "00000000-0000-0000-0000-00000000000a"),
    ("x", "0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"),
    ("pre_fix", "7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
]


@pytest.mark.parametrize(("prefix", "suffix", "uuid"), VALID)
def test_both_ways(prefix: str, suffix: str, uuid: str) -> None:
    assert ids.encode(prefix, UUID(uuid)) == f"{prefix}_{suffix}"
    assert ids.decode(prefix, f"{prefix}_{suffix}") == UUID(uuid)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cus",
        "cus_",
        "_01h455vb4pex5vsknk084sn02q",
        "01h455vb4pex5vsknk084sn02q",
        "inv_01h455vb4pex5vsknk084sn02q",
        "CUS_01h455vb4pex5vsknk084sn02q",
        "cus_01H455VB4PEX5VSKNK084SN02Q",
        "cus_01h455vb4pex5vsknk084sn02",
        "cus_01h455vb4pex5vsknk084sn02q0",
        "cus_81h455vb4pex5vsknk084sn02q",
        "cus_01h455vb4pex5vsknk084sn0iq",
        "cus_01h455vb4pex5vsknk084sn0-q",
        "cus_٠١h455vb4pex5vsknk084sn02q",
        " cus_01h455vb4pex5vsknk084sn02q",
        "cus_01h455vb4pex5vsknk084sn02q\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|id has|first"):
        ids.decode("cus", text)


def test_uuid7_holds_version_variant_and_time() -> None:
    now = datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
    made = ids.uuid7(now)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == int(now.timestamp() * 1000)
    assert ids.uuid7(now) != made


def test_ids_sort_by_time_to_the_microsecond() -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    made = [ids.encode("out", ids.uuid7(start + timedelta(microseconds=step))) for step in range(0, 3000, 7)]
    assert made == sorted(made)


def test_naive_and_impossible_times_are_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        ids.uuid7(datetime(2026, 3, 1))
    with pytest.raises(ValueError, match="1970"):
        ids.uuid7(datetime(1969, 12, 31, tzinfo=UTC))


@pytest.mark.parametrize("prefix", ["", "_a", "a_", "A", "a1", "a" * 64])
def test_prefixes_follow_the_specification(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        ids.encode(prefix, UUID(int=1))
