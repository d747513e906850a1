"""The log's layout as docs/formats.md gives it, read independently of the product: which records a
segment holds, and which of them are proven to have been durable."""
import struct

HEADER_SIZE = 80
RECORD_HEADER_SIZE = 44


class Record:
    """One record: [start, end) in its segment, the sequence of its first effect, and how far it
    says the segment was durable. A mark has no effects."""

    def __init__(self, content, start):
        (magic, self.kind, size, _, self.first_sequence, _, self.durable_end, _, _) = \
            struct.unpack_from("<3sBIIQQQII", content, start)
        if magic != b"KVR":
            raise ValueError(f"no record at {start}")
        self.start = start
        self.end = start + RECORD_HEADER_SIZE + size
        self.is_mark = self.kind == 2


def records(content):
    """The records of a complete, sound segment. What follows the last one must be zero."""
    found = []
    at = HEADER_SIZE
    while content[at:at + 3] == b"KVR":
        found.append(Record(content, at))
        at = found[-1].end
    if content[at:].strip(b"\0"):
        raise ValueError(f"something else than records at {at}")
    return found


def unproven_from(content, offset):
    """For damage at `offset` of the newest segment: the first record that becomes unreadable, if no
    later record proves that it was durable; else None."""
    found = records(content)
    for i, record in enumerate(found):
        if record.start <= offset < record.end:
            if any(later.durable_end > record.start for later in found[i + 1:]):
                return None
            return record
    return None


def lost_by_cut(content, size):
    """The first record that is not whole when only `size` bytes are left, or None."""
    return next((record for record in records(content) if record.end > size), None)
