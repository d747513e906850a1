"""kvstore.v1.KeyValueService: calls of one key, Batch and Transaction, alone, at the same time, and after
a restart."""
import concurrent.futures
import hashlib
import os
import secrets
import threading
import time

import grpc

import harness
from harness import PATIENCE, data, data_grpc, getting, setting
from reasons import reason_of

Code = grpc.StatusCode
MEMORY, WRITTEN, SYNCED = (data.DURABILITY_MEMORY, data.DURABILITY_WRITTEN, data.DURABILITY_SYNCED)
HOUR = 3_600_000

# Modes whose writes survive kill -9 once they are acknowledged.
LOGS = [("aof", []), ("aof", ["fsync=no"]), ("hybrid", [])]


def now_ms():
    return time.time_ns() // 1_000_000


def exists(wanted=True):
    return data.Condition(exists=wanted)


class KeyValueCase(harness.Case):
    def get(self, server, key, **fields):
        """The entry; None when there is none."""
        answer = server.keyvalue.Get(data.GetRequest(key=key, **fields), timeout=PATIENCE)
        return answer.entry if answer.HasField("entry") else None

    def value(self, server, key):
        entry = self.get(server, key)
        return entry.value if entry else None

    def set(self, server, key, value, **fields):
        return server.keyvalue.Set(data.SetRequest(key=key, value=value, **fields), timeout=PATIENCE)

    def delete(self, server, key, **fields):
        return server.keyvalue.Delete(data.DeleteRequest(key=key, **fields), timeout=PATIENCE)

    def increment(self, server, key, delta=1, **fields):
        return server.keyvalue.Increment(data.IncrementRequest(key=key, delta=delta, **fields),
                                     timeout=PATIENCE)

    def expire(self, server, key, **fields):
        return server.keyvalue.SetExpiry(data.SetExpiryRequest(key=key, **fields), timeout=PATIENCE)

    def transact(self, server, *operations, comparisons=(), otherwise=(), **fields):
        return server.keyvalue.Transaction(
            data.TransactionRequest(comparisons=comparisons, success=operations, failure=otherwise,
                                    **fields), timeout=PATIENCE)

    def assertFailsFor(self, code, reason, call, *texts, metadata=None):
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        error = caught.exception
        self.assertEqual((error.code(), *reason_of(error)), (code, reason, metadata or {}),
                         error.details())
        for text in texts:
            self.assertIn(text, error.details())

    def await_missing(self, server, key):
        """Waits until the key has expired; its time is near."""
        deadline = time.monotonic() + PATIENCE
        while self.get(server, key):
            if time.monotonic() > deadline:
                raise AssertionError(f"{key} does not expire")


def incrementing(key, delta=1):
    return data.Operation(increment=data.IncrementRequest(key=key, delta=delta))


class Calls(KeyValueCase):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")

    def test_values_of_all_sizes_come_back_with_their_versions(self):
        last = 0
        for size in (0, 1, 1000, 70_000, 3 << 20):
            value = os.urandom(size)
            version = self.set(self.server, "k", value).version
            self.assertGreater(version, last)
            last = version
            self.assertEqual(self.get(self.server, "k"), data.Entry(value=value, version=version))
            self.assertEqual(self.get(self.server, "k", omit_value=True),
                             data.Entry(version=version, omitted_value_size=size))
            self.assertEqual(self.server.get("k"), value)
        answer = self.delete(self.server, "k", return_previous=True)
        self.assertEqual(answer.previous, data.Entry(value=value, version=last))
        self.assertTrue(answer.deleted)
        self.assertGreater(answer.version, last)
        self.assertEqual(self.delete(self.server, "k", return_previous=True),
                         data.DeleteResponse(durability=MEMORY))

    def test_each_failure_of_a_write_has_a_reason_for_programs(self):
        version = self.set(self.server, "k", b"secret").version
        self.assertFailsFor(Code.FAILED_PRECONDITION, "CONDITION_NOT_MET",
                            lambda: self.set(self.server, "k", b"v", condition=exists(False)),
                            "condition.exists", str(version),
                            metadata={"current_version": str(version)})
        self.assertFailsFor(Code.FAILED_PRECONDITION, "CONDITION_NOT_MET",
                            lambda: self.delete(self.server, "gone", condition=exists()),
                            "missing", metadata={"current_version": "0"})
        self.assertFailsFor(Code.FAILED_PRECONDITION, "NOT_AN_INTEGER",
                            lambda: self.increment(self.server, "k"))
        self.assertFailsFor(Code.NOT_FOUND, "KEY_NOT_FOUND",
                            lambda: self.expire(self.server, "gone", expiry=data.Expiry(ttl_ms=1)))
        self.assertFailsFor(Code.INVALID_ARGUMENT, "FIELD_INVALID",
                            lambda: self.set(self.server, "", b"v"), "key: is empty")
        self.assertFailsFor(Code.FAILED_PRECONDITION, "DURABILITY_NOT_OFFERED",
                            lambda: self.set(self.server, "k", b"v", durability=SYNCED), "SYNCED")
        self.set(self.server, "max", b"9223372036854775807")
        self.assertFailsFor(Code.FAILED_PRECONDITION, "INTEGER_OVERFLOW",
                            lambda: self.increment(self.server, "max"))
        self.assertEqual(self.get(self.server, "k"), data.Entry(value=b"secret", version=version))

    def test_operations_of_a_batch_have_results_and_errors_of_their_own(self):
        version = self.set(self.server, "k", b"x").version
        results = self.server.keyvalue.Batch(data.BatchRequest(operations=[
            setting("a", b"1"), incrementing("k"), setting("k", b"y", condition=exists(False)),
            incrementing("a", 41), getting("a"), getting("gone")]), timeout=PATIENCE).results
        self.assertEqual([result.WhichOneof("kind") for result in results],
                         ["set", "error", "error", "increment", "get", "get"])
        self.assertEqual(results[0].set, data.SetResponse(version=version + 1))
        self.assertEqual((results[1].error.code, results[1].error.reason),
                         (Code.FAILED_PRECONDITION.value[0], "NOT_AN_INTEGER"))
        self.assertEqual((results[2].error.reason, results[2].error.current_version),
                         ("CONDITION_NOT_MET", version))
        self.assertEqual(results[3].increment,
                         data.IncrementResponse(value=42, version=version + 2))
        self.assertEqual(results[4].get.entry, data.Entry(value=b"42", version=version + 2))
        self.assertFalse(results[5].get.HasField("entry"))

    def test_a_transaction_that_fails_tells_of_no_version_that_it_did_not_make(self):
        version = self.set(self.server, "k", b"x").version
        for key, current in (("none", 0), ("k", version)):
            self.assertFailsFor(
                Code.FAILED_PRECONDITION, "CONDITION_NOT_MET",
                lambda: self.transact(self.server, setting(key, b"mine"),
                                      setting(key, b"y", condition=data.Condition(version=current))),
                "success[1].set.condition: would hold, but for what an operation before it",
                metadata={"current_version": str(current)})
            self.assertFailsFor(
                Code.FAILED_PRECONDITION, "CONDITION_NOT_MET",
                lambda: self.transact(self.server, setting(key, b"mine"),
                                      setting(key, b"y", condition=data.Condition(version=7))),
                "success[1].set.condition.version: 7 was asked for, and the key",
                metadata={"current_version": str(current)})
        self.assertFailsFor(
            Code.FAILED_PRECONDITION, "CONDITION_NOT_MET",
            lambda: self.transact(self.server, setting("none", b"mine"),
                                  data.Operation(delete=data.DeleteRequest(
                                      key="none", condition=exists(False)))),
            "success[1].delete.condition: would hold", metadata={"current_version": "0"})
        self.assertIsNone(self.get(self.server, "none"))

    def test_large_values_of_one_version_come_in_one_answer(self):
        values = {f"k{i}": os.urandom(1 << 20) for i in range(3)}
        for key, value in values.items():
            self.set(self.server, key, value)
        for answer in (self.transact(self.server, *(getting(key) for key in values)),
                       self.transact(self.server, *(getting(key) for key in values),
                                     comparisons=[data.Comparison(key="k0", condition=exists())]),
                       self.server.keyvalue.Batch(data.BatchRequest(
                           operations=[getting(key) for key in values]), timeout=PATIENCE)):
            self.assertEqual([result.get.entry.value for result in answer.results],
                             list(values.values()))

    def test_transaction_carries_out_the_list_that_its_comparisons_choose(self):
        first = self.transact(self.server, setting("k", b"1"), otherwise=[getting("k")],
                              comparisons=[data.Comparison(key="k", condition=exists(False))])
        self.assertTrue(first.succeeded)
        second = self.transact(self.server, setting("k", b"2"), otherwise=[getting("k")],
                               comparisons=[data.Comparison(key="k", condition=exists(False))])
        self.assertFalse(second.succeeded)
        self.assertEqual(second.results[0].get.entry, data.Entry(value=b"1", version=first.version))
        self.assertEqual(second.version, first.version)
        self.assertFailsFor(Code.FAILED_PRECONDITION, "NOT_AN_INTEGER",
                            lambda: self.transact(self.server, setting("text", b"x"),
                                                  incrementing("text")),
                            "success[1].increment.key")
        self.assertIsNone(self.get(self.server, "text"))

    def test_ten_thousand_operations_make_one_transaction(self):
        answer = self.transact(self.server, *(setting(f"k{i:05}", b"%d" % i) for i in range(10_000)))
        self.assertEqual([result.set.version for result in answer.results],
                         list(range(answer.version - 9_999, answer.version + 1)))
        self.assertEqual(self.server.status().keys, 10_000)
        self.assertFailsFor(Code.INVALID_ARGUMENT, "FIELD_INVALID",
                            lambda: self.transact(self.server, *[getting("k")] * 10_001), "10000")


class Expiry(KeyValueCase):
    def test_expiry_is_read_back_kept_cleared_and_set_anew(self):
        server = self.start(mode="none")
        at = now_ms() + HOUR
        self.set(server, "k", b"1", expiry=data.Expiry(expire_time_ms=at))
        self.assertEqual(self.get(server, "k").expire_time_ms, at)
        self.set(server, "k", b"2", expiry=data.Expiry(keep=True))
        self.assertEqual(self.get(server, "k").expire_time_ms, at)
        self.increment(server, "k")
        self.assertEqual(self.get(server, "k").expire_time_ms, at)
        self.set(server, "k", b"4")
        self.assertEqual(self.get(server, "k").expire_time_ms, 0)
        before = now_ms()
        self.expire(server, "k", expiry=data.Expiry(ttl_ms=HOUR))
        self.assertTrue(before + HOUR <= self.get(server, "k").expire_time_ms <= now_ms() + HOUR)
        self.expire(server, "k")
        self.assertEqual(self.get(server, "k").expire_time_ms, 0)
        self.expire(server, "k", expiry=data.Expiry(expire_time_ms=1))
        self.assertIsNone(self.get(server, "k"))

    def test_expiry_of_a_value_above_the_limits_of_messages_is_set(self):
        server = self.start(mode="aof")
        value = os.urandom(3 << 20)
        self.set(server, "k", value)
        server.stop()
        server = self.start(flags=["--max-value-size", "512K", "--max-message-size", "1M"])
        self.expire(server, "k", expiry=data.Expiry(expire_time_ms=(at := now_ms() + HOUR)))
        self.assertEqual(self.get(server, "k").expire_time_ms, at)
        self.assertEqual(self.value(server, "k"), value)

    def test_a_key_expires_everywhere_at_its_time(self):
        server = self.start(mode="none")
        self.set(server, "stays", b"v")
        at = now_ms() + 300
        self.set(server, "k", b"v", expiry=data.Expiry(expire_time_ms=at))
        self.await_missing(server, "k")
        self.assertGreaterEqual(now_ms(), at)
        self.assertIsNone(server.get("k"))
        self.assertEqual(server.keys(), ["stays"])
        self.assertEqual(server.scan(), [("stays", b"v")])
        self.assertFalse(server.delete("k"))
        self.assertFalse(server.batch(getting("k"))[0].get.HasField("entry"))
        deadline = time.monotonic() + PATIENCE
        while server.status().keys != 1:  # it is deleted, too, although nobody touches it
            self.assertLess(time.monotonic(), deadline)

    def test_expiry_survives_a_restart_and_keys_expire_meanwhile(self):
        for mode, options in [("snapshot", []), *LOGS]:
            for orderly in (True, False):
                if mode == "snapshot" and not orderly:
                    continue
                with self.subTest(mode=mode, options=options, orderly=orderly):
                    name = f"{mode}{len(options)}{orderly}"
                    server = self.start(data=name, mode=mode, options=options)
                    at = now_ms() + HOUR
                    self.set(server, "later", b"v", expiry=data.Expiry(expire_time_ms=at))
                    self.set(server, "cleared", b"v", expiry=data.Expiry(ttl_ms=200))
                    self.set(server, "cleared", b"v")
                    self.set(server, "soon", b"v", expiry=data.Expiry(ttl_ms=200))
                    soon = self.get(server, "soon")
                    server.stop() if orderly else server.kill9()
                    while soon and now_ms() < soon.expire_time_ms:
                        time.sleep(0.01)
                    server = self.start(data=name)
                    self.assertIsNone(self.get(server, "soon"))
                    self.assertEqual(self.get(server, "later").expire_time_ms, at)
                    self.assertEqual(self.get(server, "cleared").expire_time_ms, 0)
                    self.assertEqual(sorted(server.keys()), ["cleared", "later"])
                    server.stop()


class Concurrent(KeyValueCase):
    THREADS, EACH = 8, 60

    def run_all(self, server, work):
        """Runs work(stub, number) in threads, each with a connection of its own."""
        def run(number):
            work(data_grpc.KeyValueServiceStub(server.connect()), number)
        with concurrent.futures.ThreadPoolExecutor(self.THREADS) as pool:
            for done in [pool.submit(run, i) for i in range(self.THREADS)]:
                done.result()

    def add_by_condition(self, stub, condition_of):
        """Adds one, as often as it takes until nobody was in between."""
        while True:
            entry = stub.Get(data.GetRequest(key="n"), timeout=PATIENCE).entry
            try:
                stub.Set(data.SetRequest(key="n", value=b"%d" % (int(entry.value or b"0") + 1),
                                         condition=condition_of(entry)), timeout=PATIENCE)
                return
            except grpc.RpcError as error:
                self.assertEqual(reason_of(error)[0], "CONDITION_NOT_MET", error.details())

    def test_no_update_under_a_condition_is_lost(self):
        server = self.start(mode="none")
        ways = [lambda entry: data.Condition(version=entry.version),
                lambda entry: data.Condition(value=entry.value)]
        self.set(server, "n", b"0")

        def work(stub, number):
            for _ in range(self.EACH):
                self.add_by_condition(stub, ways[number % 2])
        self.run_all(server, work)
        self.assertEqual(self.value(server, "n"), b"%d" % (self.THREADS * self.EACH))

    def test_increments_and_transactions_are_not_lost_either(self):
        server = self.start(mode="none")
        sums = [[] for _ in range(self.THREADS)]

        def work(stub, number):
            for i in range(self.EACH):
                if i % 2:
                    answer = stub.Increment(data.IncrementRequest(key="n", delta=1),
                                            timeout=PATIENCE)
                    sums[number].append(answer.value)
                else:
                    answer = stub.Transaction(data.TransactionRequest(
                        success=[incrementing("n"), incrementing("twin")]), timeout=PATIENCE)
                    sums[number].append(answer.results[0].increment.value)
        self.run_all(server, work)
        total = self.THREADS * self.EACH
        self.assertEqual(sorted(sum(sums, [])), list(range(1, total + 1)))
        self.assertEqual(self.value(server, "n"), b"%d" % total)
        self.assertEqual(self.value(server, "twin"), b"%d" % (total // 2))

    def test_only_one_of_many_creates_a_key(self):
        server = self.start(mode="none")
        created = [[] for _ in range(self.THREADS)]

        def work(stub, number):
            for i in range(self.EACH):
                try:
                    stub.Set(data.SetRequest(key=f"k{i}", value=b"%d" % number,
                                             condition=exists(False)), timeout=PATIENCE)
                    created[number].append(i)
                except grpc.RpcError as error:
                    self.assertEqual(reason_of(error)[0], "CONDITION_NOT_MET", error.details())
        self.run_all(server, work)
        self.assertEqual(sorted(sum(created, [])), list(range(self.EACH)))
        for number, keys in enumerate(created):
            for i in keys:
                self.assertEqual(self.value(server, f"k{i}"), b"%d" % number)

    def test_copies_of_a_request_at_the_same_time_are_carried_out_once(self):
        server = self.start(mode="none")
        sums = [[] for _ in range(self.THREADS)]

        def work(stub, number):
            for i in range(self.EACH):
                request = data.IncrementRequest(key=f"n{i}", delta=1, request_id=f"id{i}")
                sums[number].append(stub.Increment(request, timeout=PATIENCE).value)
        self.run_all(server, work)
        self.assertEqual(sums, [[1] * self.EACH] * self.THREADS)
        self.assertEqual(server.status().keys, self.EACH)

    def test_readers_see_all_of_a_transaction_or_nothing(self):
        server = self.start(mode="none")
        ended = threading.Event()
        seen = set()

        def work(stub, number):
            if number == 0:
                try:
                    for i in range(self.EACH * 5):
                        self.transact(server, *(setting(key, b"%d" % i) for key in "abc"))
                finally:
                    ended.set()
            while not ended.is_set():
                results = stub.Transaction(data.TransactionRequest(
                    success=[getting(key) for key in "abc"]), timeout=PATIENCE).results
                seen.add(tuple(result.get.entry.value for result in results))
        self.run_all(server, work)
        self.assertEqual([values for values in seen if len(set(values)) > 1], [])
        self.assertGreater(len(seen), 1, "they saw no change")


class Crash(KeyValueCase):
    def test_a_transaction_survives_kill_9_as_a_whole_or_not_at_all(self):
        for mode, options in LOGS:
            with self.subTest(mode=mode, options=options):
                name = f"{mode}{len(options)}"
                server = self.start(data=name, mode=mode, options=options)
                for round_ in range(3):
                    acknowledged = self.write_until_killed(server, after=20 + 30 * round_)
                    server = self.start(data=name)
                    answer = self.transact(server, *(getting(key) for key in "abc"))
                    values = {result.get.entry.value for result in answer.results}
                    self.assertEqual(len(values), 1, values)
                    self.assertGreaterEqual(int(values.pop()), acknowledged)
                    self.assertEqual(len({result.get.entry.version for result in answer.results}), 3)
                server.stop()

    def write_until_killed(self, server, after):
        """Kills the server once so many transactions have been acknowledged; returns the last one's
        number."""
        channel, last = server.connect(), 0
        stub = data_grpc.KeyValueServiceStub(channel)
        for number in range(1, 1 << 30):
            if number == after:
                killer = threading.Thread(target=server.process.kill)
                killer.start()
            try:
                stub.Transaction(data.TransactionRequest(
                    success=[setting(key, b"%d" % number) for key in "abc"]), timeout=PATIENCE)
                last = number
            except grpc.RpcError:
                break
        killer.join()
        server.kill9()
        return last

    def test_a_snapshot_holds_all_of_a_transaction_or_nothing(self):
        """Taken while others are carried out."""
        server = self.start(mode="snapshot")
        for round_ in range(3):
            self.transact(server, *(setting(key, b"0") for key in "abc"))
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                saving = pool.submit(server.save)
                for number in range(1, 1 << 30):
                    self.transact(server, *(setting(key, b"%d" % number) for key in "abc"))
                    if saving.done():
                        break
                saving.result()
            server.kill9()
            server = self.start()
            values = {self.value(server, key) for key in "abc"}
            self.assertEqual(len(values), 1, values)
            self.assertNotEqual(values, {None})

    def test_a_repeated_request_gets_the_first_answer_after_kill_9(self):
        for mode, options in LOGS:
            with self.subTest(mode=mode, options=options):
                name = f"{mode}{len(options)}"
                server = self.start(data=name, mode=mode, options=options)
                self.set(server, "k", b"old")
                calls = [lambda: self.set(server, "k", b"41", request_id="a", return_previous=True),
                         lambda: self.increment(server, "k", request_id="b"),
                         lambda: self.transact(server, getting("k"), incrementing("k"),
                                               request_id="c"),
                         lambda: self.delete(server, "k", request_id="d", return_previous=True)]
                answers = [call() for call in calls]
                self.set(server, "k", b"new")
                server.kill9()
                server = self.start(data=name)
                version = self.get(server, "k").version
                self.assertEqual(self.without_durability(call() for call in calls),
                                 self.without_durability(answers))
                self.assertEqual(self.get(server, "k"), data.Entry(value=b"new", version=version))
                self.assertFailsFor(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED",
                                    lambda: self.set(server, "k", b"other", request_id="a"))
                server.stop()

    def without_durability(self, answers):
        """It is the one of now."""
        answers = list(answers)
        for answer in answers:
            self.assertGreaterEqual(answer.durability, WRITTEN)
            answer.ClearField("durability")
        return answers

    def test_a_repetition_that_asks_for_it_is_synced(self):
        """The first attempt was answered, or not, by a process that did not sync it."""
        server = self.start(mode="aof", options=["fsync=no"])
        self.assertEqual(self.set(server, "k", b"v", request_id="a").durability, WRITTEN)
        request = data.SetRequest(key="k", value=b"w", request_id="b", durability=SYNCED)
        self.assertEqual(server.keyvalue.Set(request, timeout=PATIENCE).durability, SYNCED)
        self.set(server, "other", b"v")
        server.kill9()
        server = self.start()
        self.assertEqual(server.keyvalue.Set(request, timeout=PATIENCE).durability, SYNCED)


    def test_what_was_synced_is_known_to_be_so_after_a_restart(self):
        for mode in ("aof", "hybrid"):
            with self.subTest(mode):
                server = self.start(data=mode, mode=mode, options=["fsync=always"])
                first = self.set(server, "k", b"v", request_id="a")
                self.assertEqual(first.durability, SYNCED)
                server.kill9()
                server = self.start(data=mode)
                self.assertEqual(self.set(server, "k", b"v", request_id="a"), first)
                server.keyvalue.WaitDurable(data.WaitDurableRequest(version=first.version),
                                            timeout=PATIENCE)
                server.stop()

    def test_a_repetition_is_answered_in_a_mode_that_offers_less(self):
        """A refusal would say that nothing has happened."""
        server = self.start(mode="hybrid")
        calls = {"increment": lambda: self.increment(server, "n", request_id="a", durability=SYNCED),
                 "transact": lambda: self.transact(server, incrementing("n"), request_id="b",
                                                   durability=SYNCED)}
        first = {name: call() for name, call in calls.items()}
        server.configure("none")
        for name, call in calls.items():
            with self.subTest(name):
                again = call()
                self.assertEqual((first[name].durability, again.durability), (SYNCED, MEMORY))
                again.durability = SYNCED
                self.assertEqual(again, first[name])
        self.assertEqual(self.value(server, "n"), b"2")
        self.assertFailsFor(Code.FAILED_PRECONDITION, "DURABILITY_NOT_OFFERED",
                            lambda: self.increment(server, "n", request_id="c", durability=SYNCED))

    def test_a_repetition_is_answered_while_the_server_is_read_only(self):
        server = self.start(mode="none", plugins=f"{harness.PLUGINS}:{harness.BAD_PLUGINS}")
        server.configure("faulty", {"write": "io", "healthy_writes": "2"})
        calls = [lambda: self.increment(server, "n", request_id="a"),
                 lambda: self.transact(server, incrementing("n"), request_id="b")]
        first = [call() for call in calls]
        # Without its directory the server cannot make a fresh generation by itself.
        os.rename(server.data, server.data + ".away")
        self.assertFailsFor(Code.UNAVAILABLE, "READ_ONLY", lambda: self.set(server, "k", b"v"))
        self.assertEqual([call() for call in calls], first)
        self.assertFailsFor(Code.UNAVAILABLE, "READ_ONLY",
                            lambda: self.increment(server, "n", request_id="c"))
        self.assertEqual(self.value(server, "n"), b"2")

    def test_what_only_reads_is_answered_while_the_server_is_read_only(self):
        server = self.start(mode="none", plugins=f"{harness.PLUGINS}:{harness.BAD_PLUGINS}")
        server.configure("faulty", {"write": "io", "healthy_writes": "1"})
        version = self.set(server, "k", b"v").version
        # Without its directory the server cannot make a fresh generation by itself.
        os.rename(server.data, server.data + ".away")
        self.assertFailsFor(Code.UNAVAILABLE, "READ_ONLY", lambda: self.set(server, "k", b"w"))
        there = data.Comparison(key="k", condition=data.Condition(version=version))
        gone = data.Comparison(key="k", condition=exists(False))
        entry = data.Entry(value=b"v", version=version)
        for durability, request_id in ((data.DURABILITY_UNSPECIFIED, "a"), (MEMORY, "")):
            for comparisons in ((), (there,), (there, gone)):
                with self.subTest(durability=durability, comparisons=len(comparisons)):
                    answer = self.transact(server, getting("k"), comparisons=comparisons,
                                           otherwise=[getting("gone"), getting("k")],
                                           durability=durability, request_id=request_id)
                    self.assertEqual(answer.succeeded, gone not in comparisons)
                    self.assertEqual(answer.results[-1].get.entry, entry)
                    self.assertEqual((answer.version, answer.durability), (version, durability))
        # What would be written, or made durable first, is refused.
        for fields in ({"durability": WRITTEN}, {"otherwise": [setting("k", b"w")]}):
            with self.subTest(fields):
                self.assertFailsFor(Code.UNAVAILABLE, "READ_ONLY",
                                    lambda: self.transact(server, getting("k"), **fields))

    def test_an_id_belongs_to_one_request_of_whatever_method(self):
        server = self.start(mode="none")
        version = self.set(server, "k", b"1", request_id="a").version
        for call in (lambda: self.increment(server, "k", request_id="a"),
                     lambda: self.delete(server, "k", request_id="a"),
                     lambda: self.transact(server, setting("k", b"1"), request_id="a")):
            self.assertFailsFor(Code.INVALID_ARGUMENT, "REQUEST_ID_REUSED", call)
        self.assertEqual(self.get(server, "k"), data.Entry(value=b"1", version=version))


class Window(KeyValueCase):
    def test_a_request_is_forgotten_when_its_window_has_passed(self):
        server = self.start(mode="none", flags=["--request-id-window", "1"])
        self.assertEqual(self.increment(server, "n", request_id="a").value, 1)
        deadline = time.monotonic() + PATIENCE
        while self.increment(server, "n", request_id="a").value == 1:
            self.assertLess(time.monotonic(), deadline, "it is remembered for ever")

    def test_window_out_of_bounds_is_refused(self):
        for window in ("0", "86401", "soon"):
            self.assertRefusesToStart("request-id-window", data=window, mode="none",
                                      flags=["--request-id-window", window])

    def test_what_is_remembered_is_in_no_list_and_counts_as_no_key(self):
        server = self.start(mode="none")
        self.set(server, "k", b"v", request_id="a")
        self.assertEqual(server.keys(), ["k"])
        self.assertEqual(server.scan(), [("k", b"v")])
        self.assertEqual(server.status().keys, 1)

    def test_a_request_is_remembered_over_a_switch_of_the_mode(self):
        server = self.start(mode="none")
        version = self.increment(server, "n", request_id="a").version
        for mode in ("aof", "hybrid", "none"):
            server.configure(mode)
            answer = self.increment(server, "n", request_id="a")
            self.assertEqual((answer.value, answer.version), (1, version), mode)

    def test_requests_of_other_users_are_not_meant(self):
        path = os.path.join(self.folder, "users")
        tokens = {name: "kvs_" + secrets.token_urlsafe(32) for name in ("ann", "bob")}
        with open(path, "w", encoding="ascii") as file:
            for name, token in tokens.items():
                digest = hashlib.sha256(token.encode()).hexdigest()
                file.write(f"{name} readwrite:* token=sha256:{digest}\n")
        server = self.start(mode="none", flags=["--users", path])
        request = data.IncrementRequest(key="n", delta=1, request_id="same")
        sums = [server.keyvalue.Increment(request, timeout=PATIENCE, metadata=[
            ("authorization", f"Bearer {tokens[name]}")]).value
            for name in ("ann", "bob", "ann", "bob")]
        self.assertEqual(sums, [1, 2, 1, 2])


class Durable(KeyValueCase):
    def test_each_mode_offers_and_tells_what_it_does(self):
        for mode, options, default in [("none", [], MEMORY), ("snapshot", [], MEMORY),
                                       ("aof", ["fsync=always"], SYNCED),
                                       ("aof", ["fsync=no"], WRITTEN),
                                       ("hybrid", ["fsync=always"], SYNCED),
                                       ("hybrid", ["fsync=no"], WRITTEN)]:
            with self.subTest(mode=mode, options=options):
                server = self.start(data=f"{mode}-{default}", mode=mode, options=options)
                self.assertEqual(self.set(server, "k", b"v").durability, default)
                for asked in (MEMORY, WRITTEN, SYNCED):
                    calls = [lambda: self.set(server, "k", b"1", durability=asked),
                             lambda: self.increment(server, "k", durability=asked),
                             lambda: self.expire(server, "k", durability=asked),
                             lambda: self.delete(server, "k", durability=asked),
                             lambda: self.transact(server, setting("k", b"v"), durability=asked),
                             lambda: server.keyvalue.Batch(data.BatchRequest(
                                 operations=[setting("k", b"1")], durability=asked), timeout=PATIENCE)]
                    for call in calls:
                        if default == MEMORY and asked > MEMORY:
                            self.assertFailsFor(Code.FAILED_PRECONDITION, "DURABILITY_NOT_OFFERED", call)
                        else:
                            self.assertEqual(call().durability, max(asked, default))
                server.stop()


if __name__ == "__main__":
    harness.main()
