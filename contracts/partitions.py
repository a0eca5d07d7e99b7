"""Which of the units of parallel work a customer belongs to."""

import zlib

from contracts.models import PARTITIONS


def partition_of(customer_key: str) -> int:
    """The partition, 0 to 63, of a customer key. Stored with the customer and never recomputed for rows that exist:
    CRC-32 is stable across processes, machines and Python versions, which ``hash()`` is not.
    """
    return zlib.crc32(customer_key.encode()) % PARTITIONS
