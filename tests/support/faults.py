"""The Python side of the fault shim in tests/fault/: chooses which calls of a server fail.

    shim = faults.Shim(folder, data)                  # data: the server's data directory
    server = harness.Server(data, variables=shim.environment())
    rule = shim.arm("fdatasync", 3, "error", errno.EIO)          # the third from now on, once
    shim.arm("write fallocate", 1, "error", errno.ENOSPC, last=faults.FOREVER)    # a full disk
    held = shim.arm("fdatasync", 1, "hold"); ...; held.wait_held(); ...; held.disarm()
    shim.heal()                                       # space again: all rules end
    shim.counts()                                     # {"open": 12, ...} since the shim was made

tests/fault/shim.h lists the kinds and actions. Rules can be armed before the server starts and
while it runs, and read after it was killed."""
import atexit
import mmap
import os
import shutil
import struct
import subprocess
import tempfile
import threading
import time

# In the order of shim.h.
KINDS = ("open", "read", "write", "fsync", "fdatasync", "fallocate", "ftruncate", "rename",
         "unlink", "mkdir", "opendir", "readdir", "close", "stat", "chmod", "flock", "memory")
ACTIONS = ("pass", "error", "late", "short", "delay", "hold", "skip", "kill")
DISK = tuple(kind for kind in KINDS if kind != "memory")
# All calls that need disk space, and all that change the disk.
SPACE = ("open", "write", "fsync", "fdatasync", "fallocate", "mkdir", "rename")

FOREVER = (1 << 64) - 1
PATIENCE = 300

_MAGIC = 0x31544c554146564b
_RULES = 32
_RULE = struct.Struct("<IIIIQQQQQ80s")
_CALLS_AT = 8
_RULES_AT = _CALLS_AT + 8 * len(KINDS)
_SEEN_AT, _HITS_AT, _HELD_AT = 32, 40, 48
_SIZE = _RULES_AT + _RULES * _RULE.size

_SOURCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fault")
_library = None
_compiling = threading.Lock()


def library():
    """The shared object to preload. CMake names the one it built; a build of the server alone, such
    as a mutant's, has none, so it is compiled here."""
    global _library
    with _compiling:
        _library = _library or os.environ.get("KVSTORE_TEST_SHIM") or _compile()
    return _library


def _compile():
    folder = tempfile.mkdtemp(prefix="kvstore-shim-")
    atexit.register(shutil.rmtree, folder, True)
    path = os.path.join(folder, "libkvstore-fault.so")
    sources = [os.path.join(_SOURCES, name) for name in ("shim.c", "shim_files.c", "shim_memory.c")]
    subprocess.run(["cc", "-D_GNU_SOURCE", "-std=gnu17", "-O2", "-fPIC", "-shared",
                    "-fvisibility=hidden", *sources, "-o", path], check=True)
    return path


class Rule:
    """One rule that was armed."""

    def __init__(self, shim, at):
        self._shim, self._at = shim, at

    def _number(self, offset):
        return struct.unpack_from("<Q", self._shim.memory, self._at + offset)[0]

    @property
    def seen(self):
        """Calls that matched since it was armed."""
        return self._number(_SEEN_AT)

    @property
    def hits(self):
        """How often it acted."""
        return self._number(_HITS_AT)

    @property
    def held(self):
        return self._number(_HELD_AT)

    def wait_held(self):
        """Waits until the rule, of action hold, holds a call."""
        self.wait(lambda: self.held > 0)

    def wait_hit(self):
        self.wait(lambda: self.hits > 0)

    @staticmethod
    def wait(condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError("no call came that the fault rule is for")
            time.sleep(0.001)

    def disarm(self):
        """Ends the rule; calls that it holds go on."""
        struct.pack_into("<I", self._shim.memory, self._at, 0)


class Shim:
    """The faults of one server, whose data directory is `root`; its control file lies in
    `folder`, which must be another directory."""

    def __init__(self, folder, root):
        self.root = os.path.join(os.path.realpath(os.path.dirname(root)), os.path.basename(root))
        handle, self.path = tempfile.mkstemp(prefix="faults-", dir=folder)
        with os.fdopen(handle, "r+b") as file:
            file.truncate(_SIZE)
            self.memory = mmap.mmap(file.fileno(), _SIZE)
        struct.pack_into("<Q", self.memory, 0, _MAGIC)
        self._next = 0

    def environment(self):
        """Variables for the server's environment."""
        return {"LD_PRELOAD": library(), "KVSTORE_FAULT_CONTROL": self.path,
                "KVSTORE_FAULT_ROOT": self.root}

    def arm(self, kinds, n, action, argument=0, last=None, match=""):
        """From now on, the action applies to the n-th to last-th (by default only the n-th) call of
        one of the kinds on a path that contains `match`."""
        names = kinds.split() if isinstance(kinds, str) else kinds
        at = _RULES_AT + self._next * _RULE.size
        if self._next == _RULES:
            raise ValueError("too many fault rules; heal first")
        self._next += 1
        fields = (sum(1 << KINDS.index(name) for name in names), ACTIONS.index(action), argument,
                  n, n if last is None else last, 0, 0, 0, match.encode())
        _RULE.pack_into(self.memory, at, 0, *fields)
        struct.pack_into("<I", self.memory, at, 1)
        return Rule(self, at)

    def heal(self):
        """Ends all rules. Their counts can be read until new ones are armed."""
        for number in range(_RULES):
            struct.pack_into("<I", self.memory, _RULES_AT + number * _RULE.size, 0)
        self._next = 0

    def close(self):
        """Releases the control file; rules can no longer be armed or read."""
        self.memory.close()

    def check_loaded(self):
        """Fails when the shim is not loaded, without which every test would pass. Call it once the
        server has opened its files."""
        if not self.counts()["open"]:
            raise AssertionError("the fault shim sees no call of the server")

    def counts(self):
        """Calls by kind since the shim was made."""
        return dict(zip(KINDS, struct.unpack_from(f"<{len(KINDS)}Q", self.memory, _CALLS_AT)))
