"""The requests of the model test, from a seed."""
import os
import random

import harness
from client import SEEN, unix_ms
from recorded import DURABLE
from values import encode

# Some keys share a prefix, and some are prefixes of others; the last ones hold numbers, mostly.
KEYS = ("a", "a/1", "a/2", "b", "b/1", "c")
NUMBERS = ("n", "n/1")
PREFIXES = ("", "", "a", "a/", "b", "z")
STEPS = (2, 7)  # of a client in a round
ADMINISTERED = (0, 0, 0, 1, 2)
SIZES = (0, 20, 300)
MODES = (*harness.MODES, "encrypt")
# How often a request is a single operation, a scan, or else a batch or a transaction.
SHARES = (0.7, 0.15)
# In some scenarios one key in the middle has a value so large that a Scan takes several messages;
# one client scans all the time, while the others write single operations, batches and transactions.
LARGE_KEY, LARGE_SIZE = "b", 400_000
SHARES_BESIDE_SCANS = (0.4, 0)
# By the frozen service, which shows keys alone, and by kvstore.v1.
KEYS_ALL, LIST_ALL = ("scan", "", 0, True), ("list", "", False, 0)
# Some expire while they are in flight, some during a round, some never.
TIMES_MS = (1, 5, 30, 200, 3_600_000)
DELTAS = (1, 1, 5, -3, 0, 2**63 - 1, -(2**63))


class Generator:
    """`folder` gets the key file of mode encrypt."""

    def __init__(self, seed, folder):
        self.rng = random.Random(seed)
        self.large = self.rng.random() < 0.4
        self.mode = self.rng.choice(MODES)
        self.counter = 0
        self.values = []
        self.once = []  # requests with a request_id
        self.seed = seed
        self.key_file = os.path.join(folder, "key")
        with open(self.key_file, "wb",
                  opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
            file.write(self.rng.randbytes(32))

    def options(self, plugin):
        if plugin == "encrypt":
            inner = self.rng.choice(("aof", "hybrid"))
            options = ",".join(f"{name}={value}" for name, value in self.options(inner).items())
            return {"inner": inner, "inner_options": options, "key_file": self.key_file}
        options = {}
        if plugin in DURABLE:
            options["fsync"] = self.rng.choice(("always", "everysec", "no"))
            options["aof_max_size"] = self.rng.choice(("4096", "65536", "10485760"))
        if plugin in ("snapshot", "hybrid"):
            options["max_snapshots"] = self.rng.choice(("1", "3"))
        return options

    def scripts(self, clients):
        """What each client does in a round: a list of (kind, operations), the kind one of single,
        batch."""
        shares = SHARES_BESIDE_SCANS if self.large else SHARES
        scripts = [[self._request(*shares) for _ in range(self.rng.randint(*STEPS))]
                   for _ in range(clients)]
        if self.large:
            scripts[0] = [("single", [LIST_ALL])] * len(scripts[0])
        return scripts

    def administration(self):
        actions = []
        for _ in range(self.rng.choice(ADMINISTERED)):
            plugin = self.rng.choice((None, *MODES, *DURABLE))
            actions.append((plugin, self.options(plugin)))  # None: Save
        return actions

    def _request(self, single, scan):
        draw, v1 = self.rng.random(), self.rng.random() < 0.6
        if draw < single:
            return "single", [self._single_of_v1() if v1 else self._operation()]
        if draw < single + scan:
            prefix, limit = self.rng.choice(PREFIXES), self.rng.choice((0, 0, 2))
            flag = self.rng.random() < 0.5
            return "single", [("list", prefix, flag, limit) if v1
                              else ("scan", prefix, limit, flag)]
        if v1:
            return "batch", [self._operation_of_v1() for _ in range(self.rng.randint(2, 4))]
        return "single", [self._transaction()]

    # ---- The frozen service ----

    def _operation(self):
        key, draw = self.rng.choice(KEYS), self.rng.random()
        if self.large and key == LARGE_KEY and draw < 0.95:
            return "get", key
        if draw < 0.5 or (self.large and key == LARGE_KEY):
            return self.set(key)
        return ("delete", key) if draw < 0.65 else ("get", key)

    def set(self, key):
        return "set", key, self._value(key)

    def _value(self, key):
        self.counter += 1
        large = self.large and key == LARGE_KEY
        size = LARGE_SIZE if large else self.rng.choice(SIZES)
        self.values.append(encode(f"v{self.counter}", size))
        return self.values[-1]

    # ---- kvstore.v1 ----

    def _single_of_v1(self):
        draw = self.rng.random()
        if draw < 0.25:
            return self._transaction()
        if draw < 0.4:
            return self._once()
        return self._operation_of_v1()

    def _once(self):
        """A request with an id, new or one that was sent before."""
        if self.once and self.rng.random() < 0.5:
            return self.rng.choice(self.once[-8:])
        draw = self.rng.random()
        operation = (self._transaction(seen=False) if draw < 0.3 else
                     self._add(self.rng.choice(NUMBERS)) if draw < 0.7 else
                     self._put(self._key(), seen=False) if draw < 0.9 else
                     ("remove", self._key(), None, True))
        self.once.append(("once", f"{self.seed}/{len(self.once)}", operation))
        return self.once[-1]

    def _transaction(self, seen=True):
        comparisons = tuple((self._key(), self._condition(seen) or ("exists", True))
                            for _ in range(self.rng.choice((0, 1, 1, 2))))
        lists = [tuple(self._operation_of_v1(seen) for _ in range(self.rng.choice((1, 2, 3))))
                 for _ in range(2)]
        if self.rng.random() < 0.2:  # several entries at one version
            lists[0] = tuple(("read", self._key()) for _ in range(3))
        return ("transact", comparisons, *lists)

    def _key(self):
        keys = [key for key in KEYS if not self.large or key != LARGE_KEY]
        return self.rng.choice((*keys, *NUMBERS))

    def _operation_of_v1(self, seen=True):
        key, draw = self._key(), self.rng.random()
        if key in NUMBERS and draw < 0.6:
            return self._add(key)
        if draw < 0.45:
            return self._put(key, seen)
        if draw < 0.55:
            return "remove", key, self._condition(seen), self.rng.random() < 0.5
        if draw < 0.7:
            return "expire", key, self._expiry(keep=False), self._condition(seen)
        return "read", key

    def _put(self, key, seen):
        return ("put", key, self._value(key), self._expiry(), self._condition(seen),
                self.rng.random() < 0.4)

    def _add(self, key):
        return ("add", key, self.rng.choice(DELTAS), self.rng.choice((0, 10)),
                self._expiry() if self.rng.random() < 0.3 else None)

    def _condition(self, seen=True):
        return self.rng.choice((
            None, None, ("exists", True), ("exists", False), ("version", 0),
            ("version", SEEN if seen else 0), ("version", SEEN if seen else 1),
            ("value", self.rng.choice(self.values[-12:] or [b""]))))

    def _expiry(self, keep=True):
        kind = self.rng.choice((None, None, "at", "ttl", "keep" if keep else "at"))
        if kind in (None, "keep"):
            return kind and (kind,)
        time_ms = self.rng.choice(TIMES_MS)
        return kind, time_ms if kind == "ttl" else unix_ms() + time_ms
