"""The checks of the reliability harnesses find the faults they are for, and nothing else."""
import collections
import os
import sys
import tempfile
import types
import unittest

sys.path[:0] = [os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), folder)
                for folder in ("crash", "storm")]

import harness
import keyvalue
import promise
import recording
import told
import trace
import watch
from entries import EMPTY, Entry, State
from history import Clients, Sequential
from linearizability import Step, final_states, shortest_failure
from recorded import Recorded
from values import decode, encode


def answered(writes):
    history = Sequential()
    for pairs in writes:
        history.begin(pairs)
        history.acknowledge()
    return history


class HistoryTest(unittest.TestCase):
    def test_a_write_in_doubt_may_be_there_or_not(self):
        history = answered([[("a", 1)]])
        history.begin([("a", 2), ("b", 2)])
        self.assertIsNone(history.check({"a": 1}, 1))
        self.assertIsNone(history.check({"a": 2, "b": 2}, 1))

    def test_half_of_a_batch_is_no_state(self):
        history = answered([[("a", 1)]])
        history.begin([("a", 2), ("b", 2)])
        self.assertIn("no state that ever was", history.check({"a": 2}, 1))

    def test_an_older_state_is_a_loss(self):
        history = answered([[("a", 1)], [("a", 2)]])
        self.assertIn("only the first 1 writes", history.check({"a": 1}, 2))
        self.assertIsNone(history.check({"a": 1}, 1))

    def test_a_crash_may_come_between_the_steps_of_a_call(self):
        history = answered([[("a", 1), ("b", 1), ("c", 1)]])
        history.begin_steps([[("a", None)], [("b", None)], [("c", None)]])
        self.assertIsNone(history.check({"b": 1, "c": 1}, 1))
        self.assertIsNone(history.check({}, 1))
        self.assertIn("no state that ever was", history.check({"a": 1, "c": 1}, 1))
        self.assertTrue(history.accepts("b", None, history.floor()))
        self.assertFalse(history.accepts("a", 1, history.floor()))
        history.acknowledge()
        self.assertIn("only the first 3 writes", history.check({"c": 1}, history.floor()))

    def test_a_read_may_find_what_is_under_way_but_nothing_older_than_what_was_read(self):
        history = answered([[("a", 1)]])
        history.begin([("a", 2)])
        self.assertTrue(history.accepts("a", 1, history.floor()))
        self.assertTrue(history.accepts("a", 2, history.floor()))
        self.assertFalse(history.accepts("a", 1, history.floor()))
        self.assertFalse(history.accepts("a", 3, history.floor()))
        self.assertIn("only the first 1", history.check({"a": 1}, history.floor()))

    def test_a_rejected_write_must_not_show(self):
        history = answered([[("a", 1)]])
        history.begin([("a", 2)])
        history.reject()
        self.assertFalse(history.accepts("a", 2, history.floor()))
        self.assertIsNotNone(history.check({"a": 2}, 1))


    def test_the_value_before_the_write_in_flight_is_known(self):
        history = answered([[("a", 1)]])
        self.assertEqual(history.before("a"), 1)
        history.begin([("a", 2), ("b", 2)])
        self.assertEqual((history.before("a"), history.before("b")), (1, None))
        history.acknowledge()
        self.assertEqual((history.before("a"), history.latest("a")), (2, 2))


class KnowledgeTest(unittest.TestCase):
    """What a storm knows of versions and expiries."""

    def setUp(self):
        self.known = keyvalue.Knowledge()

    def entry(self, value=b"x", version=5, expire_time_ms=0):
        return types.SimpleNamespace(value=value, version=version, expire_time_ms=expire_time_ms)

    def test_a_value_has_one_version(self):
        self.known.wrote("a", b"x", 5)
        self.known.check_entry("a", self.entry())
        with self.assertRaisesRegex(keyvalue.Defect, "has version 6; it was written as 5"):
            self.known.check_entry("a", self.entry(version=6))
        self.known.check_entry("b", self.entry())  # seen before it was answered
        with self.assertRaises(keyvalue.Defect):
            self.known.check_entry("b", self.entry(version=4))

    def test_a_value_keeps_its_expiry(self):
        self.known.expiries["a", b"x"] = 9
        self.known.check_entry("a", self.entry(expire_time_ms=9))
        with self.assertRaisesRegex(keyvalue.Defect, "expires at 0 instead of 9"):
            self.known.check_entry("a", self.entry())

    def test_a_key_is_found_until_its_expiry_and_not_after_it(self):
        key = "t/50/0.1"
        value = encode(key, 20)
        for called, answered, there, right in ((49, 60, True, True), (50, 60, True, False),
                                               (10, 49, False, False), (10, 50, False, True)):
            with self.subTest(called=called, answered=answered, there=there):
                found = {key: value} if there else {}
                try:
                    self.known.take_expiring(found, called, answered, [key])
                    passed = True
                except keyvalue.Defect:
                    passed = False
                self.assertEqual(passed, right)


class StormWatchTest(unittest.TestCase):
    """What a storm's watch was told of one history, right and with one fault."""

    def setUp(self):
        clients, known = Clients(1), keyvalue.Knowledge()
        for version, value in ((2, b"x"), (3, b"y")):
            clients.begin(0, [("0/k", value)])
            known.wrote("0/k", value, version)
            clients.histories[0].acknowledge()
        self.watch = watch.Watch(types.SimpleNamespace(clients=clients, known=known,
                                                       counts=collections.Counter()))
        self.events = [self.event(watch.SET, b"x", 2), self.event(watch.SET, b"y", 3)]

    @staticmethod
    def event(kind, value, version, key="0/k"):
        return harness.data.Event(kind=kind, entry=harness.data.Entry(key=key, value=value, version=version))

    def fault(self, *events, value=b"y", version=3):
        """None, or what is wrong with the events where the server shows the value."""
        entries = {"0/k": harness.data.Entry(key="0/k", value=value, version=version)} if value else {}
        try:
            for event in events:
                self.watch._take(harness.data.WatchResponse(
                    version=event.entry.version, events=harness.data.WatchResponse.Events(events=[event])))
            self.watch.check(entries, 0)
        except keyvalue.Defect as defect:
            return str(defect)
        return None

    def test_each_write_in_order_is_right(self):
        self.assertIsNone(self.fault(*self.events))
        self.assertIsNone(self.fault(self.event(watch.DELETE, b"", 4), value=None))

    def test_a_swapped_order_shows(self):
        self.assertIn("after version 3", self.fault(*self.events[::-1]))

    def test_a_duplicate_shows(self):
        self.assertIn("after version 2", self.fault(self.events[0], *self.events))

    def test_a_lost_event_shows(self):
        self.assertIn("version 2 gave 0/k the value b'x'; the watch was told None",
                      self.fault(self.events[1]))

    def test_a_lost_last_event_shows(self):
        self.assertIn("by the watch it is (b'x', 2, 0)", self.fault(self.events[0]))

    def test_a_lost_deletion_shows(self):
        self.assertIn("0/k is not there; by the watch it is", self.fault(*self.events, value=None))

    def test_a_wrong_event_shows(self):
        self.assertIn("which nobody has written", self.fault(self.event(watch.SET, b"z", 2)))
        self.assertIn("that key was not there", self.fault(self.event(watch.DELETE, b"", 2)))

    def test_a_wrong_version_shows(self):
        self.assertIn("version 2 gave", self.fault(self.event(watch.SET, b"x", 1), self.events[1]))

    def test_an_expiry_before_its_time_shows(self):
        self.assertIn("expires at 0", self.fault(*self.events, self.event(watch.EXPIRE, b"", 4)))


class CutTest(unittest.TestCase):
    def setUp(self):
        self.clients = Clients(2)
        for client, value in ((0, "x"), (1, "y")):  # the second is sent after the first is answered
            self.clients.begin(client, [(f"{client}/k", value)])
            self.clients.histories[client].acknowledge()

    def test_an_effect_without_its_cause_is_no_cut(self):
        self.assertIn("no consistent cut", self.clients.check({"1/k": "y"}, [0, 0]))

    def test_the_cause_alone_is_a_cut(self):
        self.assertIsNone(self.clients.check({"0/k": "x"}, [0, 0]))
        self.assertIsNone(self.clients.check({}, [0, 0]))

    def test_what_was_promised_counts_for_each_client(self):
        self.assertIn("client 1", self.clients.check({"0/k": "x"}, [0, 1]))

    def test_a_state_that_comes_back_may_be_the_later_one(self):
        self.clients.begin(0, [("0/k", None)])
        self.clients.histories[0].acknowledge()
        # Client 0 holds nothing: before its first write, or after its last.
        self.assertIsNone(self.clients.check({"1/k": "y"}, [0, 0]))


def status(plugin="aof", generation=3, sequence=10, saved=None, **options):
    return types.SimpleNamespace(plugin=plugin, options=options, generation=generation,
                                 version=sequence, recovery=recovery(saved or sequence))


def recovery(sequence):
    return types.SimpleNamespace(files=[types.SimpleNamespace(version=sequence)])


class RecordedTest(unittest.TestCase):
    def setUp(self):
        self.recorded = Recorded(status(fsync="no"))

    def test_the_last_mode_comes_back(self):
        self.assertIsNone(self.recorded.restarted(status(fsync="no", sequence=11)))

    def test_a_mode_in_doubt_may_come_back_only_in_a_later_generation(self):
        self.recorded.configuring("snapshot", {"max_snapshots": "2"}, "mark")
        self.assertIn("came back in", self.recorded.restarted(
            status("snapshot", 3, max_snapshots="2")))
        self.assertIsNone(self.recorded.restarted(status("snapshot", 4, max_snapshots="2")))
        self.assertEqual(self.recorded.checkpoint, "mark")

    def test_nothing_goes_back(self):
        self.assertIn("generation 2", self.recorded.restarted(status(generation=2, fsync="no")))
        self.assertIn("sequence 9", self.recorded.restarted(status(sequence=9, fsync="no")))

    def test_what_a_start_found_must_be_there_again_but_not_what_expired_since(self):
        recorded = Recorded(status("snapshot"))
        self.assertIsNone(recorded.restarted(status("snapshot", sequence=12, saved=11)))
        self.assertIsNone(recorded.restarted(status("snapshot", sequence=11)))
        self.assertIn("sequence 10 after 11", recorded.restarted(status("snapshot", sequence=10)))

    def test_options_come_back_too(self):
        self.assertIn("came back in", self.recorded.restarted(status(fsync="always")))


def step(operation, invoked, returned=None, result=None):
    one = Step((operation,), invoked)
    if returned is not None:
        one.answer(returned, (result,))
    return one


class LinearizabilityTest(unittest.TestCase):
    def explain(self, *clients, states=(EMPTY,)):
        return final_states([list(steps) for steps in clients], set(states))

    def values(self, *clients):
        return {state.values() for state in self.explain(*clients)}

    def test_concurrent_writes_may_end_either_way(self):
        ends = self.values([step(("set", "a", "1"), 0, 10)], [step(("set", "a", "2"), 5, 15)])
        self.assertEqual(ends, {(("a", "1"),), (("a", "2"),)})

    def test_a_read_after_a_write_must_find_it(self):
        write = step(("set", "a", "1"), 0, 10)
        self.assertFalse(self.explain([write], [step(("get", "a"), 11, 12, None)]))
        self.assertTrue(self.explain([write], [step(("get", "a"), 9, 12, None)]))

    def test_what_was_read_stays(self):
        write = step(("set", "a", "1"), 0, 100)
        reads = [step(("get", "a"), 10, 20, "1"), step(("get", "a"), 30, 40, None)]
        self.assertFalse(self.explain([write], reads))

    def test_a_step_in_doubt_may_never_happen_unless_someone_saw_it(self):
        write = step(("set", "a", "1"), 0)
        self.assertEqual(self.values([write]), {(), (("a", "1"),)})
        read = step(("get", "a"), 10, 20, "1")
        self.assertEqual(self.values([write], [read]), {(("a", "1"),)})

    def test_atomic_operations_are_seen_together(self):
        both = Step((("set", "a", "1"), ("set", "b", "1")), 0)
        both.answer(100, (None, None))
        scan = step(("scan", "", 0, False), 10, 20, (("a", "1"),))
        self.assertFalse(self.explain([both], [scan]))
        apart = [step(("set", "a", "1"), 0, 100), step(("set", "b", "1"), 0, 100)]
        self.assertTrue(self.explain(apart, [scan]))

    def test_a_scan_is_one_moment(self):
        writer = [step(("set", "a", "1"), 10, 20), step(("set", "b", "1"), 30, 40)]
        torn = step(("scan", "", 0, True), 0, 100, ("b",))
        self.assertFalse(self.explain(writer, [torn]))

    def test_the_result_of_a_delete_is_checked(self):
        self.assertFalse(self.explain([step(("delete", "a"), 0, 1, True)]))
        self.assertFalse(self.explain([step(("delete", "a"), 0, 1, False)],
                                      states=[State((("a", Entry("1", (1, 1), (0, 0))),), 1)]))

    def test_the_shortest_failure_leaves_out_what_came_later_and_idle_reads(self):
        clients = [[step(("set", "a", "1"), 0, 10), step(("set", "b", "1"), 50, 60)],
                   [step(("get", "b"), 2, 3, None), step(("get", "a"), 11, 20, None),
                    step(("get", "b"), 70, 80, "1")]]
        self.assertEqual([one.operations[0] for _, one in shortest_failure(clients, {EMPTY})],
                         [("set", "a", "1"), ("get", "a")])


def at(operation, called, answered, result):
    """A step that is called and answered at these Unix milliseconds."""
    one = Step((operation,), called, called_ms=called)
    if answered is not None:
        one.answer(answered, (result,), answered)
    return one


class EntriesTest(unittest.TestCase):
    """Histories of kvstore.v1, right ones and the same with one fault."""

    def explained(self, *clients):
        return final_states([list(steps) for steps in clients], {EMPTY})

    def put(self, number, called, answered, version, key="a", expiry=None, condition=None):
        result = version if isinstance(version, tuple) else ("ok", version, None)
        return at(("put", key, f"v{number}", expiry, condition, False), called, answered,
                  version and result)

    def read(self, called, entry, key="a"):
        return at(("read", key), called, called + 1, entry)

    def test_a_version_is_told_the_same_everywhere(self):
        write = self.put(1, 0, 1, 5)
        self.assertTrue(self.explained([write, self.read(2, ("v1", 5, 0))]))
        self.assertFalse(self.explained([write, self.read(2, ("v1", 6, 0))]))
        listed = ("list", "", False, 0)
        self.assertTrue(self.explained([write, at(listed, 2, 3, (5, (("a", "v1", 5, 0),)))]))
        self.assertFalse(self.explained([write, at(listed, 2, 3, (5, (("a", "v1", 4, 0),)))]))

    def test_versions_only_grow(self):
        self.assertTrue(self.explained([self.put(1, 0, 1, 5), self.put(2, 2, 3, 6, "b")]))
        self.assertFalse(self.explained([self.put(1, 0, 1, 5), self.put(2, 2, 3, 5, "b")]))
        self.assertFalse(self.explained([self.put(1, 0, 1, 5), self.put(2, 2, 3, 4, "b")]))
        # That one of a write without an answer is between those of its neighbours.
        lost = Step((("put", "b", "v2", None, None, False),), 2, called_ms=2)
        for version, later, right in ((5, 8, False), (6, 8, True), (9, 8, False), (9, 10, True)):
            with self.subTest(version=version, later=later):
                self.assertEqual(bool(self.explained(
                    [self.put(1, 0, 1, 5)], [lost],
                    [self.read(4, ("v2", version, 0), "b"), self.put(3, 6, 7, later, "c")])), right)

    def test_a_scan_is_not_of_a_version_below_what_was_written(self):
        write = self.put(1, 0, 1, 5)
        for version, right in ((4, False), (5, True), (7, True)):
            scan = at(("list", "", False, 0), 2, 3, (version, (("a", "v1", 5, 0),)))
            self.assertEqual(bool(self.explained([write, scan])), right)

    def test_a_condition_decides(self):
        first, refused = self.put(1, 0, 1, 5), ("refused", "CONDITION_NOT_MET", 5)
        for condition, result, right in (
                (("exists", False), ("ok", 6, None), False), (("exists", False), refused, True),
                (("exists", True), ("ok", 6, None), True), (("exists", True), refused, False),
                (("version", 5), ("ok", 6, None), True), (("version", 5), refused, False),
                (("version", 4), ("ok", 6, None), False), (("version", 4), refused, True),
                (("version", 0), ("ok", 6, None), False),
                (("version", 4), ("refused", "CONDITION_NOT_MET", 3), False),
                (("value", "v1"), ("ok", 6, None), True), (("value", "v2"), refused, True),
                (("value", "v2"), ("ok", 6, None), False)):
            with self.subTest(condition=condition, result=result):
                second = self.put(2, 2, 3, result, condition=condition)
                self.assertEqual(bool(self.explained([first, second])), right)

    def test_two_swaps_from_one_version_cannot_both_succeed(self):
        first = self.put(1, 0, 1, 5)
        swaps = [self.put(2, 2, 9, 6, condition=("version", 5)),
                 self.put(3, 2, 9, 7, condition=("version", 5))]
        self.assertFalse(self.explained([first, swaps[0]], [swaps[1]]))

    def test_the_entry_before_a_write_is_checked(self):
        first = self.put(1, 0, 1, 5)
        for before, right in ((("v1", 5, 0), True), (("v1", 4, 0), False), (("v0", 5, 0), False),
                              (None, False), (("v1", 5, 9), False)):
            with self.subTest(before):
                second = at(("put", "a", "v2", None, None, True), 2, 3, ("ok", 6, before))
                self.assertEqual(bool(self.explained([first, second])), right)
                second = at(("remove", "a", None, True), 2, 3, ("ok", True, 6, before))
                self.assertEqual(bool(self.explained([first, second])), right)

    def test_no_increment_is_lost(self):
        add = ("add", "n", 2, 10, None)
        both = [[at(add, 0, 9, ("ok", 12, 1))], [at(add, 0, 9, ("ok", 14, 2))]]
        self.assertTrue(self.explained(*both))
        both[1] = [at(add, 0, 9, ("ok", 12, 2))]
        self.assertFalse(self.explained(*both))
        self.assertTrue(self.explained([self.put(1, 0, 1, 1, "n"),
                                        at(add, 2, 3, ("refused", "NOT_AN_INTEGER", None))]))
        self.assertFalse(self.explained([at(add, 2, 3, ("refused", "NOT_AN_INTEGER", None))]))

    def test_a_key_is_there_until_its_expiry_and_not_after_it(self):
        write = self.put(1, 0, 1, 5, expiry=("at", 50))
        for called, entry, right in ((10, ("v1", 5, 50), True), (10, None, False),
                                     (49, ("v1", 5, 50), True), (49, None, True),
                                     (50, ("v1", 5, 50), False), (50, None, True),
                                     (10, ("v1", 5, 51), False)):
            with self.subTest(called=called, entry=entry):
                self.assertEqual(bool(self.explained([write, self.read(called, entry)])), right)

    def test_an_expired_key_does_not_come_back(self):
        write = self.put(1, 0, 1, 5, expiry=("at", 50))
        self.assertFalse(self.explained([write, self.read(60, None), self.read(62, ("v1", 5, 50))]))
        conditional = self.put(2, 60, 61, 6, condition=("exists", True))
        self.assertFalse(self.explained([write, conditional]))

    def test_a_time_to_live_counts_within_the_call(self):
        write = self.put(1, 0, 10, 5, expiry=("ttl", 100))
        for expiry, right in ((99, False), (100, True), (110, True), (111, False)):
            self.assertEqual(bool(self.explained([write, self.read(20, ("v1", 5, expiry))])), right)
        self.assertFalse(self.explained([write, self.read(20, ("v1", 5, 103)),
                                         self.read(30, ("v1", 5, 104))]))

    def test_an_expiry_is_kept_only_where_it_is_asked_for(self):
        write = self.put(1, 0, 1, 5, expiry=("at", 50))
        for expiry, found, right in ((("keep",), 50, True), (("keep",), 0, False), (None, 0, True),
                                     (None, 50, False)):
            again = self.put(2, 2, 3, 6, expiry=expiry)
            self.assertEqual(bool(self.explained([write, again, self.read(4, ("v2", 6, found))])),
                             right)

    def transact(self, called, result, comparisons=(("a", ("exists", True)),)):
        return at(("transact", tuple(comparisons),
                   (("put", "a", "v2", None, None, False), ("put", "b", "v2", None, None, False)),
                   (("read", "a"), ("read", "b"))), called, called + 1, result)

    def test_a_transaction_takes_the_branch_that_its_comparisons_choose(self):
        done = ("ok", True, 7, (("ok", 6, None), ("ok", 7, None)))
        otherwise = ("ok", False, 5, (("v1", 5, 0), None))
        write = self.put(1, 0, 1, 5)
        self.assertTrue(self.explained([write, self.transact(2, done)]))
        self.assertFalse(self.explained([write, self.transact(2, otherwise)]))
        missing = [("a", ("exists", False))]
        self.assertTrue(self.explained([write, self.transact(2, otherwise, missing)]))
        self.assertFalse(self.explained([write, self.transact(2, done, missing)]))
        self.assertFalse(self.explained([write, self.transact(
            2, ("ok", False, 4, (("v1", 5, 0), None)), missing)]))

    def test_half_of_a_transaction_is_never_seen(self):
        both = at(("transact", (), (("put", "a", "v1", None, None, False),
                                    ("put", "b", "v1", None, None, False)), ()), 0, 100,
                  ("ok", True, 2, (("ok", 1, None), ("ok", 2, None))))
        reads = [self.read(10, ("v1", 1, 0)), self.read(20, None, "b")]
        self.assertFalse(self.explained([both], reads))
        self.assertTrue(self.explained([both], reads[::-1]))

    def test_gets_of_a_transaction_are_of_one_version(self):
        writer = [self.put(1, 10, 20, 1), self.put(1, 30, 40, 2, "b")]
        reads = ("transact", (), (("read", "a"), ("read", "b")), ())
        torn = at(reads, 0, 100, ("ok", True, 2, (None, ("v1", 2, 0))))
        self.assertFalse(self.explained(writer, [torn]))

    def test_a_refused_transaction_has_changed_nothing(self):
        write = ("put", "a", "v1", None, None, False)
        refused = at(("transact", (), (write, ("add", "a", 1, 0, None)), ()), 0, 1,
                     ("refused", "NOT_AN_INTEGER", None))
        self.assertTrue(self.explained([refused, self.read(2, None)]))
        self.assertFalse(self.explained([refused, self.read(2, ("v1", 1, 0))]))

    def test_a_repeated_request_gets_the_first_answer_and_changes_nothing(self):
        add = ("once", "id", ("add", "n", 1, 0, None))
        first = at(add, 0, 1, ("ok", 1, 5))
        self.assertTrue(self.explained([first, at(add, 2, 3, ("ok", 1, 5)),
                                        self.read(4, ("1", 5, 0), "n")]))
        self.assertFalse(self.explained([first, at(add, 2, 3, ("ok", 2, 6))]))
        self.assertFalse(self.explained([first, at(add, 2, 3, ("ok", 1, 6))]))
        self.assertFalse(self.explained([first, at(add, 2, 3, ("ok", 1, 5)),
                                         self.read(4, ("2", 6, 0), "n")]))

    def test_a_repetition_of_a_request_without_an_answer_carries_it_out_once(self):
        add = ("once", "id", ("add", "n", 1, 0, None))
        lost = [Step((add,), 0, called_ms=0)]
        again = at(add, 10, 11, ("ok", 1, 5))
        self.assertTrue(self.explained(lost, [again, self.read(12, ("1", 5, 0), "n")]))
        self.assertFalse(self.explained(lost, [again, self.read(12, ("2", 6, 0), "n")]))


class ToldTest(unittest.TestCase):
    """What a watch has told of one history, right and with one fault."""

    FAR = 10 ** 13

    def setUp(self):
        put = ("put", "a", "v1", None, None, False)
        self.steps = [
            at(put, 0, 1, ("ok", 5, None)),
            at(("set", "b", "v2"), 2, 3, None),
            at(("transact", (), (("put", "a", "v3", ("at", self.FAR), None, False),
                                 ("remove", "b", None, False), ("add", "n", 2, 10, None)), ()),
               4, 5, ("ok", True, 9, (("ok", 7, None), ("ok", True, 8, None), ("ok", 12, 9)))),
            at(("expire", "a", ("at", 50), None), 6, 7, ("ok", 10)),
            Step((("put", "c", "lost", None, None, False),), 8, called_ms=8)]
        self.events = [
            self.event(told.SET, "a", "v1", 5), self.event(told.SET, "b", "v2", 6),
            self.event(told.SET, "a", "v3", 7, self.FAR, ("v1", 5, 0)),
            self.event(told.DELETE, "b", None, 8, 0, ("v2", 6, 0)), self.event(told.SET, "n", "12", 9),
            self.event(told.SET, "a", "v3", 10, 50, ("v3", 7, self.FAR)),
            self.event(told.EXPIRE, "a", None, 11, 0, ("v3", 10, 50), 60)]

    @staticmethod
    def event(kind, key, value, version, expiry=0, previous=None, received=20):
        return told.Event(kind, key, value, version, expiry, previous, True, received)

    def check(self, events=None, reached=11, base=(4, {}), steps=None, sizes=()):
        known = told.Known()
        known.sizes.update(sizes)
        for one in self.steps if steps is None else steps:
            known.take(one)
        told.check(base, self.events if events is None else events, reached, known)

    def wrong(self, says, events=None, **more):
        with self.assertRaisesRegex(told.Wrong, says):
            self.check(events, **more)

    def changed(self, number, **fields):
        """The events with one fault."""
        events = self.events[:]
        events[number] = events[number]._replace(**fields)
        return events

    def test_what_happened_is_right_with_and_without_what_is_in_doubt(self):
        self.check()
        self.check([*self.events, self.event(told.SET, "c", "lost", 12)], 12)

    def test_a_swapped_order_shows(self):
        events = self.events[:]
        events[0], events[1] = events[1], events[0]
        self.wrong("came after version 6", events)

    def test_each_lost_event_shows(self):
        for number, event in enumerate(self.events[:-1]):
            with self.subTest(event):
                self.wrong("", [*self.events[:number], *self.events[number + 1:]])
        # Without a later one that tells what it has replaced.
        self.wrong("version 9 was not told", self.events[:4], steps=self.steps[:3], reached=9)
        self.wrong("not told: Change", [self.events[0]], steps=self.steps[:2], reached=6)

    def test_a_lost_event_that_nobody_waits_for_shows_in_scans_and_sizes(self):
        # Of the write that is in doubt.
        steps = [*self.steps, at(("list", "", False, 0), 70, 71,
                                 (12, (("c", "lost", 12, 0), ("n", "12", 9, 0))))]
        last = self.event(told.SET, "c", "lost", 12)
        self.check([*self.events, last], 12, steps=steps)
        self.wrong("a Scan at version 12 found", reached=12, steps=steps)
        steps[-1] = at(("list", "", False, 0), 70, 71, (12, (("n", "12", 9, 0),)))
        self.wrong("a Scan at version 12 lacks c", [*self.events, last], reached=12, steps=steps)
        # Of an expiry: it is in no scan, but the server has no such key any more.
        self.check(reached=12, sizes={9: 2, 10: 2, 12: 1})
        self.wrong("the server had 1 keys", self.events[:-1], reached=12, sizes={12: 1})

    def test_a_key_that_had_expired_when_the_watch_began_may_be_deleted_later(self):
        gone = self.event(told.EXPIRE, "g", None, 5, 0, ("v0", 1, 10), 60)
        moved = [event._replace(version=event.version + 1) for event in self.events[:1]]
        first = at(("put", "a", "v1", None, None, False), 0, 1, ("ok", 6, None))
        self.check([gone, *moved], 6, steps=[first], sizes={4: 1, 6: 1})
        self.wrong("the server had 2 keys", [gone, *moved], reached=6, steps=[first], sizes={4: 1, 6: 2})
        self.wrong("deletes what was not there", [gone, *moved, gone._replace(version=7)], reached=7,
                   steps=[first])
        self.wrong("has replaced None", [gone._replace(kind=told.DELETE)], reached=5, steps=[])

    def test_a_duplicate_shows(self):
        for number, event in enumerate(self.events):
            with self.subTest(event):
                self.wrong("came after version", [*self.events[:number + 1], *self.events[number:]])
        again = self.event(told.SET, "b", "v2", 12)
        self.wrong("has no cause", [*self.events, again], reached=12)

    def test_a_wrong_event_shows(self):
        for number, fields in ((0, {"value": "v9"}), (1, {"value": "v9"}), (4, {"value": "13"}),
                               (5, {"value": "v1"}), (0, {"key": "z"}), (0, {"expiry": 7}),
                               (2, {"expiry": 0}), (0, {"kind": told.DELETE}), (3, {"kind": told.EXPIRE}),
                               (6, {"kind": told.DELETE}), (6, {"received_ms": 49})):
            with self.subTest(number=number, **fields):
                self.wrong("", self.changed(number, **fields))

    def test_a_wrong_previous_entry_shows(self):
        for previous in (None, ("v2", 5, 0), ("v1", 4, 0), ("v1", 5, 9)):
            self.wrong("has replaced", self.changed(2, previous=previous))
        self.check(self.changed(2, previous=None, tells_previous=False))
        self.wrong("has replaced", self.changed(0, previous=("v0", 4, 0)))
        self.check(self.changed(0, previous=("v0", 4, 0)), base=(4, {"a": ("v0", 4, 0)}))

    def test_what_was_read_must_have_been_told(self):
        read = at(("read", "c"), 30, 31, ("lost", 12, 0))
        steps = [*self.steps, read]
        self.check([*self.events, self.event(told.SET, "c", "lost", 12)], 12, steps=steps)
        self.wrong("was read at c as version 12; told was None", reached=12, steps=steps)

    def test_half_of_a_transaction_without_an_answer_has_a_cause_each(self):
        both = Step((("transact", (), (("put", "x", "v1", None, None, False),
                                       ("add", "n", 1, 5, None)), ()),), 0, called_ms=0)
        events = [self.event(told.SET, "x", "v1", 5), self.event(told.SET, "n", "6", 6)]
        self.check(events, 6, steps=[both])
        self.wrong("has no cause", [*events, self.event(told.SET, "n", "7", 7, 0, ("6", 6, 0))],
                   reached=7, steps=[both])


class ToldAfterACrashTest(unittest.TestCase):
    """What the crash harness expects a watch to be told after a start."""

    def setUp(self):
        old, self.a, self.b = (recording.Entry(value, version) for value, version in
                               ((b"old", 1), (b"a", 2), (b"b", 3)))
        self.changes = [[("a", old)], [("a", self.a)], [("b", self.b)], [("b", None)]]
        self.told = {1: ("a", old), 2: ("a", self.a), 3: ("b", self.b), 4: ("b", None)}
        self.states = [promise.freeze(state) for state in (
            {}, {"a": old}, {"a": self.a}, {"a": self.a, "b": self.b}, {"a": self.a})]

    def fault(self, told_, lowest=1, count=3):
        outcome = types.SimpleNamespace(refused=False, state=self.states[count], repeated=[],
                                        lowest=lowest, told=told_)
        expected = promise.Expected(None, self.states, self.states[1:], None, 1, 4, [], self.changes)
        return expected.check(outcome)

    def first(self, count, but=None):
        return {version: change for version, change in self.told.items()
                if version <= count and version != but}

    def test_what_is_there_is_told(self):
        self.assertIsNone(self.fault(self.first(3)))
        self.assertIsNone(self.fault({3: ("b", self.b)}, lowest=3))
        self.assertIsNone(self.fault({}, lowest=4))
        self.assertIsNone(self.fault(self.told, count=2))  # with what leads to the same state

    def test_each_lost_one_shows(self):
        for version in (1, 2, 3):
            self.assertIn("told", self.fault(self.first(3, but=version)))

    def test_a_wrong_one_shows(self):
        for wrong in (("a", self.b), ("b", self.a), ("b", None)):
            self.assertIn("told", self.fault({**self.first(3), 3: wrong}))
        self.assertIn("was told None of b", self.fault({**self.first(3), 4: ("b", None)}))


class ValuesTest(unittest.TestCase):
    def test_one_wrong_byte_shows(self):
        for size in (0, 20, 1000):
            value = encode("3.14", size)
            self.assertGreaterEqual(len(value), size)
            self.assertEqual(decode(value), "3.14")
            for offset in (0, len(value) // 2, len(value) - 1):
                wrong = bytearray(value)
                wrong[offset] ^= 1
                self.assertNotEqual(decode(bytes(wrong)), "3.14")
        self.assertIsNone(decode(encode("3.14", 1000)[:-1]))
        self.assertIsNone(decode(b""))


class RepliesTest(unittest.TestCase):
    """How the crash harness finds replies in what a server has sent."""

    HEADERS, DATA, END = 1, 0, 1

    @staticmethod
    def frame(kind, flags, stream, size):
        return (size.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
                + bytes(size))

    def reply(self, stream):
        return (self.frame(self.HEADERS, 0, stream, 20) + self.frame(self.DATA, 0, stream, 7)
                + self.frame(self.HEADERS, self.END, stream, 3))

    def replies(self, *sends):
        """As (connection, bytes) in the order in which a server sent them."""
        events = [(trace.START, 0, b""), *((trace.SEND, *send) for send in sends)]
        with tempfile.NamedTemporaryFile() as file:
            for kind, connection, data in events:
                file.write(trace.ENTRY.pack(kind, 0, 0, connection, 0, 0, 0, len(data)) + data)
            file.flush()
            return trace.Trace(file.name).replies()

    def test_one_write_may_carry_many(self):
        self.assertEqual(self.replies((5, self.reply(1) + self.reply(3)), (5, self.reply(5))),
                         [[[2, 2, 3]]])

    def test_one_in_parts_is_there_with_its_last_byte(self):
        whole = self.reply(1)
        self.assertEqual(self.replies((5, whole[:12]), (5, whole[12:-1]), (5, whole[-1:])), [[[4]]])

    def test_half_of_the_next_one_is_none(self):
        self.assertEqual(self.replies((5, self.reply(1) + self.reply(3)[:-1])), [[[2]]])

    def test_connections_do_not_mix(self):
        whole = self.reply(1)
        self.assertEqual(self.replies((5, whole[:30]), (6, whole), (5, whole[30:])), [[[4], [3]]])

    def test_other_frames_are_no_replies(self):
        others = self.frame(4, 0, 0, 12) + self.frame(4, self.END, 0, 0) + self.frame(6, 1, 0, 8)
        self.assertEqual(self.replies((5, others), (5, self.reply(1))), [[[3]]])


if __name__ == "__main__":
    unittest.main()
