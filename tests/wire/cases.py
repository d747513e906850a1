"""What malformed or hostile clients do. Each case gets a Field (see run) and returns how often it
acted; it fails by raising AssertionError. Meanwhile a well-behaved client must be served. Those who
do what HTTP/2 allows, but too much of it, are in attacks.py.
"""
import zlib

from http2 import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW, KEYVALUE,
    MAX_FRAME, PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, SERVICE,
    block, call, frame, header, headers, message, number, ping, reset, settings,
    window_update)
from upload import Upload

MIB = 1 << 20
OK, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 8, 12, 13
LARGEST_WINDOW = (1 << 31) - 1

SET = b"\x0a\x01k\x12\x01v"
GET = b"\x0a\x01k"


# ---- Frames that must not be, each on a connection of its own ----

def whole(stream=1):
    return call(stream, "Get", message(GET))


def open_call(stream=1):
    return headers(stream, block(SERVICE + "Set"))


BAD_FRAMES = {
    "DATA on stream 0": frame(DATA, 0, 0, b"x"),
    "DATA on a stream never opened": frame(DATA, 0, 7, b"x"),
    "HEADERS on stream 0": headers(0, block(SERVICE + "Get")),
    "HEADERS on an even stream": headers(2, block(SERVICE + "Get")),
    "HEADERS on an earlier stream": whole(5) + whole(3),
    "HEADERS on a stream in use": open_call() + open_call(),
    "HEADERS after the end": whole() + open_call(),
    "DATA after the end": whole() + frame(DATA, END_STREAM, 1, message(GET)),
    "the reserved bit": headers(1 | 1 << 31, block(SERVICE + "Get")),
    "RST_STREAM on an idle stream": reset(9),
    "RST_STREAM on stream 0": reset(0),
    "RST_STREAM of 5 bytes": open_call() + frame(RST_STREAM, 0, 1, bytes(5)),
    "PRIORITY of 4 bytes": frame(PRIORITY, 0, 1, bytes(4)),
    "PUSH_PROMISE": open_call() + frame(PUSH_PROMISE, END_HEADERS, 1, number(2, 4)),
    "PING of 7 bytes": frame(PING, 0, 0, bytes(7)),
    "PING on a stream": open_call() + frame(PING, 0, 1, bytes(8)),
    "PING answers to nothing": frame(PING, ACK, 0, bytes(8)) * 100,
    "SETTINGS of 5 bytes": frame(SETTINGS, 0, 0, bytes(5)),
    "SETTINGS on a stream": frame(SETTINGS, 0, 1),
    "SETTINGS ACK with content": frame(SETTINGS, ACK, 0, bytes(6)),
    "SETTINGS ACK to nothing": frame(SETTINGS, ACK) * 100,
    "SETTINGS with an absurd window": settings((INITIAL_WINDOW, 1 << 31)),
    "SETTINGS with an absurd frame size": settings((MAX_FRAME, 1)),
    "SETTINGS that are unknown": settings((999, 1)),
    "GOAWAY of 3 bytes": frame(GOAWAY, 0, 0, bytes(3)),
    "WINDOW_UPDATE of 3 bytes": frame(WINDOW_UPDATE, 0, 0, bytes(3)),
    "WINDOW_UPDATE by 0": window_update(0, 0),
    "WINDOW_UPDATE by 0 on a stream": open_call() + window_update(1, 0),
    "WINDOW_UPDATE on an idle stream": window_update(9, 5),
    "a connection's window that overflows": window_update(0, LARGEST_WINDOW) * 3,
    "a stream's window that overflows": open_call() + window_update(1, LARGEST_WINDOW) * 3,
    "a stream's window that overflows by SETTINGS":
        open_call() + window_update(1, LARGEST_WINDOW - 65535) +
        settings((INITIAL_WINDOW, LARGEST_WINDOW)),
    "CONTINUATION without HEADERS": frame(CONTINUATION, END_HEADERS, 1, block(SERVICE + "Get")),
    "a frame between HEADERS and CONTINUATION":
        headers(1, block(SERVICE + "Get"), 0) + ping() + frame(CONTINUATION, END_HEADERS, 1),
    "CONTINUATION of another stream":
        headers(1, block(SERVICE + "Get"), 0) + frame(CONTINUATION, END_HEADERS, 3),
    "padding longer than its frame": frame(HEADERS, END_HEADERS | PADDED, 1, b"\xff" + b"x"),
    "padding without a length": open_call() + frame(DATA, PADDED, 1, b""),
    "a frame of 16 MiB": frame(DATA, 0, 1, bytes(MIB), length=(1 << 24) - 1),
    "a frame above the frame size": open_call() + frame(DATA, 0, 1, bytes(1 << 15)),
    "unknown types": b"".join(frame(kind, kind, kind, bytes(kind)) for kind in range(10, 256)),
}


def bad_frames(field):
    for name, data in BAD_FRAMES.items():
        with field.naming(name), field.connect() as connection:
            connection.send(data)
            if len(data) < MIB:  # the server may still be waiting for the rest of that frame
                connection.reaction()
    return len(BAD_FRAMES)


def frames_cut_short(field):
    data = call(1, "Set", message(SET))
    for end in range(1, len(data)):
        with field.connect() as connection:
            connection.send(data[:end])
    return len(data) - 1


def random_frames(field):
    count = field.scaled(200, 5000)
    for _ in range(count):
        with field.connect() as connection:
            for _ in range(field.random.randrange(1, 30)):
                payload = field.random.randbytes(field.random.randrange(40))
                connection.send(frame(field.random.randrange(12), field.random.randrange(256),
                                      field.random.randrange(8), payload))
    return count


# ---- Header compression ----

HPACK_GARBAGE = {
    "an index beyond the table": b"\xfe",
    "index 0": b"\x80",
    "an integer without end": b"\xff" + b"\xff" * 100,
    "a string longer than the block": b"\x00\x7f\xff\xff\xff\x0f",
    "a Huffman code that is none": b"\x00\x84\xff\xff\xff\xff\x01x",
    "a table size beyond the limit": b"\x3f\xff\xff\xff\xff\x07",
    "an upper-case name": header("Upper", "x"),
    "a name of no bytes": header("", "x"),
    "a value with a line end": header("x", "a\r\nb"),
    "a pseudo-header that is unknown": header(":who", "x"),
    "a pseudo-header twice": header(":path", "/a") + header(":path", "/b"),
    "a pseudo-header at the end": header("x", "y") + header(":path", "/a"),
}


def hpack_garbage(field):
    for name, data in HPACK_GARBAGE.items():
        with field.naming(name), field.connect() as connection:
            connection.send(headers(1, block(SERVICE + "Get") + data, END_HEADERS | END_STREAM))
            connection.reaction()
    for _ in range(field.scaled(200, 5000)):
        with field.connect() as connection:
            connection.send(headers(1, field.random.randbytes(field.random.randrange(1, 200))))
            connection.reaction()
    return len(HPACK_GARBAGE) + field.scaled(200, 5000)


# ---- Metadata without end ----

def much_metadata(field):
    """Blocks of 8 MiB on many streams, ended correctly."""
    chunks = 500
    chunk = frame(CONTINUATION, 0, 0, header("x", "v" * 16000))
    with field.connect() as connection:
        for stream in range(1, 2 * field.scaled(10, 100), 2):
            connection.send(headers(stream, block(SERVICE + "Get"), 0))
            connection.send((chunk[:5] + number(stream, 4) + chunk[9:]) * chunks)
            if not connection.send(frame(CONTINUATION, END_HEADERS, stream)):
                break
            assert connection.outcome(stream) != OK, "8 MiB of metadata were taken"
    return field.scaled(10, 100)


def endless_trailers(field):
    with field.connect() as connection:
        sent = 0
        connection.send(open_call() + headers(1, header("x", "v" * 16000), END_STREAM))
        while sent < field.scaled(2000, 20000) and \
                connection.send(frame(CONTINUATION, 0, 1, header("x", "v" * 16000))):
            sent += 1
    return sent


# ---- gRPC's own framing ----

def gzip(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def grpc_framing(field):
    compressed = {"extra": [("grpc-encoding", "gzip")]}
    # What must come out: a set of grpc-status, HTTP status, "reset" or "closed".
    failed = set(range(1, 17)) | {"reset", "closed"}
    # HTTP/2 has the stream reset; the C core answers the call.
    malformed = {"grpc": {INTERNAL}, "http2": {"reset"}}[field.wire]
    cases = {
        "as it should be": (call(1, "Set", message(SET)), {OK}),
        "a prefix longer than the data": (call(1, "Set", message(SET, length=100)), failed),
        # The rest is the start of a second message, which a unary call may ignore.
        "a prefix shorter than the data": (call(1, "Set", message(SET, length=3)), failed | {OK}),
        "half a prefix": (call(1, "Set", b"\0\0\0"), failed),
        "no message": (call(1, "Set", b""), failed),
        "a compressed flag without an encoding": (call(1, "Set", message(SET, 1)),
                                                  {INTERNAL, UNIMPLEMENTED}),
        "a flag that is unknown": (call(1, "Set", message(SET, 7)), failed),
        "an encoding that is unknown":
            (call(1, "Set", message(SET, 1), extra=[("grpc-encoding", "brotli")]), {UNIMPLEMENTED}),
        "an upper-case name": (call(1, "Set", message(SET), extra=[("X", "x")]), malformed),
        "a header of HTTP/1": (call(1, "Set", message(SET), extra=[("connection", "close")]),
                               malformed),
        "gzip that is none": (call(1, "Set", message(SET, 1), **compressed), failed),
        "gzip cut short": (call(1, "Set", message(gzip(SET)[:-9], 1), **compressed), failed),
        "gzip": (call(1, "Set", message(gzip(SET), 1), **compressed), {OK}),
        "no te": (call(1, "Set", message(SET), te=None), failed | {OK, "400"}),
        "no content-type": (call(1, "Set", message(SET), content=None), failed | {OK, "415"}),
        "another content-type": (call(1, "Set", message(SET), content="text/html"),
                                 failed | {OK, "415"}),
        "GET": (call(1, "Set", message(SET), method="GET"), failed | {"405"}),
        "no method": (call(1, "Set", message(SET), method=None), failed),
        "no path": (headers(1, block(None)) + frame(DATA, END_STREAM, 1, message(SET)), failed),
        "a path that is unknown": (call(1, "Sett", message(SET)), {UNIMPLEMENTED}),
        "a path of 7 KB": (call(1, "x" * 7000, message(SET)), failed),
        "a path without a slash": (headers(1, block("Set")) +
                                   frame(DATA, END_STREAM, 1, message(SET)), failed),
        "a timeout that is none": (call(1, "Set", message(SET), extra=[("grpc-timeout", "soon")]),
                                   failed | {OK}),
        "a timeout of nothing": (call(1, KEYVALUE + "Scan", message(b""),
                                      extra=[("grpc-timeout", "0n")]), failed | {OK}),
    }
    for name, (data, expected) in cases.items():
        with field.naming(name), field.connect() as connection:
            connection.send(data)
            outcome = connection.outcome(1)
            assert outcome in expected, f"{outcome}, expected one of {expected}"
    return len(cases)


def upload_above_the_limit(field):
    """A message announced with 4 GiB: it must be refused before all of it has been taken in."""
    parts, part = field.scaled(30, 190), message(b"", length=(1 << 32) - 1) + bytes(20 * MIB)
    with field.overload(), field.connect() as connection:
        connection.send(open_call())
        upload = Upload(connection)
        for _ in range(parts):
            if not upload.send(1, part):
                break
            part = part[:-1]
        else:
            raise AssertionError(f"{parts * 20} MiB were taken in for one message")
    return 1


def data_beyond_the_window(field):
    """64 MiB at once, whatever the server's window."""
    with field.connect() as connection:
        connection.send(open_call() + frame(DATA, 0, 1, message(b"", length=64 * MIB)))
        for _ in range(field.scaled(1000, 4000)):
            if not connection.send(frame(DATA, 0, 1, bytes(16384))):
                break
    return 1


# ---- Limits ----

def descriptors_run_out(field):
    """More connections than the server may have open files: it refuses the excess, and serves
    others as soon as they have closed."""
    count = 300
    with field.few_files(100):
        connections = [field.connect() for _ in range(count)]
        states = [connection.reaction() for connection in connections]
        assert 0 < states.count("open") < 100, f"{states.count('open')} of {count} were taken"
        field.witness_goes_on()
        for connection in connections:
            connection.close()
        field.await_descriptors()
        with field.connect() as connection:
            assert connection.reaction() == "open", "nobody can connect any more"
    return count


def halted_uploads_side_by_side(field):
    """Values of which only the beginning is sent, on the streams of one connection."""
    with field.connect() as connection:
        count = field.scaled(8, 50)
        upload = Upload(connection)
        for stream in range(1, 2 * count, 2):
            connection.send(open_call(stream))
            if not upload.send(stream, message(bytes(MIB), length=64 * MIB), waits=False):
                break
        field.witness_goes_on()
    return count


CASES = [bad_frames, frames_cut_short, random_frames, hpack_garbage, much_metadata, endless_trailers,
         grpc_framing, upload_above_the_limit, data_beyond_the_window, descriptors_run_out,
         halted_uploads_side_by_side]
