"""Scan, DeleteRange and WaitDurable of kvstore.v1, through the real server."""
import random

import grpc

import harness
from harness import PATIENCE, data

Range = data.KeyRange
COUNT = data.ScanRequest.PROJECTION_COUNT
KEYS = data.ScanRequest.PROJECTION_KEYS
SYNCED = data.DURABILITY_SYNCED


def scan(server, **fields):
    """All messages."""
    return list(server.keyvalue.Scan(data.ScanRequest(**fields), timeout=PATIENCE))


def entries(server, **fields):
    return [entry for part in scan(server, **fields) for entry in part.entries]


def pages(server, limit, **fields):
    """The keys of all pages, and how many pages."""
    keys, token, count = [], "", 0
    while True:
        parts = scan(server, limit=limit, page_token=token, **fields)
        keys += [entry.key for part in parts for entry in part.entries]
        count += 1
        token = parts[-1].next_page_token
        if not token:
            return keys, count


def fill(server, keys, size=10):
    server.fill((key, key.encode().ljust(size)) for key in keys)


def delete_range(server, **fields):
    validate_only = fields.pop("validate_only", False)
    return server.keyvalue.DeleteRange(
        data.DeleteRangeRequest(range=Range(**fields), validate_only=validate_only),
        timeout=PATIENCE)


def wait_durable(server, version=0, durability=SYNCED):
    return server.keyvalue.WaitDurable(
        data.WaitDurableRequest(version=version, durability=durability), timeout=PATIENCE).version


def reason_of(error):
    for key, value in error.trailing_metadata():
        if key == "grpc-status-details-bin":
            return value
    return b""


class Scan(harness.Case):
    def test_any_range_is_what_a_sorted_list_has(self):
        server = self.start(mode="none")
        chance = random.Random(1)
        keys = sorted({"".join(chance.choice("abé") for _ in range(chance.randint(1, 7)))
                       for _ in range(3000)}, key=str.encode)
        fill(server, keys)
        for _ in range(60):
            prefix, start, end = ("".join(chance.choice("abé") for _ in range(chance.randint(0, 3)))
                                  for _ in range(3))
            expected = [key for key in keys if key.startswith(prefix)
                        and key.encode() >= start.encode()
                        and (not end or key.encode() < end.encode())]
            given = {"range": Range(prefix=prefix, start=start, end=end)}
            try:
                found = [entry.key for entry in entries(server, **given)]
            except grpc.RpcError as error:
                self.assertEqual(error.code(), grpc.StatusCode.INVALID_ARGUMENT)
                self.assertEqual(expected, [])
                continue
            self.assertEqual(found, expected)
            self.assertEqual([entry.key for entry in entries(server, descending=True, **given)],
                             expected[::-1])
            self.assertEqual(scan(server, projection=COUNT, **given)[-1].count, len(expected))
            limit = chance.randint(1, 400)
            for descending in (False, True):
                found, count = pages(server, limit, descending=descending, **given)
                self.assertEqual(found, expected[::-1] if descending else expected)
                self.assertEqual(count, max(1, -(-len(expected) // limit)))

    def test_a_page_token_is_valid_after_a_crash(self):
        server = self.start(mode="aof")
        fill(server, [f"{number:04}" for number in range(100)])
        first = scan(server, limit=40, projection=KEYS)
        server.kill9()
        server = self.start()
        rest = scan(server, limit=100, projection=KEYS, page_token=first[-1].next_page_token)
        self.assertEqual([entry.key for entry in rest[0].entries],
                         [f"{number:04}" for number in range(40, 100)])
        self.assertEqual(rest[-1].next_page_token, "")
        with self.assertRaises(grpc.RpcError) as caught:
            scan(server, descending=True, page_token=first[-1].next_page_token)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.INVALID_ARGUMENT)
        self.assertIn(b"PAGE_TOKEN_INVALID", reason_of(caught.exception))

    def test_a_stream_shows_one_version_whatever_is_written_meanwhile(self):
        server = self.start(mode="none")
        keys = [f"{number:05}" for number in range(20000)]
        fill(server, keys, size=300)
        for descending in (False, True):
            stream = server.keyvalue.Scan(data.ScanRequest(descending=descending), timeout=PATIENCE)
            first = next(stream)
            version = first.version
            fill(server, keys, size=301)
            delete_range(server, prefix="1")
            rest = list(stream)
            shown = [entry for part in [first, *rest] for entry in part.entries]
            self.assertEqual([entry.key for entry in shown], keys[::-1] if descending else keys)
            self.assertEqual({len(entry.value) for entry in shown}, {300})
            self.assertEqual({part.version for part in [first, *rest]}, {version})
            self.assertTrue(all(entry.version <= version for entry in shown))
            fill(server, keys, size=300)

    def test_an_old_and_a_new_scan_agree(self):
        server = self.start(mode="none")
        fill(server, [f"{number:05}" for number in range(10000)])
        self.assertEqual(server.scan(), [(entry.key, entry.value) for entry in entries(server)])
        self.assertEqual(server.keys(), [entry.key for entry in entries(server, projection=KEYS)])

    def test_versions_and_what_was_left_out_are_told(self):
        server = self.start(mode="hybrid")
        versions = [server.keyvalue.Set(data.SetRequest(key=key, value=b"v" * size)).version
                    for key, size in (("a", 5), ("b", 100000), ("c", 0))]
        for restarts in (False, True):
            if restarts:
                server.stop()
                server = self.start()
            found = entries(server, value_size_max=5)
            self.assertEqual([entry.version for entry in found], versions)
            self.assertEqual([len(entry.value) for entry in found], [5, 0, 0])
            self.assertEqual([entry.omitted_value_size for entry in found], [0, 100000, 0])
            self.assertEqual([entry.omitted_value_size for entry in entries(server, projection=KEYS)],
                             [5, 100000, 0])


class DeleteRange(harness.Case):
    def test_what_was_counted_is_deleted_and_stays_so(self):
        server = self.start(mode="aof")
        fill(server, [f"{number:05}" for number in range(30000)])
        self.assertEqual(delete_range(server, start="1", end="25", validate_only=True).count, 15000)
        self.assertEqual(server.status().keys, 30000)
        answer = delete_range(server, start="1", end="25")
        self.assertEqual(answer.count, 15000)
        self.assertEqual(answer.version, server.keyvalue.Set(
            data.SetRequest(key="z", value=b"")).version - 1)
        self.assertEqual(answer.durability, SYNCED)
        server.kill9()
        server = self.start()
        self.assertEqual(server.status().keys, 15001)
        self.assertEqual(scan(server, projection=COUNT, range=Range(start="1", end="25"))[-1].count, 0)
        self.assertEqual(delete_range(server).count, 15001)
        self.assertEqual(server.keys(), [])

    def test_writes_of_others_come_in_between(self):
        server = self.start(mode="none")
        fill(server, [f"{number:06}" for number in range(200000)])
        channel = server.connect()
        stub = harness.data_grpc.KeyValueServiceStub(channel)
        call = stub.DeleteRange.future(data.DeleteRangeRequest(range=Range(prefix="")),
                                       timeout=PATIENCE)
        versions = []
        while not call.done():
            versions.append(server.keyvalue.Set(data.SetRequest(key="0", value=b"")).version)
        answer = call.result()
        self.assertTrue([version for version in versions if version < answer.version])
        self.assertGreaterEqual(answer.count, 200000)

    def test_a_call_that_is_cancelled_leaves_the_rest(self):
        server = self.start(mode="none")
        keys = [f"{number:06}" for number in range(300000)]
        fill(server, keys)
        call = server.keyvalue.DeleteRange.future(
            data.DeleteRangeRequest(range=Range(prefix="")), timeout=PATIENCE)
        while server.get("000000") is not None:
            pass
        call.cancel()
        # A range that comes after it is carried out, once the first one has stopped.
        server.set("a", b"")
        self.assertEqual(delete_range(server, prefix="a").count, 1)
        left = server.keys()
        self.assertEqual(left, keys[len(keys) - len(left):])


class WaitDurable(harness.Case):
    def test_what_was_waited_for_survives_a_kill_in_every_mode_that_keeps_data(self):
        for mode, options in (("snapshot", ()), ("aof", ("fsync=no",)), ("aof", ("fsync=everysec",)),
                              ("hybrid", ())):
            with self.subTest(mode=mode, options=options):
                name = f"{mode}{options}"
                server = self.start(name, mode=mode, options=options)
                version = server.keyvalue.Set(data.SetRequest(key="a", value=b"1")).version
                self.assertGreaterEqual(wait_durable(server, version), version)
                server.kill9()
                server = self.start(name)
                self.assertEqual(server.get("a"), b"1")
                # Of the last change, which was loaded.
                self.assertGreaterEqual(wait_durable(server), version)
                server.stop()

    def test_waits_are_answered_by_one_sync(self):
        server = self.start(mode="hybrid", options=("fsync=everysec",))
        version = server.keyvalue.Set(data.SetRequest(key="a", value=b"1")).version
        calls = [server.keyvalue.WaitDurable.future(data.WaitDurableRequest(version=version),
                                                    timeout=PATIENCE) for _ in range(500)]
        self.assertEqual({call.result().version for call in calls}, {version})
        self.assertEqual(server.status().last_save_version, 0)

    def test_nothing_is_durable_that_no_mode_keeps(self):
        server = self.start(mode="none")
        server.set("a", b"1")
        with self.assertRaises(grpc.RpcError) as caught:
            wait_durable(server)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn(b"DURABILITY_NOT_OFFERED", reason_of(caught.exception))
        self.assertEqual(wait_durable(server, durability=data.DURABILITY_MEMORY), 1)
        with self.assertRaises(grpc.RpcError) as caught:
            wait_durable(server, version=2)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.OUT_OF_RANGE)
        self.assertIn(b"VERSION_NOT_REACHED", reason_of(caught.exception))

    def test_a_stop_does_not_wait_for_those_that_wait(self):
        server = self.start(mode="aof", options=("fsync=everysec",))
        server.set("a", b"1")
        call = server.keyvalue.WaitDurable.future(data.WaitDurableRequest(), timeout=PATIENCE)
        server.terminate()
        try:
            call.result()
        except grpc.RpcError as error:
            self.assertIn(error.code(), (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED))
        server.stop()


if __name__ == "__main__":
    harness.main()
