"""The checks of the reliability harnesses find the faults they are for, and nothing else."""
import os
import sys
import tempfile
import types
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "crash"))

import trace
from history import Clients, Sequential
from linearizability import EMPTY, Step, final_states, shortest_failure
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


def status(plugin="aof", generation=3, sequence=10, **options):
    return types.SimpleNamespace(plugin=plugin, options=options, generation=generation,
                                 version=sequence)


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

    def test_concurrent_writes_may_end_either_way(self):
        ends = self.explain([step(("set", "a", "1"), 0, 10)], [step(("set", "a", "2"), 5, 15)])
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
        self.assertEqual(self.explain([write]), {EMPTY, (("a", "1"),)})
        read = step(("get", "a"), 10, 20, "1")
        self.assertEqual(self.explain([write], [read]), {(("a", "1"),)})

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
                                      states=[(("a", "1"),)]))

    def test_the_shortest_failure_leaves_out_what_came_later_and_idle_reads(self):
        clients = [[step(("set", "a", "1"), 0, 10), step(("set", "b", "1"), 50, 60)],
                   [step(("get", "b"), 2, 3, None), step(("get", "a"), 11, 20, None),
                    step(("get", "b"), 70, 80, "1")]]
        self.assertEqual([one.operations[0] for _, one in shortest_failure(clients, {EMPTY})],
                         [("set", "a", "1"), ("get", "a")])


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
