"""Reads recorder.c's trace: the operations on files in order, and the replies."""
import struct
from bisect import bisect_right
from dataclasses import dataclass

# The numbers and the layout of recorder.c.
(START, CREATE, WRITE, TRUNCATE, ALLOCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, MKDIR, RMDIR,
 SEND) = range(1, 13)
ENTRY = struct.Struct("<IIQqqIIQ")

FRAME_HEADER_SIZE = 9
FRAME_HEADERS = 1
FLAG_END_STREAM = 1


@dataclass
class Event:
    kind: int
    time_ns: int
    a: int
    b: int
    path: str
    second_path: str
    data: bytes


class Trace:
    """All events of a trace file. A *cut* at n stands for the moment after the first n of them."""

    def __init__(self, path):
        self.events = []
        self._ends = []
        with open(path, "rb") as file:
            content = file.read()
        at = 0
        while at < len(content):
            kind, path_size, time_ns, a, b, second_size, _, data_size = ENTRY.unpack_from(content,
                                                                                          at)
            at += ENTRY.size
            first = content[at:at + path_size].decode()
            at += path_size
            second = content[at:at + second_size].decode()
            at += second_size
            self.events.append(Event(kind, time_ns, a, b, first, second,
                                     content[at:at + data_size]))
            at += data_size
            self._ends.append(at)

    def cut_at_size(self, size):
        """The cut at which the trace file had this size."""
        return bisect_right(self._ends, size)

    def replies(self):
        """For each run of the server, a list of its connections in order of first use; each is a
        list of cuts: when the n-th reply on it was handed to the kernel."""
        runs = []
        for index, event in enumerate(self.events):
            if event.kind == START:
                runs.append({})
            elif event.kind == SEND:
                connection = runs[-1].setdefault(event.a, _Connection())
                connection.take(event.data, index + 1)
        return [[connection.replies for connection in run.values()] for run in runs]


class _Connection:
    """The frames that the server sends on one HTTP/2 connection, however they are spread over
    writes. A reply is complete with the header frame that ends its stream."""

    def __init__(self):
        self.replies = []
        self._bytes = b""

    def take(self, data, cut):
        self._bytes += data
        while len(self._bytes) >= FRAME_HEADER_SIZE:
            size = FRAME_HEADER_SIZE + int.from_bytes(self._bytes[:3], "big")
            if len(self._bytes) < size:
                return
            kind, flags = self._bytes[3], self._bytes[4]
            if kind == FRAME_HEADERS and flags & FLAG_END_STREAM:
                self.replies.append(cut)
            self._bytes = self._bytes[size:]
