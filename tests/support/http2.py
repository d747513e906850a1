"""HTTP/2 by hand: frames as bytes, valid or not, and a socket that speaks them. Nothing here
enforces the protocol; it sends exactly what the test wrote.
"""
import collections
import select
import socket
import ssl
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, \
    CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME, MAX_LIST = range(1, 7)
NO_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 7, 8, 11

PATIENCE = 300
SERVICE = "/kvstore.KeyValueStore/"
KEYVALUE = "/kvstore.v1.KeyValueService/"
ADMIN = "/kvstore.v1.AdminService/"


def number(value, size):
    return value.to_bytes(size, "big")


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """`length`, if given, is a wrong length for the header."""
    return number(len(payload) if length is None else length, 3) + bytes([kind, flags]) + \
        number(stream, 4) + payload


def settings(*pairs):
    return frame(SETTINGS, payload=b"".join(number(name, 2) + number(value, 4)
                                            for name, value in pairs))


def window_update(stream, increment):
    return frame(WINDOW_UPDATE, stream=stream, payload=number(increment, 4))


def reset(stream, code=CANCEL):
    return frame(RST_STREAM, stream=stream, payload=number(code, 4))


def ping(payload=b"12345678"):
    return frame(PING, payload=payload)


def header(name, value):
    """Literal without indexing and without Huffman code: HPACK at its plainest."""
    def text(data):
        size, prefix = len(data), b""
        if size >= 127:
            size -= 127
            prefix = b"\x7f"
            while size >= 128:
                prefix += bytes([size & 127 | 128])
                size >>= 7
        return prefix + bytes([size]) + data
    return b"\x00" + text(name.encode()) + text(value.encode())


def block(path, method="POST", te="trailers", content="application/grpc", extra=()):
    """The header block of a call; None leaves a header out."""
    pairs = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "x"),
             ("te", te), ("content-type", content), *extra]
    return b"".join(header(name, value) for name, value in pairs if value is not None)


def headers(stream, fields, flags=END_HEADERS):
    return frame(HEADERS, flags, stream, fields)


def call(stream, name, data, flags=END_STREAM, **fields):
    """Headers and one DATA frame of a whole call; `name` alone is a method of SERVICE."""
    path = name if name.startswith("/") else SERVICE + name
    return headers(stream, block(path, **fields)) + \
        frame(DATA, flags, stream, data)


def message(data, flag=0, length=None):
    """A gRPC message; `length`, if given, is a wrong length for its prefix."""
    return bytes([flag]) + number(len(data) if length is None else length, 4) + data


# A socket that does not block has nothing to read, or no space.
LATER = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Connection:
    """The client's side. With reads=False nothing is ever read from the socket; with acks=False no
    settings are acknowledged; with keeps_data, `data` has what arrived on each stream. `buffer` limits
    what the system keeps of what was not read, in bytes. `tls` is an ssl.SSLContext, or None."""

    def __init__(self, port, *first, reads=True, acks=True, keeps_data=False, buffer=None, tls=None):
        self.socket = socket.socket()
        self.socket.settimeout(PATIENCE)
        if buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect(("127.0.0.1", port))
        self.reads = reads
        self.acks = acks
        self.closed = False
        self.buffer = bytearray()
        self.frames = []
        self.data = collections.defaultdict(bytearray) if keeps_data else None
        self.decoder = hpack.Decoder()
        self.owed = 0  # acknowledgements of settings, sent between frames
        if tls:
            self._shake_hands(tls)
        if not self.closed:
            self.socket.setblocking(False)
        self._write(PREFACE + b"".join(first or [settings()]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _shake_hands(self, tls):
        try:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        except ssl.SSLCertVerificationError:
            raise
        except OSError:  # as where a server has taken the connection that it cannot serve
            self.closed = True

    def close(self):
        self.closed = True
        self.socket.close()

    def _receive(self):
        try:
            data = self.socket.recv(1 << 18)
        except LATER:
            return
        except OSError:
            data = b""
        if not data:
            self.closed = True
        self.buffer += data
        while len(self.buffer) >= 9:
            size = 9 + int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < size:
                break
            kind, flags = self.buffer[3], self.buffer[4]
            stream = int.from_bytes(self.buffer[5:9], "big")
            payload = bytes(self.buffer[9:size])
            del self.buffer[:size]
            if kind == SETTINGS and not flags & ACK and self.reads and self.acks:
                self.owed += 1
            if kind == HEADERS:
                payload = self.decoder.decode(payload)
            if kind == DATA and self.data is not None:
                self.data[stream] += payload
            if kind != DATA:
                self.frames.append((kind, flags, stream, payload))

    def _write(self, data):
        try:
            return self.socket.send(data)
        except LATER:
            return 0
        except OSError:
            self.closed = True
            return 0

    def send(self, data, patience=PATIENCE):
        """Sends everything, reading meanwhile. False if the server closed the connection or
        accepted nothing for `patience` seconds."""
        view = memoryview(frame(SETTINGS, ACK) * self.owed + data if self.owed else data)
        self.owed = 0
        deadline = time.monotonic() + patience
        while len(view) and not self.closed:
            readable, writable, _ = select.select([self.socket] if self.reads else [],
                                                  [self.socket], [], 0.2)
            if readable:
                self._receive()
            if writable and not self.closed:
                sent = self._write(view)
                view = view[sent:]
                if sent:
                    deadline = time.monotonic() + patience
            if time.monotonic() > deadline:
                return False
        return not self.closed

    def wait(self, found):
        """Reads until a frame satisfies `found`, which gets (kind, flags, stream, payload); None
        when the server closed the connection instead."""
        deadline = time.monotonic() + PATIENCE
        seen = 0
        while True:
            for each in self.frames[seen:]:
                if found(*each):
                    return each
            seen = len(self.frames)
            if self.closed:
                return None
            if time.monotonic() > deadline:
                raise AssertionError("the server neither answered nor closed the connection")
            select.select([self.socket], [], [], 1)
            self._receive()

    def reaction(self):
        """Whether the connection still works: "open", or "closed" by the server."""
        mark = number(time.monotonic_ns() & (1 << 64) - 1, 8)
        self.send(ping(mark))
        answer = self.wait(lambda kind, flags, _, payload:
                           kind == GOAWAY or (kind == PING and flags & ACK and payload == mark))
        return "open" if answer and answer[0] == PING else "closed"

    def round_trip(self):
        """Waits until the server has handled what was sent: it acknowledges settings in order, and
        counts them less strictly than pings."""
        def acks():
            return sum(kind == SETTINGS and flags & ACK for kind, flags, *_ in self.frames)
        wanted = acks() + 1
        self.send(settings())
        self.wait(lambda *_: acks() >= wanted)

    def of(self, stream, kind=None):
        """The frames that have arrived for a stream, all but DATA, or those of one kind."""
        return [each for each in self.frames
                if each[2] == stream and kind in (None, each[0])]

    def fields(self, stream):
        """Headers and trailers that have arrived for a call."""
        return dict(pair for _, _, _, fields in self.of(stream, HEADERS) for pair in fields)

    def wait_closed(self):
        """Reads until the server closes the connection."""
        self.wait(lambda *_: False)

    def outcome(self, stream):
        """How a call ended: its grpc-status (or HTTP status), "reset", or "closed"."""
        def ends(kind, flags, number_of_stream, _):
            return kind == GOAWAY or (number_of_stream == stream and
                                      (kind == RST_STREAM or
                                       (kind == HEADERS and flags & END_STREAM)))
        answer = self.wait(ends)
        if not answer or answer[0] == GOAWAY:
            return "closed"
        if answer[0] == RST_STREAM:
            return "reset"
        fields = dict(answer[3])
        return int(fields["grpc-status"]) if "grpc-status" in fields else fields[":status"]
