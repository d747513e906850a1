"""Watches that fall behind: prompt ones, which large changes put behind, and those whose clients do not
read, through the real server."""
import http.client
import re
import time

import harness
from harness import PATIENCE, data, deleting, setting
from watching import Range, Stream

MIB = 1 << 20
HISTORY = 64 * MIB  # the default of watch-history


def put(server, key, value=b"v"):
    """The version."""
    return server.keyvalue.Set(data.SetRequest(key=key, value=value), timeout=PATIENCE).version


class Prompt(harness.Case):
    """One call, or one moment, changes more than a message has, and nearly all that the history holds."""

    def serve(self):
        server = self.start(mode="none", flags=["--http-listen", "127.0.0.1:0"])
        line = server.log.wait_for("metrics are at http://")
        server.http = int(re.search(r":(\d+)/metrics", line)[1])
        return server

    def figure(self, server, name):
        connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=PATIENCE)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return float(re.search(rf"^{name} (\S+)$", text, re.MULTILINE)[1])

    def check(self, server, act, keys, previous_values=False):
        """Has `act` change `keys` while watches look on; none of them is ended. Returns the events of the
        watch with all there is."""
        with Stream(server) as same, Stream(server) as omitting, Stream(server) as other:
            same.create("a:", previous_values=previous_values)
            omitting.create("a:", omit_values=True)
            other.create("b:")
            act()
            version = put(server, "b:", b"after")
            self.assertEqual([event.entry.version for event in other.events(1)[0]], [version])
            found, _ = same.events(len(keys))
            without, _ = omitting.events(len(keys))
            version = put(server, "a:after")
            for stream, events in ((same, found), (omitting, without)):
                self.assertEqual([event.entry.key for event in events], keys)
                self.assertEqual([event.entry.version for event in stream.events(1)[0]], [version])
        self.assertEqual(self.figure(server, "kvstore_watches_too_slow_total"), 0)
        self.assertLess(self.figure(server, "kvstore_watch_history_bytes"), HISTORY)
        return found

    def test_one_large_value_ends_no_watch(self):
        server = self.serve()
        found = self.check(server, lambda: put(server, "a:", b"x" * (48 * MIB)), ["a:"])
        self.assertEqual(len(found[0].entry.value), 48 * MIB)

    def test_large_values_one_after_the_other_end_no_watch(self):
        server = self.serve()
        keys = [f"a:{i}" for i in range(3)]
        for key in keys:
            self.check(server, lambda key=key: put(server, key, b"x" * (48 * MIB)), [key])

    def test_a_large_transaction_ends_no_watch(self):
        server = self.serve()
        keys = [f"a:{i:02}" for i in range(40)]
        found = self.check(
            server, lambda: server.transact(*(setting(key, b"x" * MIB) for key in keys)), keys)
        self.assertEqual({len(event.entry.value) for event in found}, {MIB})

    # What 1,000 deletions replace is more than the history holds.

    VALUE = b"x" * (100 * 1024)
    KEYS = [f"a:{i:03}" for i in range(1000)]

    def fill(self, server, **fields):
        for i in range(0, len(self.KEYS), 100):
            server.batch(*(setting(key, self.VALUE, **fields) for key in self.KEYS[i:i + 100]))

    def check_previous(self, found, kind):
        """Those that the server has are right, and are not few: of what is deleted in several batches the
        oldest give way in steps, for a watch that reads later."""
        self.assertEqual({event.kind for event in found}, {kind})
        previous = [event.previous.value for event in found if event.HasField("previous")]
        self.assertEqual(set(previous), {self.VALUE})
        self.assertGreaterEqual(len(previous), HISTORY // 8 // len(self.VALUE))

    def test_the_deletion_of_a_large_range_ends_no_watch(self):
        server = self.serve()
        self.fill(server)
        found = self.check(
            server, lambda: server.keyvalue.DeleteRange(
                data.DeleteRangeRequest(range=Range(prefix="a:")), timeout=PATIENCE),
            self.KEYS, previous_values=True)
        self.check_previous(found, data.Event.KIND_DELETE)

    def test_a_batch_of_large_deletions_ends_no_watch(self):
        server = self.serve()
        self.fill(server)
        found = self.check(server, lambda: server.batch(*map(deleting, self.KEYS)), self.KEYS,
                           previous_values=True)
        self.check_previous(found, data.Event.KIND_DELETE)

    def test_the_expiry_of_many_large_values_ends_no_watch(self):
        server = self.serve()
        due = wait = 2
        while time.time() > due - wait / 2:  # they have been set long before it
            wait *= 2
            due = time.time() + wait
            self.fill(server, expiry=data.Expiry(expire_time_ms=int(due * 1000)))
        found = self.check(server, lambda: None, self.KEYS, previous_values=True)
        self.check_previous(found, data.Event.KIND_EXPIRE)


class Slow(harness.Case):
    """Clients that do not read in time."""

    def test_a_watch_that_lags_more_and_more_is_ended_while_its_place_is_held_and_can_go_on(self):
        server = self.start(mode="none", flags=["--watch-history", "16M"])
        with Stream(server, reads=False) as slow, Stream(server) as other:
            slow.ask("k")
            slow.await_created()
            slow.next()
            other.create("k")
            versions = [put(server, f"k{i}", bytes(10000)) for i in range(1380)]  # 13.2 MiB
            self.assertEqual([event.entry.version for event in other.events(1380)[0]], versions)
            got = [event.entry.version for answer in slow.read_some(10)  # more than was in flight
                   for event in answer.events.events]
            versions += [put(server, f"k{i}", bytes(10000)) for i in range(140)]  # 1.3 MiB
            slow.read()
            answer = slow.next()
            while answer.WhichOneof("kind") != "ended":
                got += [event.entry.version for event in answer.events.events]
                answer = slow.next()
            self.assertEqual((answer.ended.code, answer.ended.reason), (10, "WATCH_TOO_SLOW"))
            self.assertEqual(answer.ended.start_version, answer.version + 1)
            slow.create("k", watch_id=2, start_version=answer.ended.start_version)
            got += [event.entry.version for event in slow.events(len(versions) - len(got),
                                                                 watch_id=2)[0]]
            self.assertEqual(got, versions)

    def test_a_client_that_reads_again_in_time_catches_up(self):
        server = self.start(mode="none", flags=["--watch-history", "16M"])
        with Stream(server, reads=False) as slow:
            slow.ask("k")
            slow.await_created()
            slow.next()
            versions = [put(server, f"k{i}", bytes(10000)) for i in range(1500)]  # 14.3 MiB
            slow.read()
            self.assertEqual([event.entry.version for event in slow.events(1500)[0]], versions)

    def test_a_watch_whose_place_is_lost_is_told_to_read_the_state_again(self):
        server = self.start(mode="none", flags=["--watch-history", "1M"])
        with Stream(server, reads=False) as slow:
            slow.ask("k")
            slow.await_created()
            for i in range(300):
                put(server, f"k{i}", bytes(60000))
            slow.read()
            ended = slow.until_ended().ended
            self.assertEqual((ended.reason, ended.start_version), ("WATCH_TOO_SLOW", 0))

    def test_a_watch_that_nothing_concerns_is_never_too_slow(self):
        server = self.start(mode="none", flags=["--watch-history", "8M"])
        with Stream(server) as stream:
            stream.create("mine")
            for i in range(200):
                put(server, "other", bytes(60000))
            version = put(server, "mine")
            self.assertEqual(stream.events(1)[0][0].entry.version, version)


if __name__ == "__main__":
    harness.main()
