"""DATA as the server's windows permit, as a real client sends it."""
from http2 import (
    ACK, DATA, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame)

FRAME_MAX = 16384


class Upload:
    """The uploads of a connection. Whoever sends DATA by another way must not use it."""

    def __init__(self, connection):
        self.connection = connection
        self.initial = 65535
        self.windows = {0: self.initial}
        self.over = set()  # streams that the server has ended; 0: all
        self.seen = 0

    def _look(self):
        """Takes in what the server has said."""
        for kind, flags, stream, payload in self.connection.frames[self.seen:]:
            if kind == WINDOW_UPDATE:
                self.windows[stream] = self.windows.get(stream, self.initial) + \
                    int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & ACK:
                self._set(payload)
            elif kind == GOAWAY:
                self.over.add(0)
            elif kind == RST_STREAM or (kind == HEADERS and flags & END_STREAM):
                self.over.add(stream)
        self.seen = len(self.connection.frames)

    def _set(self, payload):
        for at in range(0, len(payload), 6):
            if int.from_bytes(payload[at:at + 2], "big") == INITIAL_WINDOW:
                initial = int.from_bytes(payload[at + 2:at + 6], "big")
                for stream in self.windows.keys() - {0}:
                    self.windows[stream] += initial - self.initial
                self.initial = initial

    def send(self, stream, data, last_flags=0, waits=True):
        """Sends it all; False when the server has ended the call or the connection. Where it opens
        no window this waits for one; with waits=False it gives up when the server has handled all
        and opened none."""
        self.windows.setdefault(stream, self.initial)
        view = memoryview(data)
        asked = False
        while len(view) and not self.connection.closed:
            self._look()
            if self.over & {0, stream}:
                return False
            size = min(len(view), FRAME_MAX, self.windows[0], self.windows[stream])
            if size > 0:
                self.windows[0] -= size
                self.windows[stream] -= size
                self.connection.send(
                    frame(DATA, last_flags if size == len(view) else 0, stream, view[:size]))
                view = view[size:]
                asked = False
            elif waits:
                before = self.seen
                self.connection.wait(lambda *_: len(self.connection.frames) > before)
            elif asked:
                return True
            else:
                self.connection.round_trip()
                asked = True
        return not self.connection.closed
