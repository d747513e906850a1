"""What a storm does with kvstore.v1: conditional writes, transactions, increments, requests that are
sent again, keys that expire, deletions of ranges, waits for durability; and what it knows of
versions."""
import time

import grpc

from harness import PATIENCE, data
from values import decode, encode

HOUR_MS = 3_600_000
PADDING = "." * 60_000
# Keys that expire are nobody's: each is written once and has its time in its name.
EXPIRING = "t/"
LIVES_MS = (1, 5, 20, 60, 1000, 5000)


class Defect(Exception):
    """The server broke a promise."""


def unix_ms():
    return time.time_ns() // 1_000_000


def counter_of(client):
    return f"{client}/n"


def long_keys_of(client):
    """So long that DeleteRange takes two steps for them."""
    return [f"{client}/long{number:02}{PADDING}" for number in range(20)]


def expiry_in(key):
    return int(key.split("/")[1])


class Knowledge:
    """Of one store: the version and the expiry of each value that a key has had, and the keys that
    expire. No key gets a value twice, but for a counter that has lost increments."""

    def __init__(self):
        self.versions = {}  # (key, value) -> version, of writes that were answered or seen
        self.expiries = {}  # (key, value) -> Unix ms, where there is one
        self.living = {}  # keys that expire, of which the server has answered that it has them
        self.last = {}  # client -> Request, if its last write was one that may be sent again

    def wrote(self, key, value, version):
        self.versions[key, value] = version

    def check_entry(self, key, entry):
        """What a Get, a Scan or a previous value tells of a key that does not expire soon."""
        version = self.versions.setdefault((key, entry.value), entry.version)
        if entry.version != version:
            raise Defect(f"{key} with the value {entry.value[:40]} has version {entry.version}; it "
                         f"was written as {version}")
        expiry = self.expiries.get((key, entry.value), 0)
        if entry.expire_time_ms != expiry:
            raise Defect(f"{key} with the value {entry.value[:40]} expires at "
                         f"{entry.expire_time_ms} instead of {expiry}")

    def take_expiring(self, found, called_ms, answered_ms, living):
        """Takes the keys that expire out of what a scan found; `living` were there before it."""
        there = {key: found.pop(key) for key in list(found) if key.startswith(EXPIRING)}
        for key, value in there.items():
            if called_ms >= expiry_in(key):
                raise Defect(f"{key} was found {called_ms - expiry_in(key)} ms after its expiry")
            if decode(value) != key:
                raise Defect(f"{key} has the value {value[:40]}")
        for key in living:
            if key not in there and answered_ms < expiry_in(key):
                raise Defect(f"{key} is missing {expiry_in(key) - answered_ms} ms before its expiry")
        return there

    def restarted(self, found, expiring):
        """Only what was found is left of what was written."""
        self.versions = {pair: version for pair, version in self.versions.items()
                         if found.get(pair[0]) == pair[1]}
        self.living = dict.fromkeys(expiring)
        self.last = {}


class Request:
    """A write with a request_id, and what it does."""

    def __init__(self, method, message, pairs):
        self.method, self.message, self.pairs = method, message, pairs
        self.answer = None

    def key_and_value(self):
        return next(pair for pair in self.pairs if pair[1] is not None)

    def send(self, stub):
        return getattr(stub, self.method)(self.message, timeout=PATIENCE)

    def version_in(self, answer):
        """That of the change of key_and_value."""
        if self.method != "Transaction":
            return answer.version
        results = [result.set.version or result.delete.version for result in answer.results]
        return results[self.pairs.index(self.key_and_value())]


class Writer:
    """The writes of one client."""

    def __init__(self, storm, stub, client, rng):
        self.storm, self.stub, self.client, self.rng = storm, stub, client, rng
        self.known = storm.known

    def write(self, pairs):
        """Writes what the history has begun: the pairs, of which a value of None is a deletion."""
        if len(pairs) == 1 and pairs[0][0] == counter_of(self.client):
            request = Request("Increment", data.IncrementRequest(
                key=pairs[0][0], delta=1, request_id=self._id(always=True)), pairs)
        elif len(pairs) > 1 or self.rng.random() < 0.3:
            request = Request("Transaction", self._transaction(pairs), pairs)
        elif pairs[0][1] is None:
            request = Request("Delete", data.DeleteRequest(
                key=pairs[0][0], condition=self._condition(pairs[0][0]), return_previous=True), pairs)
        else:
            request = Request("Set", self._set(*pairs[0], request_id=self._id()), pairs)
        again = getattr(request.message, "request_id", "") and any(value is not None
                                                                   for _, value in pairs)
        self.known.last[self.client] = request if again else None
        before = {key: self._before(key) for key, _ in pairs}
        request.answer = request.send(self.stub)
        self._check_answer(request, before)
        if again and self.rng.random() < 0.2:
            self.storm.counts["repetitions"] += 1
            again = request.send(self.stub)
            again.durability = request.answer.durability  # a switch in between changes it
            if again != request.answer:
                raise Defect(f"{request.message} was answered {request.answer}, and repeated {again}")

    def write_expiring(self):
        self.storm.counter += 1
        key = f"{EXPIRING}{unix_ms() + self.rng.choice(LIVES_MS)}/{self.client}.{self.storm.counter}"
        self.stub.Set(data.SetRequest(key=key, value=encode(key, 20), expiry=data.Expiry(
            expire_time_ms=expiry_in(key))), timeout=PATIENCE)
        self.known.living[key] = None
        self.storm.counts["expiring"] += 1

    def write_long(self):
        """All long keys at once."""
        pairs = [(key, self.storm.new_value(self.rng, self.client))
                 for key in long_keys_of(self.client)]
        self.storm.clients.begin(self.client, pairs)
        self.known.last[self.client] = None
        answer = self.stub.Transaction(data.TransactionRequest(success=[
            data.Operation(set=data.SetRequest(key=key, value=value)) for key, value in pairs]),
            timeout=PATIENCE)
        for (key, value), result in zip(pairs, answer.results):
            self.known.wrote(key, value, result.set.version)
        self.storm.clients.histories[self.client].acknowledge()

    def delete_range(self, first, end):
        """Of the client's keys, which are deleted in their order, in steps: a crash may leave any of
        the last ones."""
        history = self.storm.clients.histories[self.client]
        keys = [key for key in self.storm.keys_of(self.client)
                if first <= key < end and history.latest(key) is not None]
        request = data.DeleteRangeRequest(range=data.KeyRange(start=first, end=end),
                                          validate_only=True)
        self._check_count(self.stub.DeleteRange(request, timeout=PATIENCE), keys)
        request.validate_only = False
        self.storm.clients.begin_steps(self.client, [[(key, None)] for key in sorted(keys)])
        self.known.last[self.client] = None
        self._check_count(self.stub.DeleteRange(request, timeout=PATIENCE), keys)
        history.acknowledge()
        self.storm.counts["ranges"] += 1

    def _check_count(self, answer, keys):
        if answer.count != len(keys):
            raise Defect(f"DeleteRange of {len(keys)} keys answered {answer}")

    def wait_durable(self):
        """What anyone was answered is kept from then on, in modes that can."""
        floors = self.storm.clients.floors()
        level = self.rng.choice((data.DURABILITY_UNSPECIFIED, data.DURABILITY_SYNCED,
                                 data.DURABILITY_WRITTEN))
        try:
            self.stub.WaitDurable(data.WaitDurableRequest(durability=level), timeout=PATIENCE)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
                raise
            return
        self.storm.made_durable(floors)
        self.storm.counts["durable"] += 1

    # ---- Requests ----

    def _id(self, always=False):
        if not always and self.rng.random() < 0.5:
            return ""
        self.storm.counter += 1
        return f"{self.storm.seed}/{self.storm.counter}"

    def _before(self, key):
        """The value before the write that the history has begun with."""
        return self.storm.clients.histories[self.client].before(key)

    def _condition(self, key):
        """One that holds."""
        value = self._before(key)
        version = self.known.versions.get((key, value)) if value is not None else 0
        choices = [None, data.Condition(exists=value is not None)]
        if version is not None:
            choices.append(data.Condition(version=version))
        if value is not None:
            choices.append(data.Condition(value=value))
        return self.rng.choice(choices)

    def _wrong(self, key):
        """One that does not."""
        value = self._before(key)
        return self.rng.choice((data.Condition(exists=value is None),
                                data.Condition(version=1 << 46), data.Condition(value=b"another")))

    def _set(self, key, value, **more):
        expiry = None
        if self.rng.random() < 0.3:
            self.known.expiries[key, value] = unix_ms() + HOUR_MS
            expiry = data.Expiry(expire_time_ms=self.known.expiries[key, value])
        return data.SetRequest(key=key, value=value, expiry=expiry, condition=self._condition(key),
                               return_previous=True, **more)

    def _transaction(self, pairs):
        operations = [
            data.Operation(delete=data.DeleteRequest(key=key, return_previous=True))
            if value is None else data.Operation(set=self._set(key, value)) for key, value in pairs]
        never = [data.Operation(delete=data.DeleteRequest(key=f"{self.client}/never"))]
        key = pairs[0][0]
        request_id = self._id()
        if self.rng.random() < 0.3:
            return data.TransactionRequest(
                comparisons=[data.Comparison(key=key, condition=self._wrong(key))], success=never,
                failure=operations, request_id=request_id)
        condition = self._condition(key)
        comparisons = [data.Comparison(key=key, condition=condition)] if condition else []
        return data.TransactionRequest(comparisons=comparisons, success=operations, failure=never,
                                       request_id=request_id)

    # ---- Answers ----

    def _check_answer(self, request, before):
        answer = request.answer
        results = [answer]
        if request.method == "Transaction":
            if len(answer.results) != len(request.pairs):
                raise Defect(f"a transaction carried out the wrong list: {answer}")
            results = [getattr(result, result.WhichOneof("kind")) for result in answer.results]
        versions = [result.version for result in results]
        if versions != sorted(set(versions)) or not versions[0]:
            raise Defect(f"one write was given the versions {versions}")
        for (key, value), result in zip(request.pairs, results):
            if request.method == "Increment":
                if result.value != int(value):
                    raise Defect(f"Increment of {key} to {value} answered {result.value}")
            else:
                self._check_previous(key, before[key], result)
            if value is not None:
                self.known.wrote(key, value, result.version)

    def _check_previous(self, key, value, result):
        if result.HasField("previous") != (value is not None):
            raise Defect(f"{key} had {value and value[:40]}; the write answered {result}")
        if value is None:
            return
        if result.previous.value != value:
            raise Defect(f"{key} had {value[:40]}; the write answered {result.previous.value[:40]}")
        self.known.check_entry(key, result.previous)


def scan(stub):
    """All entries by key, and when they were read."""
    called_ms = unix_ms()
    parts = list(stub.Scan(data.ScanRequest(), timeout=PATIENCE))
    return ({entry.key: entry for part in parts for entry in part.entries}, called_ms, unix_ms())


def repeat(storm, stub, found, sequence):
    """After a restart each client sends its last request again: it is carried out now if it was not
    before, and otherwise has its first answer."""
    for client, request in list(storm.known.last.items()):
        if request:
            key, value = request.key_and_value()
            storm.counts["sent again"] += 1
            if key in found and found[key].value == value:
                repeat_applied(request, stub, found[key].version)
            else:
                storm.counts["of them new"] += 1
                carry_out(storm, client, request, stub, sequence)
    storm.known.last = {}


def repeat_applied(request, stub, version):
    before, answer, after = scan(stub)[0], request.send(stub), scan(stub)[0]
    if request.answer and answer.version != request.answer.version:
        raise Defect(f"a request was answered {request.answer}, and repeated after a restart "
                     f"{answer}")
    if request.version_in(answer) != version:
        raise Defect(f"a request was carried out as version {version}, and its repetition answered "
                     f"{answer}")
    if without_expiring(before) != without_expiring(after):
        raise Defect(f"the repetition of {request.message} changed something")


def carry_out(storm, client, request, stub, sequence):
    """What the request was conditional on may have been lost with it."""
    history, pairs = storm.clients.histories[client], request.pairs
    if request.method == "Increment":
        [(key, _)] = pairs
        pairs = [(key, str(int(history.latest(key) or 0) + 1).encode())]
    storm.clients.begin(client, pairs)
    try:
        answer = request.send(stub)
    except grpc.RpcError as error:
        if error.code() != grpc.StatusCode.FAILED_PRECONDITION:
            raise
        history.reject()
        return
    if request.method == "Transaction" and (len(answer.results) != len(pairs) or
                                            not request.version_in(answer)):
        history.reject()  # it took the other branch
        return
    if request.version_in(answer) <= sequence:
        raise Defect(f"a request was lost, but its repetition answered {answer}")
    if request.method == "Increment" and answer.value != int(pairs[0][1]):
        raise Defect(f"the increment to {pairs[0][1]} answered {answer.value}")
    history.acknowledge()
    for key, entry in scan(stub)[0].items():
        if (key, entry.value) in pairs:
            storm.known.wrote(key, entry.value, entry.version)


def without_expiring(found):
    return {key: value for key, value in found.items() if not key.startswith(EXPIRING)}
