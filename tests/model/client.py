"""A client of the model test: sends requests to either service and tells the results in the terms of
tests/support/entries.py."""
import time

import grpc

import harness
from harness import PATIENCE, data, kv
from linearizability import Step
from reasons import reason_of
from values import decode

REFUSALS = (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND)
OF_V1 = ("put", "remove", "read", "add", "expire", "list", "transact", "once")
# Stands for the version of a key that the client has seen last.
SEEN = "seen"


class Violation(Exception):
    """The observations have no explanation."""


def unix_ms():
    return time.time_ns() // 1_000_000


def named(value):
    """In the model a value's name stands for the value, and a number for itself; a value that was
    never written stands for itself."""
    if value is None:
        return None
    if len(value) < 21 and value.lstrip(b"-").isdigit():
        return value.decode()
    return decode(value) or f"damaged: {value[:60]!r}"


def modelled(operation):
    """The operation with its value's name; a condition's value is a name's value, too."""
    kind, *arguments = operation
    if kind == "set":
        return kind, arguments[0], named(arguments[1])
    if kind == "put":
        key, value, expiry, condition, previous = arguments
        return kind, key, named(value), expiry, condition_modelled(condition), previous
    if kind == "remove":
        key, condition, previous = arguments
        return kind, key, condition_modelled(condition), previous
    if kind == "expire":
        key, expiry, condition = arguments
        return kind, key, expiry, condition_modelled(condition)
    if kind == "transact":
        comparisons, success, failure = arguments
        return (kind, tuple((key, condition_modelled(condition)) for key, condition in comparisons),
                tuple(map(modelled, success)), tuple(map(modelled, failure)))
    if kind == "once":
        return kind, arguments[0], modelled(arguments[1])
    return operation


def condition_modelled(condition):
    if condition and condition[0] == "value":
        return "value", named(condition[1])
    return condition


# ---- Messages of kvstore.v1 ----

def expiry_of(expiry):
    if expiry is None:
        return None
    kind, *time_ms = expiry
    if kind == "keep":
        return data.Expiry(keep=True)
    return data.Expiry(**{"ttl_ms" if kind == "ttl" else "expire_time_ms": time_ms[0]})


def condition_of(condition):
    return condition and data.Condition(**{condition[0]: condition[1]})


def message_of(operation, **more):
    """The request of an operation on one key."""
    kind, key, *rest = operation
    if kind == "read":
        return data.GetRequest(key=key)
    if kind == "put":
        value, expiry, condition, previous = rest
        return data.SetRequest(key=key, value=value, expiry=expiry_of(expiry),
                               condition=condition_of(condition), return_previous=previous, **more)
    if kind == "remove":
        return data.DeleteRequest(key=key, condition=condition_of(rest[0]), return_previous=rest[1],
                                  **more)
    if kind == "add":
        delta, initial, expiry = rest
        return data.IncrementRequest(key=key, delta=delta, initial=initial,
                                     expiry=expiry_of(expiry), **more)
    return data.SetExpiryRequest(key=key, expiry=expiry_of(rest[0]), condition=condition_of(rest[1]))


FIELDS = {"read": "get", "put": "set", "remove": "delete", "add": "increment", "expire": "set_expiry"}
METHODS = {"read": "Get", "put": "Set", "remove": "Delete", "add": "Increment", "expire": "SetExpiry"}


def in_list(operation):
    return data.Operation(**{FIELDS[operation[0]]: message_of(operation)})


def transaction_of(operation, **more):
    _, comparisons, success, failure = operation
    return data.TransactionRequest(
        comparisons=[data.Comparison(key=key, condition=condition_of(condition))
                     for key, condition in comparisons],
        success=map(in_list, success), failure=map(in_list, failure), **more)


def told(entry):
    return named(entry.value), entry.version, entry.expire_time_ms


def result_of(operation, answer):
    """In the terms of the model."""
    kind = operation[0]
    if kind == "read":
        return told(answer.entry) if answer.HasField("entry") else None
    if kind in ("put", "remove"):
        previous = told(answer.previous) if answer.HasField("previous") else None
        if kind == "put":
            return "ok", answer.version, previous
        return "ok", answer.deleted, answer.version, previous
    if kind == "add":
        return "ok", answer.value, answer.version
    if kind == "expire":
        return "ok", answer.version
    operations = operation[2] if answer.succeeded else operation[3]
    results = [result_of(one, getattr(result, result.WhichOneof("kind")))
               for one, result in zip(operations, answer.results)]
    if len(answer.results) != len(operations):
        raise Violation(f"a transaction of {len(operations)} operations has "
                        f"{len(answer.results)} results")
    versions = [version for one, result in zip(operations, results)
                for version in versions_of(one, result)]
    if versions and answer.version != max(versions):
        raise Violation(f"a transaction of version {answer.version} made changes of {versions}")
    return "ok", answer.succeeded, answer.version, tuple(results)


def versions_of(operation, result):
    """That of the change which an operation made."""
    if operation[0] == "read":
        return []
    version = result[2] if operation[0] in ("remove", "add") else result[1]
    return [version] if version else []


class Client:
    """Runs its script, one request after another, and records what it saw as steps."""

    def __init__(self, server, on_step):
        channel = server.connect()
        self.stub = harness.kv_grpc.KeyValueStoreStub(channel)
        self.v1 = harness.data_grpc.KeyValueServiceStub(channel)
        self.on_step = on_step  # called after each request was sent or answered
        self.steps = []
        self.seen = {}  # key -> version
        self.unanswered = None  # the operation in flight, if it may be sent again

    def do(self, script):
        for kind, operations in script:
            self.request(kind, operations)
            self.on_step()

    def request(self, kind, operations):
        operations = [self._resolved(operation) for operation in operations]
        model = tuple(modelled(operation) for operation in operations)
        # A batch promises each of its operations, in order.
        groups = [(operation,) for operation in model] if kind == "batch" else [model]
        invoked, called_ms = time.monotonic_ns(), unix_ms()
        steps = [Step(group, invoked, called_ms=called_ms) for group in groups]
        self.steps += steps
        self.unanswered = operations[0] if operations[0][0] == "once" else None
        if kind == "single":
            results = (self._single(operations[0]),)
        else:
            results = self._batch(operations)
        returned, answered_ms = time.monotonic_ns(), unix_ms()
        self.unanswered = None
        for step in steps:
            count = len(step.operations)
            step.answer(returned, results[:count], answered_ms)
            results = results[count:]

    # ---- What was seen ----

    def _resolved(self, operation):
        """With the versions that stand for SEEN."""
        kind, *arguments = operation
        if kind == "transact":
            comparisons, success, failure = arguments
            return (kind, tuple((key, self._version(key, condition))
                                for key, condition in comparisons),
                    tuple(map(self._resolved, success)), tuple(map(self._resolved, failure)))
        if kind == "once":
            return kind, arguments[0], self._resolved(arguments[1])
        if kind in ("put", "remove", "expire"):
            at = {"put": 3, "remove": 1, "expire": 2}[kind]
            arguments[at] = self._version(arguments[0], arguments[at])
        return (kind, *arguments)

    def _version(self, key, condition):
        if condition == ("version", SEEN):
            return "version", self.seen.get(key, 0)
        return condition

    def _see(self, operation, result):
        kind = operation[0]
        if kind == "read":
            self.seen[operation[1]] = result[1] if result else 0
        elif kind == "list":
            self.seen.update((key, version) for key, _, version, _ in result[1])
        elif result[0] == "refused":
            if result[2] is not None:
                self.seen[operation[1]] = result[2]
        elif kind == "transact":
            for one, its in zip(operation[2] if result[1] else operation[3], result[3]):
                self._see(one, its)
        elif kind == "remove":
            self.seen[operation[1]] = 0
        else:
            self.seen[operation[1]] = result[2] if kind == "add" else result[1]

    # ---- Calls ----

    def _single(self, operation):
        kind, key, *arguments = operation
        if kind in OF_V1:
            result = self._single_of_v1(operation)
            self._see(operation[2] if kind == "once" else operation, result)
            return result
        if kind == "set":
            self.stub.Set(kv.SetRequest(key=key, value=arguments[0]), timeout=PATIENCE)
            return None
        if kind == "delete":
            return self.stub.Del(kv.DelRequest(key=key), timeout=PATIENCE).success
        if kind == "get":
            answer = self.stub.Get(kv.GetRequest(key=key), timeout=PATIENCE)
            return named(answer.value) if answer.found else None
        return self._scan(key, *arguments)

    def _single_of_v1(self, operation):
        request_id = ""
        if operation[0] == "once":
            _, request_id, operation = operation
        more = {"request_id": request_id} if request_id else {}
        if operation[0] == "list":
            return self._list(*operation[1:])
        try:
            if operation[0] == "transact":
                return result_of(operation, self.v1.Transaction(
                    transaction_of(operation, **more), timeout=PATIENCE))
            method = getattr(self.v1, METHODS[operation[0]])
            return result_of(operation, method(message_of(operation, **more), timeout=PATIENCE))
        except grpc.RpcError as error:
            if error.code() not in REFUSALS:
                raise
            reason, metadata = reason_of(error)
            current = None if operation[0] == "transact" else metadata.get("current_version")
            return "refused", reason, current and int(current)

    def _list(self, prefix, descending, limit):
        request = data.ScanRequest(range=data.KeyRange(prefix=prefix), descending=descending,
                                   limit=limit)
        parts = list(self.v1.Scan(request, timeout=PATIENCE))
        versions = {part.version for part in parts}
        if len(versions) > 1:
            raise Violation(f"a Scan told the versions {versions}")
        found = [(entry.key, *told(entry)) for part in parts for entry in part.entries]
        # A stream without a message tells no version.
        return (versions.pop() if versions else None), tuple(found)

    def _scan(self, prefix, limit, keys_only):
        if keys_only and not prefix and not limit:
            return tuple(self.stub.Keys(kv.KeysRequest(), timeout=PATIENCE).keys)
        projection = data.ScanRequest.PROJECTION_KEYS if keys_only else 0
        request = data.ScanRequest(range=data.KeyRange(prefix=prefix), limit=limit,
                                   projection=projection)
        entries = [entry for part in self.v1.Scan(request, timeout=PATIENCE)
                   for entry in part.entries]
        if keys_only:
            return tuple(entry.key for entry in entries)
        return tuple((entry.key, named(entry.value)) for entry in entries)

    def _batch(self, operations):
        request = data.BatchRequest(operations=map(in_list, operations))
        results = self.v1.Batch(request, timeout=PATIENCE).results
        if len(results) != len(operations):
            raise Violation(f"a batch of {len(operations)} operations has {len(results)} results")
        return tuple(self._batch_result(*pair) for pair in zip(operations, results))

    @staticmethod
    def _batch_result(operation, result):
        if result.WhichOneof("kind") != "error":
            return result_of(operation, getattr(result, result.WhichOneof("kind")))
        error = result.error
        if error.code not in [code.value[0] for code in REFUSALS]:
            raise Violation(f"an operation of a batch failed: {error}")
        told_version = error.current_version if error.reason == "CONDITION_NOT_MET" else None
        return "refused", error.reason, told_version
