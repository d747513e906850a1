"""Ways around a grant in the data API: none leads to a key, a value, a count, or the knowledge that a key exists."""
import queue

import grpc

import harness
from harness import PATIENCE, data
from reasons import reason_of
from test_access import DENIED, AccessCase, bearer

PREFIX = data.KeyRange(prefix="app/")


def get(key):
    return data.Operation(get=data.GetRequest(key=key))


def set_to(key, value=b"new", **fields):
    return data.Operation(set=data.SetRequest(key=key, value=value, **fields))


class GrantsCase(AccessCase):
    def setUp(self):
        super().setUp()
        for name, *grants in (("ann", "readwrite:app/"), ("writer", "write:app/"), ("reader", "read:app/"),
                              ("other", "readwrite:other/"), ("all", "readwrite:*")):
            self.user(name, *grants)
        self.server = self.serve()
        self.store = self.server.keyvalue
        for key in ("app/1", "app/2", "secret/1"):
            self.call("Set", "all", data.SetRequest(key=key, value=b"old"))

    def call(self, method, user, request):
        answer = getattr(self.store, method)(request, metadata=bearer(self.tokens[user]), timeout=PATIENCE)
        return list(answer) if method == "Scan" else answer


class Around(GrantsCase):
    def fails(self, code, method, user, request):
        """Its error."""
        with self.assertRaises(grpc.RpcError) as caught:
            self.call(method, user, request)
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception

    def denied(self, method, request, user="ann"):
        """The text of the refusal."""
        error = self.fails(DENIED, method, user, request)
        self.assertEqual(reason_of(error), ("PERMISSION_DENIED", {}))
        return error.details()

    def entries(self):
        return {entry.key: entry.value for part in self.call("Scan", "all", data.ScanRequest())
                for entry in part.entries}

    def test_one_foreign_key_among_own_ones_refuses_the_whole_and_nothing_is_changed(self):
        before = self.entries()
        own, foreign = set_to("app/1"), set_to("secret/1")
        comparison = data.Comparison(key="app/1", condition=data.Condition(exists=True))
        for operations in ([own, foreign], [foreign, own], [own, get("secret/1")]):
            self.denied("Batch", data.BatchRequest(operations=operations))
            self.denied("Transaction", data.TransactionRequest(success=operations))
            # Also where it would not be carried out.
            self.denied("Transaction", data.TransactionRequest(
                comparisons=[comparison], success=[own], failure=operations))
        self.denied("Transaction", data.TransactionRequest(
            comparisons=[comparison, data.Comparison(key="secret/1", condition=data.Condition(version=1))],
            success=[own]))
        self.assertEqual(self.entries(), before)

    def test_a_refusal_is_the_same_for_a_key_that_exists_and_one_that_does_not(self):
        for make in (lambda key: ("Get", data.GetRequest(key=key)),
                     lambda key: ("Set", data.SetRequest(key=key, condition=data.Condition(version=1))),
                     lambda key: ("Delete", data.DeleteRequest(key=key, return_previous=True)),
                     lambda key: ("SetExpiry", data.SetExpiryRequest(key=key)),
                     lambda key: ("Increment", data.IncrementRequest(key=key)),
                     lambda key: ("Scan", data.ScanRequest(range=data.KeyRange(key=key))),
                     lambda key: ("DeleteRange", data.DeleteRangeRequest(
                         range=data.KeyRange(key=key), validate_only=True))):
            texts = {self.denied(*make(key)) for key in ("secret/1", "secret/none")}
            self.assertEqual(len(texts), 1, texts)
            self.assertNotIn("secret", texts.pop())

    def test_range_must_not_reach_beyond_the_grant(self):
        for wide in (None, data.KeyRange(), data.KeyRange(prefix="app"), data.KeyRange(start="app/"),
                     data.KeyRange(end="app0"), data.KeyRange(start="app/", end="app1"),
                     data.KeyRange(start="app/1", end="b"), data.KeyRange(start="app.", end="app0"),
                     data.KeyRange(prefix="a", start="app/", end="app1"),
                     data.KeyRange(key="app"), data.KeyRange(prefix="app/", key="secret/1")):
            for descending in (False, True):
                self.denied("Scan", data.ScanRequest(range=wide, descending=descending))
            self.denied("Scan", data.ScanRequest(range=wide,
                                                 projection=data.ScanRequest.PROJECTION_COUNT))
            for validate_only in (False, True):
                self.denied("DeleteRange", data.DeleteRangeRequest(range=wide, validate_only=validate_only))
        for within in (PREFIX, data.KeyRange(start="app/", end="app0"), data.KeyRange(key="app/1"),
                       data.KeyRange(start="app/1", end="app/3"), data.KeyRange(prefix="app/", start="a"),
                       data.KeyRange(prefix="app/", end="z")):
            keys = [entry.key for part in self.call("Scan", "ann", data.ScanRequest(range=within))
                    for entry in part.entries]
            self.assertLessEqual({"app/1"}, set(keys))
            self.assertEqual([key for key in keys if not key.startswith("app/")], [])
        self.assertIn("secret/1", self.entries())

    def test_page_token_of_another_user_leads_nowhere(self):
        wide = data.ScanRequest(range=data.KeyRange(start="app/"), limit=1)
        token = self.call("Scan", "all", wide)[-1].next_page_token
        wide.page_token = token
        self.denied("Scan", wide)
        own = data.ScanRequest(range=PREFIX, limit=1, page_token=token)
        error = self.fails(grpc.StatusCode.INVALID_ARGUMENT, "Scan", "ann", own)
        self.assertEqual(reason_of(error)[0], "PAGE_TOKEN_INVALID")
        # One of the same range grants nothing to who may not read it.
        shared = data.ScanRequest(range=PREFIX, limit=1)
        shared.page_token = self.call("Scan", "all", shared)[-1].next_page_token
        self.assertEqual(self.call("Scan", "ann", shared)[0].entries[0].key, "app/2")
        self.denied("Scan", shared, "other")

    def test_writer_learns_versions_and_no_values(self):
        version = self.call("Set", "writer", data.SetRequest(key="app/1", value=b"1")).version
        stale = data.SetRequest(key="app/1", condition=data.Condition(version=version + 1000))
        error = self.fails(grpc.StatusCode.FAILED_PRECONDITION, "Set", "writer", stale)
        self.assertEqual(reason_of(error), ("CONDITION_NOT_MET", {"current_version": str(version)}))
        for request in (data.SetRequest(key="app/1", return_previous=True),
                        data.SetRequest(key="app/1", condition=data.Condition(value=b"guess"))):
            self.denied("Set", request, "writer")
            self.denied("Batch", data.BatchRequest(operations=[data.Operation(set=request)]), "writer")
            self.denied("Transaction", data.TransactionRequest(success=[data.Operation(set=request)]), "writer")
        self.denied("Increment", data.IncrementRequest(key="app/1"), "writer")
        for condition in (data.Condition(exists=True), data.Condition(version=version), data.Condition(value=b"1")):
            self.denied("Transaction", data.TransactionRequest(
                comparisons=[data.Comparison(key="app/1", condition=condition)]), "writer")

    def test_reader_changes_nothing(self):
        before = self.entries()
        for method, request in (("Set", data.SetRequest(key="app/1")),
                                ("SetExpiry", data.SetExpiryRequest(key="app/1")),
                                ("DeleteRange", data.DeleteRangeRequest(range=PREFIX)),
                                ("DeleteRange", data.DeleteRangeRequest(range=PREFIX, validate_only=True)),
                                ("Transaction", data.TransactionRequest(failure=[set_to("app/1")]))):
            self.denied(method, request, "reader")
        self.assertEqual(self.entries(), before)

    def test_request_id_belongs_to_its_user_and_grants_nothing(self):
        request = data.IncrementRequest(key="app/n", delta=1, request_id="id")
        first = self.call("Increment", "ann", request)
        self.assertEqual(self.call("Increment", "ann", request), first)
        self.denied("Increment", request, "other")
        self.assertEqual(self.call("Increment", "all", request).value, 2)  # another user's: a request of its own


class Watching(GrantsCase):
    def watch(self, user):
        """The stream, and what sends a request on it."""
        requests = queue.SimpleQueue()
        stream = self.store.Watch(iter(requests.get, None), metadata=bearer(self.tokens[user]), timeout=PATIENCE)
        self.addCleanup(requests.put, None)
        self.addCleanup(stream.cancel)
        return stream, lambda watch_id, *prefixes, **fields: requests.put(data.WatchRequest(
            create=data.WatchRequest.Create(
                watch_id=watch_id, ranges=[data.KeyRange(prefix=prefix) for prefix in prefixes], **fields)))

    def kind(self, stream):
        answer = next(stream)
        return answer.watch_id, answer.WhichOneof("kind")

    def set(self, key, value=b"new"):
        self.call("Set", "all", data.SetRequest(key=key, value=value))

    def keys_of_next(self, stream):
        return [event.entry.key for event in next(stream).events.events]

    def test_each_watch_of_a_stream_needs_a_grant_for_all_its_ranges(self):
        for prefixes in (["secret/"], [""], ["app"], ["app/", "secret/"]):
            for fields in ({}, {"initial_state": True}, {"start_version": 1}, {"previous_values": True}):
                stream, create = self.watch("ann")
                create(1, "app/")
                self.assertEqual(self.kind(stream), (1, "created"))
                create(2, *prefixes, **fields)
                with self.assertRaises(grpc.RpcError) as caught:
                    next(stream)
                self.assertEqual(caught.exception.code(), DENIED)

    def test_watch_ends_when_its_user_may_no_longer_read_and_the_others_go_on(self):
        ann, create = self.watch("ann")
        create(1, "app/")
        all_keys, create_all = self.watch("all")
        create_all(1, "")
        for stream in (ann, all_keys):
            self.assertEqual(self.kind(stream), (1, "created"))
        self.set("app/1")
        for stream in (ann, all_keys):
            self.assertEqual(self.keys_of_next(stream), ["app/1"])
        self.user("ann", "readwrite:other/", proof=self.lines["ann"].split()[-1])
        self.write()
        self.reload(self.server, "read the users file")
        self.set("app/1", b"unseen")
        ended = next(ann)
        self.assertEqual((ended.watch_id, ended.ended.code, ended.ended.reason),
                         (1, DENIED.value[0], "PERMISSION_DENIED"))
        create(2, "other/")  # the stream goes on
        self.assertEqual(self.kind(ann), (2, "created"))
        self.set("other/1")
        self.assertEqual(self.keys_of_next(ann), ["other/1"])
        self.assertEqual(self.keys_of_next(all_keys), ["app/1"])
        self.assertEqual(self.keys_of_next(all_keys), ["other/1"])

    def grant(self, name, *grants):
        """Edits the users file, and adds another user to it, by whom this edit is told from those before."""
        proof = self.lines[name].split()[-1] if name in self.lines else None
        self.user(name, *grants, proof=proof)
        self.user(f"more{len(self.lines)}")
        self.write()
        self.reload(self.server, f"again: {len(self.lines)} users")

    def test_watch_of_neighbouring_prefixes_needs_each_of_them_and_no_more(self):
        self.grant("two", "read:user1", "read:user2", "read:user3")
        stream, create = self.watch("two")
        create(1, "user1", "user2", "user1")
        self.assertEqual(self.kind(stream), (1, "created"))
        for key in ("user1/a", "user2/a"):
            self.set(key)
            self.assertEqual(self.keys_of_next(stream), [key])
        self.grant("two", "read:user2", "read:user1")  # without what it does not watch
        self.set("user1/a", b"again")
        self.assertEqual(self.keys_of_next(stream), ["user1/a"])
        self.grant("two", "read:user1")
        self.set("user1/a", b"unseen")
        ended = next(stream)
        self.assertEqual((ended.watch_id, ended.ended.code, ended.ended.reason),
                         (1, DENIED.value[0], "PERMISSION_DENIED"))

    def test_stream_of_a_user_who_was_removed_ends(self):
        ann, create = self.watch("ann")
        create(1, "app/")
        self.assertEqual(self.kind(ann), (1, "created"))
        del self.lines["ann"]
        self.write()
        self.reload(self.server, "read the users file")
        self.set("app/1", b"unseen")
        with self.assertRaises(grpc.RpcError) as caught:
            next(ann)
        self.assertEqual((caught.exception.code(), reason_of(caught.exception)[0]),
                         (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_UNKNOWN"))


if __name__ == "__main__":
    harness.main()
