"""Watch of kvstore.v1, through the real server."""
import random
import threading
import time

import grpc

import harness
from harness import PATIENCE, data, deleting, setting
from restores import RestoreCase
from watching import Range, Stream, shown

SET, DELETE, EXPIRE = data.Event.KIND_SET, data.Event.KIND_DELETE, data.Event.KIND_EXPIRE
OUT_OF_RANGE, INVALID = 11, 3


def put(server, key, value=b"v", **fields):
    """The version."""
    return server.keyvalue.Set(data.SetRequest(key=key, value=value, **fields),
                               timeout=PATIENCE).version


def remove(server, key):
    return server.keyvalue.Delete(data.DeleteRequest(key=key), timeout=PATIENCE).version


class Others:
    """Clients that write other keys until the server stops."""

    def __init__(self, server):
        self.server = server
        self.written = 0
        self.enough = threading.Condition()
        self.threads = [threading.Thread(target=self.write, args=(i,)) for i in range(4)]

    def write(self, number):
        try:
            while True:
                put(self.server, f"other{number}")
                with self.enough:
                    self.written += 1
                    self.enough.notify_all()
        except grpc.RpcError:
            pass

    def await_writes(self, count):
        with self.enough:
            if not self.enough.wait_for(lambda: self.written >= count, PATIENCE):
                raise AssertionError("nothing is written")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.join(PATIENCE)


class Events(harness.Case):
    def test_each_change_comes_in_order_with_its_version(self):
        server = self.start(mode="none")
        before = put(server, "a:0", b"zero")
        with Stream(server) as stream:
            created = stream.create("a:")
            self.assertEqual(created.WhichOneof("kind"), "created")
            self.assertEqual(created.version, before)
            put(server, "b:1")
            expected = [(SET, "a:1", b"one", put(server, "a:1", b"one")),
                        (SET, "a:1", b"two", put(server, "a:1", b"two")),
                        (DELETE, "a:1", b"", remove(server, "a:1")),
                        (SET, "a:", b"", put(server, "a:", b""))]
            remove(server, "a:nothing")
            put(server, "a")
            found, version = stream.events(4)
            self.assertEqual([shown(event) for event in found], expected)
            self.assertGreaterEqual(version, expected[-1][3])

    def test_expiry_is_told_from_deletion_and_kinds_are_chosen(self):
        server = self.start(mode="aof")
        with Stream(server) as all_kinds, Stream(server) as only:
            all_kinds.create("k")
            only.create("k", kinds=[EXPIRE, DELETE])
            put(server, "k2", expiry=data.Expiry(ttl_ms=10 ** 9))
            put(server, "k1", expiry=data.Expiry(ttl_ms=50))
            found, _ = all_kinds.events(3)
            self.assertEqual([event.kind for event in found], [SET, SET, EXPIRE])
            self.assertEqual(found[2].entry.key, "k1")
            self.assertGreater(found[0].entry.expire_time_ms, 0)
            remove(server, "k2")
            found, _ = only.events(2)
            self.assertEqual([(event.kind, event.entry.key) for event in found],
                             [(EXPIRE, "k1"), (DELETE, "k2")])

    def test_previous_values_come_when_they_are_asked_for(self):
        server = self.start(mode="none")
        first = put(server, "k", b"before")
        with Stream(server) as stream, Stream(server) as without:
            without.create("k")
            stream.create("k", previous_values=True)
            put(server, "k", b"after")
            put(server, "new", b"x")
            remove(server, "k")
            put(server, "k", b"again")
            found, _ = stream.events(3)
            self.assertEqual((found[0].previous.value, found[0].previous.version, found[0].previous.key),
                             (b"before", first, ""))
            self.assertEqual(found[1].previous.value, b"after")
            self.assertFalse(found[2].HasField("previous"))
            self.assertFalse(any(event.HasField("previous") for event in without.events(3)[0]))

    def test_values_are_left_out_where_that_is_asked_for(self):
        server = self.start(mode="none")
        with Stream(server) as stream:
            stream.create("k", omit_values=True, previous_values=True)
            put(server, "k", b"x" * 1234)
            put(server, "k", b"y" * 200000)
            found, _ = stream.events(2)
            self.assertEqual([event.entry.value for event in found], [b"", b""])
            self.assertEqual([event.entry.omitted_value_size for event in found], [1234, 200000])
            self.assertEqual(found[1].previous.omitted_value_size, 1234)

    def test_large_values_come_whole_also_with_what_they_replaced(self):
        server = self.start(mode="none", flags=["--watch-history", "16M"])
        values = [bytes([65 + i]) * (100000 * (i + 1)) for i in range(8)]
        with Stream(server) as stream:
            stream.create("k", previous_values=True)
            for value in values:
                put(server, "k", value)
            found, _ = stream.events(len(values))
            self.assertEqual([event.entry.value for event in found], values)
            self.assertEqual([event.previous.value for event in found[1:]], values[:-1])

    def test_any_ranges_give_what_a_filter_over_all_changes_gives(self):
        server = self.start(mode="none")
        chance = random.Random(3)

        def word(shortest):
            return "".join(chance.choice("abé") for _ in range(chance.randint(shortest, 4)))

        with Stream(server) as stream:
            wanted = {}
            for watch_id in range(1, 60):
                key, prefix = word(1), word(0)
                chosen = chance.choice([Range(key=key), Range(prefix=prefix), Range(start=key),
                                        Range(start=prefix, end=prefix + "b")])
                if stream.create(watch_id=watch_id, ranges=[chosen]).WhichOneof("kind") == "created":
                    wanted[watch_id] = chosen
            for _ in range(300):
                put(server, word(1))
            last = put(server, "zzz")
            got = {watch_id: [] for watch_id in wanted}
            everything = []
            with Stream(server) as check:
                check.create("", start_version=1)
                everything = [shown(event) for event in check.events(301)[0]]
            expected = {watch_id: [event for event in everything if self.has(chosen, event[1])]
                        for watch_id, chosen in wanted.items()}
            total = sum(len(events) for events in expected.values())
            while sum(len(events) for events in got.values()) < total:
                answer = stream.next()
                if answer.WhichOneof("kind") == "events":
                    got[answer.watch_id] += [shown(event) for event in answer.events.events]
            self.assertEqual(got, expected)
            self.assertEqual(last, everything[-1][3])

    @staticmethod
    def has(chosen, key):
        key, start, end = key.encode(), chosen.start.encode(), chosen.end.encode()
        if chosen.key:
            return key == chosen.key.encode()
        return (key.startswith(chosen.prefix.encode()) and key >= start and (not end or key < end))

    def test_what_is_written_at_once_stays_in_one_message(self):
        server = self.start(mode="none")
        with Stream(server) as stream:
            stream.create("k")
            put(server, "k", b"first")
            server.transact(*(setting(f"k{i:04}", b"x" * 200) for i in range(2000)))
            put(server, "k", b"last")
            sizes = []
            while sum(sizes) < 2002:
                answer = stream.next()
                keys = [event.entry.key for event in answer.events.events]
                sizes.append(len(keys))
                if "k0000" in keys:
                    self.assertIn("k1999", keys)

    def test_it_stays_in_one_message_whatever_comes_before_it(self):
        """Before what is large in itself, or by the number of its changes, stand many small changes."""
        for each, count, before in ((b"", 10000, b""), (b"x" * 1000, 1000, b"x" * 80)):
            with self.subTest(count=count):
                server = self.start(f"whole{count}", mode="none")
                for i in range(10):
                    server.batch(*(setting(f"a{i}-{j}", before) for j in range(50)))
                server.transact(*(setting(f"k{i:05}", each) for i in range(count)))
                with Stream(server) as stream:
                    stream.create("", start_version=1)
                    keys = []
                    while not any(key[0] == "k" for key in keys):
                        keys = [event.entry.key for event in stream.next().events.events]
                    self.assertEqual(sum(key[0] == "k" for key in keys), count)

    def test_kinds_hold_for_changes_and_not_for_the_initial_state(self):
        server = self.start(mode="none")
        first, second = put(server, "a"), put(server, "b")
        with Stream(server) as stream:
            stream.create("", initial_state=True, kinds=[DELETE])
            found, _ = stream.events(2)
            self.assertEqual([shown(event) for event in found],
                             [(SET, "a", b"v", first), (SET, "b", b"v", second)])
            stream.until(lambda answer: answer.WhichOneof("kind") == "initial_done")
            put(server, "a", b"new")
            version = remove(server, "b")
            found, _ = stream.events(1)
            self.assertEqual(shown(found[0]), (DELETE, "b", b"", version))

    def test_the_servers_own_keys_are_never_shown(self):
        server = self.start(mode="aof")
        with Stream(server) as stream:
            stream.create("", initial_state=True, progress_interval_ms=100)
            stream.until(lambda answer: answer.WhichOneof("kind") == "initial_done")
            version = put(server, "k", b"v", request_id="once")
            found, _ = stream.events(1)
            self.assertEqual([shown(event) for event in found], [(SET, "k", b"v", version)])
            stream.until(lambda answer: answer.WhichOneof("kind") == "progress"
                         and answer.version >= server.status().version)
        with Stream(server) as stream:
            stream.create("", initial_state=True)
            found, _ = stream.events(1)
            self.assertEqual([event.entry.key for event in found], ["k"])
        with Stream(server) as stream:
            stream.create("", start_version=1)
            self.assertEqual([event.entry.key for event in stream.events(1)[0]], ["k"])


class Streams(harness.Case):
    def test_each_watch_of_a_stream_is_ended_alone(self):
        server = self.start(mode="none")
        with Stream(server) as stream:
            stream.create("a", watch_id=7)
            stream.create("", watch_id=8)
            put(server, "a1")
            stream.events(1, watch_id=7)
            stream.cancel(7)
            ended = stream.until(lambda answer: answer.watch_id == 7)
            self.assertEqual((ended.WhichOneof("kind"), ended.ended.code), ("ended", 0))
            version = put(server, "a2")
            self.assertEqual(stream.until(lambda answer: answer.version >= version).watch_id, 8)
            stream.cancel(7)
            ended = stream.until(lambda answer: answer.watch_id == 7).ended
            self.assertEqual((ended.code, ended.reason), (5, "WATCH_NOT_FOUND"))
            self.assertEqual(stream.create("a", watch_id=7).WhichOneof("kind"), "created")

    def test_a_client_that_sends_no_more_is_served_until_its_watches_are_over(self):
        server = self.start(mode="none")
        with Stream(server) as stream:
            stream.create("a")
            stream.half_close()
            for _ in range(3):
                put(server, "a")
            self.assertEqual(len(stream.events(3)[0]), 3)
        with Stream(server) as stream:
            stream.create("a")
            stream.cancel()
            stream.half_close()
            stream.until(lambda answer: answer.WhichOneof("kind") == "ended")
            self.assertRaises(EOFError, stream.next)
        with Stream(server) as stream:
            stream.half_close()
            with self.assertRaises(grpc.RpcError) as failed:
                stream.next()
            self.assertEqual(failed.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_what_no_watch_can_be_is_refused_with_its_reason(self):
        server = self.start(mode="none")
        put(server, "k")
        refused = [
            ({"ranges": [Range()] * 101}, INVALID, "FIELD_INVALID", "create.ranges"),
            ({"ranges": [Range(start="b", end="a")]}, INVALID, "FIELD_INVALID", "create.ranges[0]"),
            ({"ranges": [Range(key="a", prefix="b")]}, INVALID, "FIELD_INVALID", "create.ranges[0].key"),
            ({"start_version": 1, "initial_state": True, "ranges": [Range()]}, INVALID,
             "FIELD_INVALID", "create.start_version"),
            ({"kinds": [0], "ranges": [Range()]}, INVALID, "FIELD_INVALID", "create.kinds[0]"),
            ({"start_version": 999, "ranges": [Range()]}, OUT_OF_RANGE, "VERSION_NOT_HELD", "999"),
        ]
        with Stream(server) as stream:
            for fields, code, reason, text in refused:
                answer = stream.create(**fields)
                self.assertEqual((answer.ended.code, answer.ended.reason), (code, reason), answer)
                self.assertIn(text, answer.ended.message)
            stream.send(data.WatchRequest(create=data.WatchRequest.Create(watch_id=3)))
            self.assertEqual(stream.next().ended.code, INVALID)
            stream.create("", watch_id=1)
            stream.send(data.WatchRequest(create=data.WatchRequest.Create(watch_id=1)))
            with self.assertRaises(grpc.RpcError) as failed:
                stream.next()
            self.assertEqual(failed.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        with Stream(server) as stream:
            stream.send(data.WatchRequest())
            with self.assertRaises(grpc.RpcError) as failed:
                stream.next()
            self.assertEqual(failed.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)

    def test_a_stream_has_at_most_a_thousand_watches(self):
        server = self.start(mode="none")
        with Stream(server) as stream:
            for watch_id in range(1000):
                self.assertEqual(stream.create("k", watch_id=watch_id).WhichOneof("kind"), "created")
            ended = stream.create("k", watch_id=5000).ended
            self.assertEqual((ended.code, ended.reason), (8, "TOO_MANY_WATCHES"))
            put(server, "k")
            told = {stream.next().watch_id for _ in range(1000)}
            self.assertEqual(told, set(range(1000)))

    def test_progress_is_told_while_nothing_else_is(self):
        server = self.start(mode="none")
        with Stream(server) as stream:
            stream.create("mine", progress_interval_ms=100)
            version = put(server, "other")
            stream.until(lambda answer: answer.WhichOneof("kind") == "progress"
                         and answer.version >= version)

    def test_a_stop_of_the_server_ends_streams_as_unavailable(self):
        server = self.start(mode="none")
        streams = [Stream(server), Stream(server)]
        for stream in streams:
            stream.create("a")
        streams[1].cancel()
        server.terminate()
        for stream in streams:
            with self.assertRaises(grpc.RpcError) as failed:
                stream.until(lambda answer: False)
            self.assertEqual(failed.exception.code(), grpc.StatusCode.UNAVAILABLE)
        server.stop()


class Resume(harness.Case):
    def test_a_watch_goes_on_from_any_version_without_gap_or_duplicate(self):
        server = self.start(mode="none")
        versions = [put(server, f"k{i % 7}", str(i).encode()) for i in range(500)]
        with Stream(server) as stream:
            for watch_id, index in enumerate((0, 1, 250, 499)):
                created = stream.create("k", watch_id=watch_id, start_version=versions[index])
                self.assertEqual(created.version, versions[index] - 1)
                found, _ = stream.events(500 - index, watch_id=watch_id)
                self.assertEqual([event.entry.version for event in found], versions[index:])
                stream.cancel(watch_id)
            self.assertEqual(stream.create("k", start_version=versions[-1] + 1).WhichOneof("kind"),
                             "created")
            version = put(server, "k")
            self.assertEqual(stream.events(1)[0][0].entry.version, version)

    def test_what_the_history_no_longer_has_is_refused_with_the_lowest_version(self):
        server = self.start(mode="none", flags=["--watch-history", "1M"])
        for i in range(30):
            put(server, "k", bytes(60000))
        with Stream(server) as stream:
            ended = stream.create("", start_version=1).ended
            self.assertEqual((ended.code, ended.reason), (OUT_OF_RANGE, "VERSION_NOT_HELD"))
            self.assertGreater(ended.lowest_version, 1)
            stream.create("", start_version=ended.lowest_version)
            found, _ = stream.events(1)
            self.assertEqual(found[0].entry.version, ended.lowest_version)
            stream.cancel()
            refused = stream.create("", watch_id=2, start_version=ended.lowest_version - 1)
            self.assertEqual(refused.ended.reason, "VERSION_NOT_HELD")

    def test_after_a_restart_it_goes_on_with_what_the_log_has(self):
        for mode in ("aof", "hybrid"):
            with self.subTest(mode=mode):
                server = self.start(mode, mode=mode)
                expected = [(SET, f"k{i}", b"v", put(server, f"k{i}")) for i in range(20)]
                expected.append((DELETE, "k3", b"", remove(server, "k3")))
                server.kill9()
                server = self.start(mode)
                expected.append((SET, "more", b"v", put(server, "more")))
                with Stream(server) as stream:
                    stream.create("", start_version=expected[0][3], previous_values=True)
                    found, _ = stream.events(len(expected))
                    self.assertEqual([shown(event) for event in found], expected)
                    self.assertEqual(found[20].previous.value, b"v")

    def test_a_mode_without_a_log_begins_at_the_start(self):
        server = self.start(mode="snapshot")
        version = put(server, "k")
        server.stop()
        server = self.start()
        with Stream(server) as stream:
            ended = stream.create("", start_version=version).ended
            self.assertEqual((ended.reason, ended.lowest_version), ("VERSION_NOT_HELD", version + 1))
            self.assertEqual(stream.create("", start_version=version + 1).WhichOneof("kind"), "created")

    def test_an_orderly_restart_leaves_no_gap_though_only_others_wrote(self):
        for mode in ("snapshot", "hybrid", "aof"):
            with self.subTest(mode=mode):
                server = self.start(mode, mode=mode)
                first = put(server, "mine")
                server.batch(*(  # they expire while it stops
                    setting(f"expiring{i}", b"", expiry=data.Expiry(ttl_ms=50 + i))
                    for i in range(2000)))
                with Stream(server) as stream, Others(server) as others:
                    stream.create("mine", start_version=first)
                    stream.create("mine", watch_id=2)
                    others.await_writes(others.written + 100)
                    server.terminate()
                    seen = {}
                    with self.assertRaises(grpc.RpcError) as failed:
                        while True:
                            answer = stream.next()
                            seen[answer.watch_id] = answer.version
                    self.assertEqual(failed.exception.code(), grpc.StatusCode.UNAVAILABLE)
                server.stop()
                server = self.start(mode)
                with Stream(server) as stream:
                    for watch_id, version in seen.items():
                        created = stream.create("mine", watch_id=watch_id, start_version=version + 1)
                        self.assertEqual(created.WhichOneof("kind"), "created", created)
                    put(server, "mine")
                    self.assertEqual({stream.next().watch_id, stream.next().watch_id}, set(seen))

    def test_an_orderly_stop_tells_of_what_was_looked_at_in_vain(self):
        server = self.start(mode="snapshot")
        first, last = put(server, "mine"), put(server, "other")
        with Stream(server) as stream:
            self.assertEqual(stream.create("mine", start_version=first + 1).version, first)
            server.terminate()
            self.assertEqual(stream.next().version, last)
        server.stop()

    def test_a_switch_of_the_mode_leaves_no_gap(self):
        server = self.start(mode="none")
        with Stream(server) as stream:
            stream.create("k")
            versions = [put(server, "k")]
            server.configure("aof")
            versions.append(put(server, "k"))
            found, _ = stream.events(2)
            self.assertEqual([event.entry.version for event in found], versions)

    def test_no_gap_and_no_duplicate_while_many_write_and_watches_come_and_go(self):
        server = self.start(mode="none")
        stop = threading.Event()
        written = [{} for _ in range(4)]

        def write(number):
            stub = harness.data_grpc.KeyValueServiceStub(server.connect())
            i = 0
            while not stop.is_set():
                operations = [setting(f"w{number}:{j}", f"{i}".encode()) for j in range(5)]
                answer = stub.Batch(data.BatchRequest(operations=operations), timeout=PATIENCE)
                for j, result in enumerate(answer.results):
                    written[number][result.set.version] = (f"w{number}:{j}", f"{i}".encode())
                i += 1

        writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
        for writer in writers:
            writer.start()
        got, start = {}, 1
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            with Stream(server) as stream:
                stream.create("w", start_version=start)
                found, version = stream.events(random.randint(1, 2000))
                for event in found:
                    self.assertGreaterEqual(event.entry.version, start)
                    self.assertNotIn(event.entry.version, got)
                    got[event.entry.version] = (event.entry.key, event.entry.value)
                start = version + 1
        stop.set()
        for writer in writers:
            writer.join(PATIENCE)
        expected = {version: change for part in written for version, change in part.items()}
        with Stream(server) as stream:
            stream.create("w", start_version=start)
            while len(got) < len(expected):
                for event in stream.events(1)[0]:
                    self.assertNotIn(event.entry.version, got)
                    got[event.entry.version] = (event.entry.key, event.entry.value)
        self.assertEqual(got, expected)


class Many(harness.Case):
    def test_ten_thousand_watches_are_each_told_what_concerns_them(self):
        server = self.start(mode="none")
        streams = [Stream(server) for _ in range(10)]
        for number, stream in enumerate(streams):
            for watch_id in range(1000):
                stream.ask(watch_id=watch_id, ranges=[Range(key=f"k{number * 1000 + watch_id}"),
                                                      Range(prefix=f"p{watch_id}:")])
        for stream in streams:
            for _ in range(1000):
                self.assertEqual(stream.next().WhichOneof("kind"), "created")
        chance = random.Random(5)
        chosen = [chance.randrange(10000) for _ in range(300)]
        for index in chosen:
            put(server, f"k{index}")
        put(server, "p77:x")
        for number, stream in enumerate(streams):
            expected = sorted((index % 1000, f"k{index}") for index in chosen
                              if index // 1000 == number)
            got = []
            while (77, "p77:x") not in got or len(got) <= len(expected):
                answer = stream.next()
                got += [(answer.watch_id, event.entry.key) for event in answer.events.events]
            self.assertEqual(sorted(got), sorted([*expected, (77, "p77:x")]))
            stream.close()


class Replaced(RestoreCase):
    def test_a_restore_ends_watches_as_their_history_is_not_known(self):
        server = self.start(mode="none")
        put(server, "k", b"old")
        backup = self.back_up(server)
        with Stream(server) as stream:
            stream.create("k", watch_id=1)
            stream.create("nothing", watch_id=2)
            version = put(server, "k", b"new")
            self.restore(server, backup, replace_existing=True)
            after = put(server, "k", b"after")
            answers = [stream.next() for _ in range(3)]
            events = [answer for answer in answers if answer.WhichOneof("kind") == "events"]
            self.assertEqual([event.entry.version for event in events[0].events.events], [version])
            ended = [answer for answer in answers if answer.WhichOneof("kind") == "ended"]
            self.assertEqual(sorted(answer.watch_id for answer in ended), [1, 2])
            for answer in ended:
                self.assertEqual((answer.ended.reason, answer.ended.start_version),
                                 ("STORE_REPLACED", 0))
            refused = stream.create("k", watch_id=3, start_version=version + 1).ended
            self.assertEqual(refused.reason, "VERSION_NOT_HELD")
            self.assertEqual(refused.lowest_version, after)
            stream.create("k", watch_id=4, start_version=refused.lowest_version)
            self.assertEqual(stream.events(1, watch_id=4)[0][0].entry.value, b"after")


    def test_a_restore_while_the_initial_state_is_sent_ends_the_watch_after_it(self):
        server = self.start(mode="none")
        backup = self.back_up(server)
        keys = [f"k{i:02}" for i in range(32)]
        for key in keys:
            put(server, key, bytes(1 << 20))  # more than the connection takes unread
        with Stream(server, reads=False) as stream:
            stream.ask("k", initial_state=True)
            stream.await_created()
            self.restore(server, backup, replace_existing=True)
            put(server, "k", b"after")
            stream.read()
            stream.next()
            events, _ = stream.events(len(keys))
            self.assertEqual([event.entry.key for event in events], keys)
            self.assertEqual(stream.next().WhichOneof("kind"), "initial_done")
            ended = stream.until_ended().ended
            self.assertEqual((ended.reason, ended.start_version), ("STORE_REPLACED", 0))


class InitialState(harness.Case):
    def test_all_entries_come_first_then_the_changes_since(self):
        server = self.start(mode="none")
        versions = {f"k{i:04}": put(server, f"k{i:04}", b"x" * 300) for i in range(1000)}
        put(server, "other")
        put(server, "k0500", b"due", expiry=data.Expiry(expire_time_ms=1))
        del versions["k0500"]
        with Stream(server) as stream:
            created = stream.create("k", initial_state=True)
            found, done = self.state(stream)
            self.assertEqual({event.entry.key: event.entry.version for event in found}, versions)
            self.assertEqual([event.entry.key for event in found], sorted(versions))
            self.assertTrue(all(event.kind == SET for event in found))
            self.assertEqual(created.version, 0)
            self.assertGreater(done.version, max(versions.values()))
            version = put(server, "k", b"new")
            since = []
            while not since:  # its end, which comes when the server gets to it, may be a message of its own
                since = [shown(event) for event in stream.events(1)[0] if event.entry.key != "k0500"]
            self.assertEqual(since, [(SET, "k", b"new", version)])

    @staticmethod
    def state(stream, watch_id=1):
        found = []
        while True:
            answer = stream.next()
            if answer.watch_id != watch_id:
                continue
            if answer.WhichOneof("kind") == "initial_done":
                return found, answer
            if answer.WhichOneof("kind") != "events":
                raise AssertionError(f"{answer} in the initial state")
            found += answer.events.events

    def test_a_copy_that_follows_is_as_the_store_under_writes(self):
        server = self.start(mode="none")
        stop = threading.Event()

        def write(number):
            stub = harness.data_grpc.KeyValueServiceStub(server.connect())
            chance = random.Random(number)
            while not stop.is_set():
                operations = []
                for _ in range(20):
                    key = f"k{chance.randint(0, 3000)}"
                    operations.append(
                        deleting(key) if chance.random() < .3
                        else setting(key, str(chance.random()).encode()))
                stub.Batch(data.BatchRequest(operations=operations), timeout=PATIENCE)

        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for writer in writers:
            writer.start()
        streams = []
        for _ in range(5):
            time.sleep(0.2)
            streams.append(Stream(server))
            streams[-1].create("k", initial_state=True)
        stop.set()
        for writer in writers:
            writer.join(PATIENCE)
        last = put(server, "k", b"the last")
        truth = {entry.key: entry.value
                 for part in server.keyvalue.Scan(data.ScanRequest(range=Range(prefix="k")))
                 for entry in part.entries}
        for stream in streams:
            copy, seen = {}, 0
            state, _ = self.state(stream)
            for event in state:
                copy[event.entry.key] = event.entry.value
            while seen < last:
                for event in stream.events(1)[0]:
                    self.assertGreater(event.entry.version, seen)
                    seen = event.entry.version
                    if event.kind == SET:
                        copy[event.entry.key] = event.entry.value
                    else:
                        del copy[event.entry.key]
            self.assertEqual(copy, truth)
            stream.close()

    def test_the_state_of_an_empty_store_is_over_at_once(self):
        server = self.start(mode="none")
        with Stream(server) as stream:
            stream.create("", initial_state=True)
            found, done = self.state(stream)
            self.assertEqual((found, done.version), ([], 0))


if __name__ == "__main__":
    harness.main()
