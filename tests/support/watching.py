"""A stream of Watch, for tests: requests are sent as the test likes, answers come into a queue."""
import queue
import re
import threading
import time

import grpc

from harness import CHANNEL_OPTIONS, PATIENCE, data, data_grpc

Create = data.WatchRequest.Create
Range = data.KeyRange


class Stream:
    """One call. `next` gives the answers in order; after the last one it raises how the call ended."""

    def __init__(self, server, reads=True):
        """`reads` False: nothing is read but the first answer, and what `read_some` lets in, until `read` is
        called; and little is taken from the connection before that."""
        self._requests = queue.SimpleQueue()
        self._answers = queue.SimpleQueue()
        self._channel = grpc.insecure_channel(server.address, options=[
            *CHANNEL_OPTIONS, ("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65536)])
        stub = server.keyvalue if reads else data_grpc.KeyValueServiceStub(self._channel)
        self.call = stub.Watch(iter(self._requests.get, None))
        self._reads_all, self._created = threading.Event(), threading.Event()
        self._may_read = threading.Semaphore(0)
        if reads:
            self.read()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        try:
            for answer in self.call:
                self._answers.put(answer)
                self._created.set()
                if not self._reads_all.is_set():
                    self._may_read.acquire()  # pylint: disable=consider-using-with
            self._answers.put(EOFError("the stream has ended"))
        except grpc.RpcError as error:
            self._answers.put(error)

    def read(self):
        self._reads_all.set()
        self._may_read.release()

    def read_some(self, count):
        """Lets in, and returns, the next answers; for a stream that does not read by itself. Its first answer
        is left to `next`."""
        for _ in range(count):
            self._may_read.release()
        return [self.next() for _ in range(count)]

    def await_created(self):
        if not self._created.wait(PATIENCE):
            raise AssertionError("there is no first answer")

    def send(self, request):
        self._requests.put(request)

    def half_close(self):
        self._requests.put(None)

    def close(self):
        self.read()
        self.call.cancel()
        self._requests.put(None)
        self._thread.join(PATIENCE)
        self._channel.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def next(self, deadline=None):
        """The next answer; by the deadline of time.monotonic, where one is given."""
        if deadline and time.monotonic() > deadline:
            raise AssertionError("what the test waits for does not come")
        answer = self._answers.get(timeout=PATIENCE)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def ask(self, *prefixes, watch_id=1, ranges=None, **fields):
        """Asks for a watch."""
        self.send(data.WatchRequest(create=Create(
            watch_id=watch_id, ranges=ranges or [Range(prefix=prefix) for prefix in prefixes],
            **fields)))

    def create(self, *prefixes, watch_id=1, **fields):
        """The same, and returns the answer, Created or Ended. Others before it are passed over."""
        self.ask(*prefixes, watch_id=watch_id, **fields)
        return self.until(lambda answer: answer.watch_id == watch_id and
                          answer.WhichOneof("kind") in ("created", "ended"))

    def until_ended(self):
        return self.until(lambda answer: answer.WhichOneof("kind") == "ended")

    def cancel(self, watch_id=1):
        self.send(data.WatchRequest(cancel=data.WatchRequest.Cancel(watch_id=watch_id)))

    def until(self, wanted):
        """The first answer that is wanted; those before are passed over."""
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self.next(deadline)
            if wanted(answer):
                return answer

    def events(self, count, watch_id=1):
        """The next events of a watch, at least so many, and the version that the last message gives.
        Anything but events and progress is an error."""
        found, version = [], 0
        deadline = time.monotonic() + PATIENCE
        while len(found) < count:
            answer = self.next(deadline)
            if answer.watch_id != watch_id or answer.WhichOneof("kind") == "progress":
                continue
            if answer.WhichOneof("kind") != "events":
                raise AssertionError(f"{answer} instead of events, after {len(found)}")
            found += answer.events.events
            version = answer.version
        return found, version


def shown(event):
    """An event as a tuple: kind, key, value, version."""
    return event.kind, event.entry.key, event.entry.value, event.entry.version


def passed_over(server):
    """The versions of changes that may have been made before the server's start, and lost."""
    lines = re.findall(r"versions go on above (\d+): changes after (\d+) ", server.log.text())
    return range(int(lines[-1][1]) + 1, int(lines[-1][0])) if lines else range(0)
