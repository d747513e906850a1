"""What malformed or hostile clients do. Each case gets a Field (see run) and returns how often it
acted; it fails by raising AssertionError. Meanwhile a well-behaved client must be served.
"""
import zlib

from http2 import (
    ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW, MAX_FRAME,
    PADDED, PING, PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, SERVICE,
    block, call, frame, header, headers, message, number, ping, reset, settings,
    window_update)

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


def hpack_bomb(field):
    """An entry of 4,000 bytes in the table, and 16,000 references to it in each block: 60 MB of
    headers in 16 KB."""
    entry = b"\x40\x01b\x7f" + b"\xa1\x1e" + b"v" * 4000  # 127 + 0x21 + 30 * 128 = 4000
    streams = field.scaled(20, 500)
    for _ in range(field.scaled(2, 10)):
        with field.connect() as connection:
            connection.send(headers(1, block(SERVICE + "Get") + entry))
            for stream in range(3, 3 + 2 * streams, 2):
                connection.send(headers(stream, block(SERVICE + "Get") + b"\xbe" * 16000))
            connection.reaction()
    return streams * field.scaled(2, 10)


# ---- Metadata without end ----

def endless_continuation(field):
    """A header block that goes on until the server has had enough."""
    chunk = header("x", "v" * 16000)
    sent = 0
    with field.connect() as connection:
        connection.send(headers(1, block(SERVICE + "Get"), 0))
        while sent < field.scaled(2000, 20000) and \
                connection.send(frame(CONTINUATION, 0, 1, chunk)):
            sent += 1
    return sent


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


# ---- Floods ----

def flood(field, first, once, each=1000):
    total, sent = field.scaled(20000, 100000), 0
    for reads in (True, False):
        with field.connect(reads=reads) as connection:
            connection.send(first)
            for _ in range(total // each):
                if not connection.send(once * each, patience=2):
                    break
                sent += each
            if reads:
                connection.reaction()
    return sent


def empty_data(field):
    return flood(field, open_call(), frame(DATA, 0, 1))


def settings_flood(field):
    return flood(field, b"", settings((INITIAL_WINDOW, 65535)))


def ping_flood(field):
    return flood(field, b"", ping())


def priority_flood(field):
    return flood(field, b"", frame(PRIORITY, 0, 1, number(0, 4) + b"\x10"))


def window_flood(field):
    return flood(field, open_call(), window_update(1, 1))


def resets(field):
    """Calls opened and reset at once."""
    total = field.scaled(10000, 100000)
    done = 0
    methods = [("Set", SET), ("Scan", b""), ("Get", GET), ("Save", b""), ("Unknown", b"")]
    connection = field.connect()
    stream = 1
    while done < total:
        parts = []
        for _ in range(500):
            method, data = methods[done % len(methods)]
            parts.append(call(stream, method, message(data)) + reset(stream))
            stream += 2
            done += 1
        if not connection.send(b"".join(parts)):
            connection.close()
            connection = field.connect()
            stream = 1
    connection.reaction()
    connection.close()
    return total


def resets_by_mistake(field):
    """Makes the server do the resetting: DATA after the end, again and again."""
    total = field.scaled(5000, 50000)
    connection = field.connect()
    stream = 1
    for _ in range(total // 250):
        data = b"".join(whole(stream + 2 * i) + window_update(stream + 2 * i, 0)
                        for i in range(250))
        stream += 500
        if not connection.send(data):
            connection.close()
            connection = field.connect()
            stream = 1
    connection.close()
    return total


# ---- gRPC's own framing ----

def gzip(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packer.compress(data) + packer.flush()


def grpc_framing(field):
    compressed = {"extra": [("grpc-encoding", "gzip")]}
    # What must come out: a set of grpc-status, HTTP status, "reset" or "closed".
    failed = set(range(1, 17)) | {"reset", "closed"}
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
        "an upper-case name": (call(1, "Set", message(SET), extra=[("X", "x")]), {INTERNAL}),
        "a header of HTTP/1": (call(1, "Set", message(SET), extra=[("connection", "close")]),
                               {INTERNAL}),
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
        "a timeout of nothing": (call(1, "Scan", message(b""), extra=[("grpc-timeout", "0n")]),
                                 failed | {OK}),
    }
    for name, (data, expected) in cases.items():
        with field.naming(name), field.connect() as connection:
            connection.send(data)
            outcome = connection.outcome(1)
            assert outcome in expected, f"{outcome}, expected one of {expected}"
    return len(cases)


def gzip_bomb(field):
    """A message that decompresses to a thousand times its size, and several at once."""
    unpacked = field.scaled(256, 2048)
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(unpacked)) + packer.flush()
    first = headers(1, block(SERVICE + "Set", extra=[("grpc-encoding", "gzip")]))
    count = field.scaled(2, 8)
    connections = [field.connect() for _ in range(count)]
    for connection in connections:
        connection.send(first)
    for connection in connections:
        send_data(connection, 1, message(bomb, 1), END_STREAM)
    for connection in connections:
        outcome = connection.outcome(1)
        assert outcome not in (OK, "closed"), outcome
        connection.close()
    return count


def decoding_bomb(field):
    """A Batch of millions of empty operations: two bytes each on the wire, hundreds in memory."""
    data = message(b"\x0a\x00" * (field.scaled(4, 35) * MIB))
    with field.connect() as connection:
        connection.send(headers(1, block(SERVICE + "Batch")))
        send_data(connection, 1, data, END_STREAM)
        outcome = connection.outcome(1)
        assert outcome == RESOURCE_EXHAUSTED, outcome
    return 1


def send_data(connection, stream, data, last_flags=0):
    """Sends DATA as the server's windows permit, as a real client would."""
    allowed = {0: 65535, stream: 65535}
    seen = 0
    view = memoryview(data)
    while len(view) and not connection.closed:
        for kind, flags, number_of_stream, payload in connection.frames[seen:]:
            if kind == WINDOW_UPDATE and number_of_stream in allowed:
                allowed[number_of_stream] += int.from_bytes(payload, "big")
            elif kind == SETTINGS and not flags & ACK:
                for at in range(0, len(payload), 6):
                    if int.from_bytes(payload[at:at + 2], "big") == INITIAL_WINDOW:
                        allowed[stream] += int.from_bytes(payload[at + 2:at + 6], "big") - 65535
            elif (kind == RST_STREAM and number_of_stream == stream) or kind == GOAWAY or \
                    (kind == HEADERS and flags & END_STREAM):
                return False
        seen = len(connection.frames)
        size = min(len(view), 16384, *allowed.values())
        if size <= 0:
            before = len(connection.frames)
            connection.wait(lambda *_: len(connection.frames) > before)
            continue
        for each in allowed:
            allowed[each] -= size
        connection.send(frame(DATA, last_flags if size == len(view) else 0, stream, view[:size]))
        view = view[size:]
    return not connection.closed


def upload_above_the_limit(field):
    """A message announced with 4 GiB: it must be refused before all of it has been taken in."""
    parts, part = field.scaled(30, 190), message(b"", length=(1 << 32) - 1) + bytes(20 * MIB)
    with field.connect() as connection:
        connection.send(open_call())
        for _ in range(parts):
            if not send_data(connection, 1, part):
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


# ---- Clients that do nothing ----

def silent_connections(field):
    """Connections opened and left alone, before and after the handshake."""
    count = field.scaled(300, 800)
    connections = [field.connect() for _ in range(count // 2)]
    plain = [field.plain() for _ in range(count // 2)]
    field.witness_goes_on()
    for connection in connections + plain:
        connection.close()
    return count


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


def silent_streams(field):
    """Calls that are opened and never continued. A connection has up to 1,024 of them."""
    count = field.scaled(2000, 20000)
    connections = [field.connect() for _ in range(field.scaled(4, 20))]
    for connection in connections:
        connection.wait(lambda kind, flags, *_: kind == SETTINGS and not flags & ACK)
        connection.reaction()  # the settings are in force when they are acknowledged
        for stream in range(1, 2 * count, 2):
            if not connection.send(open_call(stream)):
                break
    field.witness_goes_on()
    for connection in connections:
        connection.close()
    return count * len(connections)


def streams_before_the_settings(field):
    """The same by a client that never acknowledges the settings, until which gRPC does not enforce
    them. Some 14 KB each."""
    count = field.scaled(2000, 5000)
    connections = [field.connect() for _ in range(field.scaled(4, 10))]
    for connection in connections:
        connection.send(b"".join(open_call(stream) for stream in range(1, 2 * count, 2)))
    field.witness_goes_on()
    for connection in connections:
        connection.close()
    return count * len(connections)


def watchers(field):
    """Watchers of health that all leave at once."""
    per_connection = 1000
    connections = [field.connect() for _ in range(field.scaled(5, 100))]
    opening = block("/grpc.health.v1.Health/Watch")
    for connection in connections:
        connection.wait(lambda kind, flags, *_: kind == SETTINGS and not flags & ACK)
        connection.reaction()
        connection.send(b"".join(headers(stream, opening) + frame(DATA, END_STREAM, stream, message(b""))
                                 for stream in range(1, 2 * per_connection, 2)))
        connection.reaction()
    for connection in connections:
        connection.close()
    field.witness_goes_on()
    return per_connection * len(connections)


def slow(field, method, streams):
    """Requests all data and never opens its window, or never reads."""
    connections = [field.connect(settings((INITIAL_WINDOW, 0)), reads=reads)
                   for reads in (True, False) for _ in range(field.scaled(2, 10))]
    for connection in connections:
        connection.send(b"".join(call(stream, method, message(b""))
                                 for stream in range(1, 2 * streams, 2)), patience=2)
    field.witness_goes_on()
    for connection in connections:
        connection.close()
    return len(connections) * streams


def slow_scans(field):
    return slow(field, "Scan", field.scaled(100, 1000))


def slow_keys(field):
    return slow(field, "Keys", field.scaled(100, 1000))


def slow_gets(field):
    connections = [field.connect(settings((INITIAL_WINDOW, 0))) for _ in range(field.scaled(2, 10))]
    streams = field.scaled(50, 500)
    get = message(b"\x0a\x05large")
    for connection in connections:
        connection.send(b"".join(call(stream, "Get", get) for stream in range(1, 2 * streams, 2)))
    field.witness_goes_on()
    for connection in connections:
        connection.close()
    return len(connections) * streams


def halted_uploads(field):
    """Values of 64 MiB of which only half is sent."""
    connections = []
    with field.overload():
        for _ in range(field.scaled(8, 50)):
            connection = field.connect()
            connections.append(connection)
            connection.send(open_call())
            start = message(b"\x0a\x01u\x12\x80\x80\x80\x20" + bytes(32 * MIB),
                            length=64 * MIB + 8)
            send_data(connection, 1, start)
        field.witness_goes_on()
        for connection in connections:
            connection.close()
        field.await_descriptors()
    return len(connections)


def halted_uploads_side_by_side(field):
    """The same on the streams of one connection."""
    with field.connect() as connection:
        count = field.scaled(8, 50)
        for stream in range(1, 2 * count, 2):
            connection.send(open_call(stream))
            if not send_data(connection, stream, message(bytes(MIB), length=64 * MIB)):
                break
        field.witness_goes_on()
    return count


# ---- Clients that want all the memory ----

# The account of 512 MiB, what the C core holds beside it (the calls themselves, and requests that it
# has not handed over), and what malloc keeps of freed memory for a second.
ACCOUNT_PEAK = 1000 * MIB


def bounded(case):
    case.peak_max = ACCOUNT_PEAK
    return case


@bounded
def unread_replies(field):
    """Replies just below the size of large ones, which nobody reads."""
    connections = [field.connect(reads=False) for _ in range(field.scaled(20, 100))]
    calls = b"".join(call(stream, "Get", message(b"\x0a\x06middle")) for stream in range(1, 2000, 2))
    for connection in connections:
        connection.send(calls, patience=2)
    field.witness_goes_on()
    for connection in connections:
        connection.close()
    return 1000 * len(connections)


@bounded
def large_batches(field):
    """Concurrent Batches that take twenty times their size when decoded."""
    count = field.scaled(40, 400)
    codes = field.batches(4, count, 90000)
    assert set(codes) <= {OK, RESOURCE_EXHAUSTED}, f"they ended with {set(codes)}"
    assert OK in codes, "none was done"
    field.witness_goes_on()
    field.delete(f"batch{i}" for i in range(90000))
    return count


@bounded
def gzip_sets(field):
    """60 MiB in 60 KB, again and again."""
    value = b"\x0a\x01z\x12" + varint(60 * MIB) + bytes(60 * MIB)
    packed = message(gzip(value), 1)
    connections = [field.connect() for _ in range(field.scaled(8, 40))]
    for connection in connections:
        connection.send(headers(1, block(SERVICE + "Set", extra=[("grpc-encoding", "gzip")])))
    for connection in connections:
        send_data(connection, 1, packed, END_STREAM)
    for connection in connections:
        outcome = connection.outcome(1)
        assert outcome in (OK, RESOURCE_EXHAUSTED), outcome
        connection.close()
    field.delete(["z"])
    return len(connections)


@bounded
def stalled_scans(field):
    """Each keeps the data as of its beginning; all data is overwritten between them."""
    connections = []
    for _ in range(field.scaled(8, 20)):
        connections.append(field.connect(settings((INITIAL_WINDOW, 0))))
        connections[-1].send(call(1, "Scan", message(b"")))
        connections[-1].wait(lambda kind, *_: kind == HEADERS)
        field.fill(5000)
    field.witness_goes_on()
    for connection in connections:
        connection.close()
    field.fill(500)
    return len(connections)


def varint(value):
    data = b""
    while value >= 128:
        data += bytes([value & 127 | 128])
        value >>= 7
    return data + bytes([value])


CASES = [bad_frames, frames_cut_short, random_frames, hpack_garbage, hpack_bomb,
         endless_continuation, much_metadata, endless_trailers, empty_data, settings_flood,
         ping_flood, priority_flood, window_flood, resets, resets_by_mistake, grpc_framing,
         gzip_bomb, decoding_bomb, upload_above_the_limit, data_beyond_the_window,
         silent_connections, descriptors_run_out, silent_streams,
         streams_before_the_settings, watchers, slow_scans, slow_keys, slow_gets,
         halted_uploads, halted_uploads_side_by_side, unread_replies, large_batches, gzip_sets,
         stalled_scans]
