"""What clients do that want the server's memory or its time. Each attack gets a Field and returns how
often it acted; it fails by raising AssertionError. Meanwhile a well-behaved client must be served.
table.py measures what each costs.
"""
import zlib

from cases import GET, LARGEST_WINDOW, MIB, OK, RESOURCE_EXHAUSTED, SET, gzip, open_call, whole
from http2 import (
    ACK, ADMIN, CONTINUATION, DATA, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW, KEYVALUE, PREFACE,
    PRIORITY, RST_STREAM, SERVICE, SETTINGS, block, call, frame, header, headers, message, number, ping, reset,
    settings, window_update)
from upload import Upload
from witness import varint

# The account of 512 MiB, what the C core holds beside it (the calls themselves, and requests that it
# has not handed over), and what the allocator keeps of freed memory for a second.
ACCOUNT_PEAK = 1000 * MIB


def bounded(case):
    case.peak_max = ACCOUNT_PEAK
    return case


def not_on_grpc(case):
    """The C core cannot stand it; the table says what it does."""
    case.faults_of = ("grpc",)
    return case


# ---- Header blocks ----

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


def continue_headers(field, first, chunk, count):
    """A header block that goes on until the server has had enough; returns the number of frames."""
    sent = 0
    with field.connect() as connection:
        connection.send(headers(1, first, 0))
        data = frame(CONTINUATION, 0, 1, chunk)
        while sent < count and connection.send(data * 10, patience=2):
            sent += 10
    return sent + 1


@not_on_grpc
def hpack_string_of_2_gib(field):
    """A value that claims to have 2 GiB, of which 16 MiB come."""
    claim = b"\x00\x01x\x7f" + varint((1 << 31) - 1 - 127)
    return continue_headers(field, block(SERVICE + "Get") + claim, bytes(16000), 1000)


def endless_continuation(field):
    return continue_headers(field, block(SERVICE + "Get"), header("x", "v" * 16000),
                            field.scaled(2000, 20000))


@not_on_grpc
def endless_small_headers(field):
    """The same of headers of one byte each, which take much more."""
    return continue_headers(field, block(SERVICE + "Get"), b"\x90" * 16000, field.scaled(2000, 8000))


def endless_empty_continuation(field):
    return continue_headers(field, block(SERVICE + "Get"), b"", field.scaled(20000, 200000))


def metadata_beyond_the_limit(field):
    """Calls with 20 KiB of metadata each."""
    fields = block(SERVICE + "Get", extra=[(f"x{i}", "v" * 1000) for i in range(20)])
    calls = field.scaled(200, 2000)
    with field.connect() as connection:
        for stream in range(1, 2 * calls, 2):
            connection.send(headers(stream, fields[:16000], END_STREAM) +
                            frame(CONTINUATION, 4, stream, fields[16000:]))
            outcome = connection.outcome(stream)
            assert outcome == RESOURCE_EXHAUSTED, outcome
    return calls


# ---- Floods ----

def flood(field, first, once, each=1000):
    """Sends it in thousands, and reads what comes, or does not."""
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
    return sent + each


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


def unknown_flood(field):
    return flood(field, b"", frame(99, 0, 0, b"x"))


def late_data(field):
    """DATA for calls that have been answered."""
    return flood(field, whole(1) + whole(3), frame(DATA, 0, 1, b"x"))


def each_call(field, total, one, per_send=250):
    """Makes so many calls by one(stream), on a new connection where the server ends one."""
    connection, stream = field.connect(), 1
    for _ in range(total // per_send):
        data = b"".join(one(stream + 2 * i) for i in range(per_send))
        stream += 2 * per_send
        if not connection.send(data):
            connection.close()
            connection, stream = field.connect(), 1
    connection.reaction()
    connection.close()
    return total


def resets(field):
    """Calls begun and cancelled at once."""
    methods = [("Set", SET), (KEYVALUE + "Scan", b""), ("Get", GET), (ADMIN + "Save", b""), ("Unknown", b"")]

    def one(stream):
        method, data = methods[stream // 2 % len(methods)]
        return call(stream, method, message(data)) + reset(stream)
    return each_call(field, field.scaled(10000, 100000), one)


# Each makes the server reset a call that has begun.
MISTAKES = {
    "a second HEADERS": lambda stream: open_call(stream) * 2,
    "a PRIORITY of itself": lambda stream:
        open_call(stream) + frame(PRIORITY, 0, stream, number(stream, 4) + b"\x10"),
    "DATA after the end": lambda stream: call(stream, KEYVALUE + "Scan", message(b"")) +
        frame(DATA, 0, stream, b"x"),
    "a WINDOW_UPDATE by 0": lambda stream: whole(stream) + window_update(stream, 0),
    "a WINDOW_UPDATE beyond the limit": lambda stream:
        open_call(stream) + window_update(stream, LARGEST_WINDOW),
}


@not_on_grpc
def resets_by_the_server(field):
    """Makes the server do the resetting (MadeYouReset)."""
    for one in MISTAKES.values():
        each_call(field, field.scaled(5000, 50000), one)
    return len(MISTAKES) * field.scaled(5000, 50000)


def new_connections(field):
    """Connections that make one call each and go."""
    count = field.scaled(500, 5000)
    for _ in range(count):
        with field.connect() as connection:
            connection.send(whole())
    return count


# ---- Requests that grow ----

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
        Upload(connection).send(1, message(bomb, 1), END_STREAM)
    for connection in connections:
        outcome = connection.outcome(1)
        assert outcome not in (OK, "closed"), outcome
        connection.close()
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
        Upload(connection).send(1, packed, END_STREAM)
    for connection in connections:
        outcome = connection.outcome(1)
        assert outcome in (OK, RESOURCE_EXHAUSTED), outcome
        connection.close()
    field.delete(["z"])
    return len(connections)


def decoding_bomb(field):
    """A Batch of millions of empty operations: two bytes each on the wire, hundreds in memory."""
    data = message(b"\x0a\x00" * (field.scaled(4, 35) * MIB))
    with field.connect() as connection:
        connection.send(headers(1, block(KEYVALUE + "Batch")))
        Upload(connection).send(1, data, END_STREAM)
        outcome = connection.outcome(1)
        assert outcome == RESOURCE_EXHAUSTED, outcome
    return 1


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


# ---- Clients that stop halfway ----

def close_all(field, connections):
    """While they stand, the well-behaved client is served."""
    field.witness_goes_on()
    for connection in connections:
        connection.close()


def silent_connections(field):
    """Connections opened and left alone, before and after the handshake."""
    count = field.scaled(300, 800)
    connections = [field.connect() for _ in range(count // 2)]
    close_all(field, connections + [field.plain() for _ in range(count // 2)])
    return count


def slow_handshakes(field):
    """The preface a byte at a time."""
    connections = [field.plain() for _ in range(field.scaled(200, 800))]
    for byte in PREFACE + settings():
        for connection in connections:
            connection.sendall(bytes([byte]))
    close_all(field, connections)
    return len(connections)


def await_limits(connection):
    """Waits until the server's settings are in force: when they are acknowledged."""
    connection.wait(lambda kind, flags, *_: kind == SETTINGS and not flags & ACK)
    connection.reaction()


def silent_streams(field):
    """Calls that are begun and never continued. A connection has up to 1,024 of them."""
    count = field.scaled(2000, 20000)
    connections = [field.connect() for _ in range(field.scaled(4, 20))]
    for connection in connections:
        await_limits(connection)
        for stream in range(1, 2 * count, 2):
            if not connection.send(open_call(stream)):
                break
    close_all(field, connections)
    return count * len(connections)


@not_on_grpc
@bounded
def unfinished_calls(field):
    """The same with 300 connections, as many calls as they may have."""
    connections = [field.connect() for _ in range(300)]
    calls = b"".join(open_call(stream) for stream in range(1, 2000, 2))
    for connection in connections:
        connection.send(calls, patience=2)
    close_all(field, connections)
    return 1000 * len(connections)


def streams_before_the_settings(field):
    """The same by a client that never acknowledges the settings, until which the C core does not
    enforce them. Some 14 KB each there."""
    count = field.scaled(2000, 5000)
    connections = [field.connect(acks=False) for _ in range(field.scaled(4, 10))]
    for connection in connections:
        connection.send(b"".join(open_call(stream) for stream in range(1, 2 * count, 2)))
    close_all(field, connections)
    return count * len(connections)


def watchers(field):
    """Watchers of health that all leave at once."""
    per_connection = 1000
    connections = [field.connect() for _ in range(field.scaled(5, 100))]
    opening = block("/grpc.health.v1.Health/Watch")
    for connection in connections:
        await_limits(connection)
        connection.send(b"".join(
            headers(stream, opening) + frame(DATA, END_STREAM, stream, message(b""))
            for stream in range(1, 2 * per_connection, 2)))
        connection.reaction()
    for connection in connections:
        connection.close()
    field.witness_goes_on()
    return per_connection * len(connections)


def halted_uploads(field):
    """Values of 64 MiB of which only half is sent, if the server lets in so much."""
    connections = []
    with field.overload():
        for _ in range(field.scaled(8, 50)):
            connection = field.connect()
            connections.append(connection)
            connection.send(open_call())
            start = message(b"\x0a\x01u\x12\x80\x80\x80\x20" + bytes(32 * MIB),
                            length=64 * MIB + 8)
            Upload(connection).send(1, start, waits=False)
        close_all(field, connections)
        field.await_descriptors()
    return len(connections)


# ---- Clients that do not read ----

def slow(field, method, streams):
    """Requests all data and never opens its window, or never reads."""
    connections = [field.connect(settings((INITIAL_WINDOW, 0)), reads=reads)
                   for reads in (True, False) for _ in range(field.scaled(2, 10))]
    for connection in connections:
        connection.send(b"".join(call(stream, method, message(b""))
                                 for stream in range(1, 2 * streams, 2)), patience=2)
    close_all(field, connections)
    return len(connections) * streams


def slow_scans(field):
    return slow(field, KEYVALUE + "Scan", field.scaled(100, 1000))


def slow_keys(field):
    return slow(field, "Keys", field.scaled(100, 1000))


def slow_gets(field):
    connections = [field.connect(settings((INITIAL_WINDOW, 0))) for _ in range(field.scaled(2, 10))]
    streams = field.scaled(50, 500)
    get = message(b"\x0a\x05large")
    for connection in connections:
        connection.send(b"".join(call(stream, "Get", get) for stream in range(1, 2 * streams, 2)))
    close_all(field, connections)
    return len(connections) * streams


def windows_shut(field):
    """Clients that ask for much, shut their windows, and go when the reply begins."""
    count = field.scaled(50, 500)
    get = message(b"\x0a\x05large")
    for _ in range(count):
        with field.connect(settings((INITIAL_WINDOW, 0))) as connection:
            connection.send(b"".join(call(stream, "Get", get) for stream in range(1, 100, 2)))
            connection.wait(lambda kind, *_: kind in (HEADERS, RST_STREAM, GOAWAY))
    return 50 * count


@bounded
def unread_replies(field):
    """Replies just below the size of large ones, which nobody reads."""
    connections = [field.connect(reads=False) for _ in range(field.scaled(20, 100))]
    calls = b"".join(call(stream, "Get", message(b"\x0a\x06middle")) for stream in range(1, 2000, 2))
    for connection in connections:
        connection.send(calls, patience=2)
    close_all(field, connections)
    return 1000 * len(connections)


@not_on_grpc
def unread_refusals(field):
    """Calls that are refused at once, by clients that read none of the answers. Each answer repeats
    the method's long name."""
    connections = [field.connect(reads=False, buffer=4096) for _ in range(field.scaled(4, 20))]
    refused = sum(send_until_full(connection) for connection in connections)
    close_all(field, connections)
    return refused


def send_until_full(connection):
    """Makes calls until the server takes no more; returns how many."""
    for first in range(1, 200000, 1000):
        calls = b"".join(call(stream, f"{stream:0200}", message(b""))
                         for stream in range(first, first + 1000, 2))
        if not connection.send(calls, patience=0.3):
            return first // 2
    raise AssertionError("100,000 calls were answered that nobody reads")


@bounded
def stalled_scans(field):
    """Each keeps the data as of its beginning; all data is overwritten between them."""
    connections = []
    for _ in range(field.scaled(8, 20)):
        connections.append(field.connect(settings((INITIAL_WINDOW, 0))))
        connections[-1].send(call(1, KEYVALUE + "Scan", message(b"")))
        connections[-1].wait(lambda kind, *_: kind == HEADERS)
        field.fill(5000)
    close_all(field, connections)
    field.fill(field.size)
    return len(connections)


CASES = [hpack_bomb, hpack_string_of_2_gib, endless_continuation, endless_small_headers,
         endless_empty_continuation, metadata_beyond_the_limit, empty_data, settings_flood,
         ping_flood, priority_flood, window_flood, unknown_flood, late_data, resets,
         resets_by_the_server, new_connections, gzip_bomb, gzip_sets, decoding_bomb, large_batches,
         silent_connections, slow_handshakes, silent_streams, unfinished_calls,
         streams_before_the_settings, watchers, halted_uploads, slow_scans, slow_keys, slow_gets,
         windows_shut, unread_replies, unread_refusals, stalled_scans]
