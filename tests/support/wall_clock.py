"""A wall clock of a test's own for a server (tests/fault/clock.c)."""
import mmap
import os
import struct
import time

LIBRARY = os.environ.get("KVSTORE_TEST_CLOCK")


class WallClock:
    """Runs like the system's at first. `variables` belong into the server's environment."""

    def __init__(self, folder):
        path = os.path.join(folder, "clock")
        with open(path, "wb") as file:
            file.write(bytes(16))
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), 16)
        self.variables = {"LD_PRELOAD": LIBRARY, "TEST_CLOCK": path}
        self._ahead = 0

    def _put(self, at, value):
        struct.pack_into("<q", self._memory, at, value)

    def stand_at(self, ms):
        """Stops the clock at a Unix time in milliseconds."""
        self._put(8, ms)

    def set(self, ms):
        """Has it run from that time on."""
        self._ahead = ms - time.time_ns() // 1000000
        self._put(0, self._ahead)
        self._put(8, 0)
