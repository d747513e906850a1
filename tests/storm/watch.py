"""A watch of everything that goes on over the kills of a storm: what it was told must lead to what the
server shows, and each write that was answered must be in it, once and in order."""
from harness import data
from keyvalue import EXPIRING, Defect, expiry_in, unix_ms
from watching import Range, Stream

SET, DELETE, EXPIRE = (data.Event.KIND_SET, data.Event.KIND_DELETE, data.Event.KIND_EXPIRE)
# How often the watch goes on with another stream, of all messages.
AGAIN = 0.05
# The last version may be one at which a request was remembered, of which there is no event.
PROGRESS_MS = 100


class Watch:
    """Of one store. Between a kill and the next start nobody uses it."""

    def __init__(self, storm):
        self.storm = storm
        self.version = self.since = 0
        self.entries = {}  # key -> (value, version, expiry)
        self.told = {}  # version -> (key, value or None), from `since` on
        self.stream = None
        self.begun_ms = 0  # when it had all entries but for what had expired

    # ---- Streams ----

    def follow(self, server, rng):
        """For a thread: until the server is killed."""
        while True:
            self._take(self.stream.next())
            if rng.random() < AGAIN:
                self.stream.close()
                self._go_on(server, False)

    def close(self):
        if self.stream:
            self.stream.close()
            self.stream = None

    def catch_up(self, server, version, goes_on):
        """After a start. `goes_on`: the server has lost nothing."""
        if not goes_on or not self._go_on(server, True):
            self._begin(server)
        while self.version < version:
            self._take(self.stream.next())

    def _go_on(self, server, may_fail):
        """`may_fail`: after a start the server has what its log has."""
        self.stream = Stream(server)
        start = self.version + 1
        answer = self.stream.create(ranges=[Range()], start_version=start,
                                    progress_interval_ms=PROGRESS_MS)
        if answer.WhichOneof("kind") == "created":
            self.storm.counts["watch resumed"] += 1
            return True
        newest = server.status().version
        if (not may_fail or answer.ended.reason != "VERSION_NOT_HELD" or
                answer.ended.lowest_version <= start or start > newest + 1):
            raise Defect(f"a watch from version {start} on was refused, the newest is {newest}: {answer}")
        self.close()
        return False

    def _begin(self, server):
        self.storm.counts["watch begun"] += 1
        self.stream = Stream(server)
        self.stream.create(ranges=[Range()], initial_state=True,
                           progress_interval_ms=PROGRESS_MS)
        self.entries, self.told = {}, {}
        while (answer := self.stream.next()).WhichOneof("kind") != "initial_done":
            for event in answer.events.events:
                entry = event.entry
                self.entries[entry.key] = entry.value, entry.version, entry.expire_time_ms
        self.version = self.since = answer.version
        self.begun_ms = unix_ms()

    # ---- Events ----

    def _take(self, answer):
        if answer.WhichOneof("kind") not in ("events", "progress"):
            raise Defect(f"the watch was sent {answer}")
        for event in answer.events.events:
            self._take_event(event)
        self.version = answer.version
        self.storm.counts["told"] += len(answer.events.events)

    def _take_event(self, event):
        entry = event.entry
        if entry.version <= self.version or entry.version in self.told:
            raise Defect(f"the watch was told {event} after version {self.version}")
        if event.kind == SET:
            self._check_value(entry)
            self.entries[entry.key] = entry.value, entry.version, entry.expire_time_ms
        else:
            self._check_deletion(event, self.entries.pop(entry.key, None))
        self.version = entry.version
        self.told[entry.version] = entry.key, entry.value if event.kind == SET else None

    def _check_deletion(self, event, before):
        key = event.entry.key
        if before is None:
            if key.startswith(EXPIRING) and expiry_in(key) <= self.begun_ms and event.kind == EXPIRE:
                return  # there was such a key, but nobody was to see it
            raise Defect(f"the watch was told {event}, and that key was not there")
        if event.kind == EXPIRE and not 0 < before[2] <= unix_ms():
            raise Defect(f"the watch was told {event}, and that key expires at {before[2]}")

    def _check_value(self, entry):
        if entry.key.startswith(EXPIRING):
            return
        if not self.storm.clients.of_key(entry.key).has_written(entry.key, entry.value):
            raise Defect(f"the watch was told {entry}, which nobody has written")

    # ---- Checks ----

    def check(self, entries, answered_ms):
        """`entries`: what the server showed after the start, up to which the watch has caught up."""
        for key, entry in entries.items():
            told = entry.value, entry.version, entry.expire_time_ms
            if self.entries.get(key) != told and not 0 < entry.expire_time_ms <= unix_ms():
                raise Defect(f"{key} is {told}; by the watch it is {self.entries.get(key)}")
        for key, (_, version, expiry) in self.entries.items():
            if key not in entries and not 0 < expiry <= answered_ms:
                raise Defect(f"{key} is not there; by the watch it is, as version {version}")
        for (key, value), version in self.storm.known.versions.items():
            if self.since < version <= self.version and self.told.get(version) != (key, value):
                raise Defect(f"version {version} gave {key} the value {value[:40]}; the watch was told "
                             f"{self.told.get(version)}")
