"""LevelDB's checksums: CRC-32C, rotated and shifted so that the checksum of data that holds checksums is a good one."""

from __future__ import annotations

import google_crc32c

_MASK = 0xA282EAD8


def masked(crc: int) -> int:
    """A CRC-32C as LevelDB stores it."""
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def checksum(content: bytes) -> int:
    """What LevelDB stores for these bytes."""
    return masked(google_crc32c.value(content))


def begins_with(stored: int, content: bytes) -> bool:
    """Whether the checksum is that of the first bytes, however many (one or more)."""
    crc = 0
    for at in range(len(content)):
        crc = google_crc32c.extend(crc, content[at : at + 1])
        if masked(crc) == stored:
            return True
    return False
