"""What the tests of Restore share: servers with data and a backup of it, and how that is sent."""
import os
import time

import harness
from harness import PATIENCE, admin

MODES = {
    "none": [],
    "snapshot": ["snapshot_interval=1"],
    "aof": ["aof_max_size=64K", "fsync=no"],
    "hybrid": ["snapshot_interval=1", "fsync=no"],
}
PIECE = 100000


def messages(data, **questions):
    """The messages of a Restore of a file."""
    pieces = [data[at:at + PIECE] for at in range(0, len(data), PIECE)] or [b""]
    yield admin.RestoreRequest(data=pieces[0], **questions)
    for piece in pieces[1:]:
        yield admin.RestoreRequest(data=piece)


def wait_for(condition):
    """Until it holds: for what no event tells of."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("it never came about")
        time.sleep(0.01)


class RestoreCase(harness.Case):
    def back_up(self, server):
        return b"".join(message.data for message in
                        server.admin.Backup(admin.BackupRequest(), timeout=PATIENCE))

    def restore(self, server, data, **questions):
        return server.admin.Restore(messages(data, **questions), timeout=PATIENCE)

    def filled(self, mode="hybrid", entries=40, size=1000, **keywords):
        server = self.start(mode=mode, options=MODES[mode], **keywords)
        for i in range(entries):
            server.set(f"{i:06}", bytes([i % 256]) * size)
        return server

    def backed_up(self, mode="hybrid", entries=40, size=1000, **keywords):
        """A server whose data is another one by now; the backup, and what is in it."""
        server = self.filled(mode, entries, size, **keywords)
        wanted = server.scan()
        data = self.back_up(server)
        server.delete("000000")
        server.set("other", b"data")
        return server, data, wanted

    def assert_nothing_is_left(self, server):
        """Neither a file put aside nor a generation of the attempt, and the next one works."""
        names = os.listdir(server.data)
        self.assertEqual(len([name for name in names if name.startswith("gen-")]), 1, names)
        self.assertEqual([name for name in names if not name.startswith("gen-")
                          and name not in ("ACTIVE", "LOCK", "VERSIONS")], [])
        wait_for(lambda: not self.put_aside(server))

    def put_aside(self, server):
        """Files in the data directory itself that have no name; plug-ins have some in theirs."""
        found = []
        for fd in os.scandir(f"/proc/{server.pid}/fd"):
            try:
                path = os.readlink(fd.path)
            except FileNotFoundError:
                continue
            if os.path.dirname(path) == server.data and path.endswith(" (deleted)"):
                found.append(path)
        return found


def memory_of(server):
    with open(f"/proc/{server.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmRSS:"))
