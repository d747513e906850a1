"""How the server handles gRPC's protocol on HTTP/2: raw frames, with input that a client library would
not send."""
import time
import zlib

import harness
import http2
from http2 import (
    ACK, ADMIN, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS,
    MAX_STREAMS, NO_ERROR, PING, REFUSED_STREAM, RST_STREAM, SETTINGS, block, call, frame, headers, message, ping)

OK, UNKNOWN, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = \
    0, 2, 3, 4, 8, 12, 13
LARGEST = (1 << 31) - 1
WATCH = "/grpc.health.v1.Health/Watch"

# Where the engines differ. By gRPC's protocol it is as on http2; the C core
#  - takes each content-type for gRPC's, and refuses methods other than POST by a status of gRPC,
#  - answers a call with a malformed header, and names the header; HTTP/2 has its stream reset,
#  - has no limit on the frames of a header block,
#  - takes a deadline of 0 for one of a millisecond, and one that it cannot read for none,
#  - announces no end before it comes,
#  - limits calls only once its settings are acknowledged.
EXPECTED = {
    "grpc": {
        "a forbidden name": INTERNAL,
        "200 KiB of metadata": RESOURCE_EXHAUSTED,
        "a deadline that cannot be read": OK,
        "content-type": {":status": "200", "grpc-status": str(OK)},
        "method": {":status": "200", "grpc-status": str(UNKNOWN)},
        "a deadline of 0": {OK, DEADLINE_EXCEEDED},
        "last streams of GOAWAYs": [1],
        "beyond the limit": OK,
    },
    "http2": {
        "a forbidden name": "reset",
        "200 KiB of metadata": "closed",
        "a deadline that cannot be read": INTERNAL,
        "content-type": {":status": "415"},
        "method": {":status": "405", "allow": "POST"},
        "a deadline of 0": {DEADLINE_EXCEEDED},
        "last streams of GOAWAYs": [LARGEST, 1],
        "beyond the limit": "reset",
    },
}

SET = b"\x0a\x01k\x12\x01v"
GET = b"\x0a\x01k"
KIB = 1024


def set_with(*extra, flag=0, data=SET, stream=1):
    """A Set with further headers, in as many frames as they need."""
    fields = block(http2.SERVICE + "Set", extra=extra)
    parts = [fields[at:at + 16000] for at in range(0, len(fields), 16000)]
    kinds = [HEADERS] + [CONTINUATION] * (len(parts) - 1)
    return b"".join(frame(kind, END_HEADERS if part is parts[-1] else 0, stream, part)
                    for kind, part in zip(kinds, parts)) + \
        frame(DATA, END_STREAM, stream, message(data, flag))


def watch(*extra):
    return headers(1, block(WATCH, extra=extra)) + frame(DATA, END_STREAM, 1, message(b""))


class Case(harness.Case):
    wire = None

    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none", wire=self.wire)
        self.expected = EXPECTED[self.wire]

    def connect(self, **keywords):
        connection = http2.Connection(self.server.port, **keywords)
        self.addCleanup(connection.close)
        return connection

    def ended(self, data):
        """Sends call 1 on a connection of its own; returns the connection, which is still open, when
        the call has ended."""
        connection = self.connect(keeps_data=True)
        connection.reaction()  # the settings are in force
        connection.send(data)
        connection.outcome(1)
        self.assertEqual(connection.reaction(), "open")
        return connection


@harness.on_each_wire
class Protocol(Case):

    def end_of(self, data):
        """Sends call 1 on a connection of its own; returns the status and the headers."""
        with self.ended(data) as connection:
            return connection.outcome(1), connection.fields(1)

    def assertRefused(self, data, status, *texts):
        found, fields = self.end_of(data)
        self.assertEqual(found, status, fields)
        for text in texts:
            self.assertIn(text, fields["grpc-message"])
        self.assertIsNone(self.server.get("k"), "it was carried out all the same")
        return fields

    def test_a_message_compressed_in_an_unknown_way_is_unimplemented_and_the_known_ways_are_named(self):
        for name in ("br", "zstd", "Gzip"):
            fields = self.assertRefused(set_with(("grpc-encoding", name), flag=1), UNIMPLEMENTED)
            known = {each.strip() for each in fields["grpc-accept-encoding"].split(",")}
            self.assertEqual(known, {"identity", "deflate", "gzip"})
        for name in (http2.KEYVALUE + "Scan", "Get"):
            data = call(1, name, message(b"", 1), extra=[("grpc-encoding", "br")])
            self.assertRefused(data, UNIMPLEMENTED)

    def test_a_message_flagged_as_compressed_without_an_encoding_is_an_internal_error(self):
        for extra in ((), (("grpc-encoding", "identity"),)):
            self.assertRefused(set_with(*extra, flag=1), INTERNAL, "grpc-encoding")

    def test_the_known_encodings_are_unpacked(self):
        for name, bits in (("gzip", 31), ("deflate", 15)):
            packer = zlib.compressobj(9, zlib.DEFLATED, bits)
            data = packer.compress(b"\x0a\x01p\x12\x05" + name[:5].encode().ljust(5)) + packer.flush()
            status, fields = self.end_of(set_with(("grpc-encoding", name), flag=1, data=data))
            self.assertEqual(status, OK, fields)
            self.assertEqual(self.server.get("p"), name[:5].encode().ljust(5))

    def test_header_names_that_http_2_forbids_are_refused(self):
        for name in ("X-Upper", "Grpc-Timeout", "connection", "keep-alive", "transfer-encoding",
                     "upgrade", "proxy-connection", "a b", "caf\xe9"):
            names = [f'the header "{name[:1]}'] if self.expected["a forbidden name"] == INTERNAL else []
            self.assertRefused(set_with((name, "x")), self.expected["a forbidden name"], *names)
        status, fields = self.end_of(set_with(("x-lower_case.1", "X"), ("user-agent", "U")))
        self.assertEqual(status, OK, fields)

    def test_16_kib_of_metadata_are_taken_and_more_is_refused_with_its_size(self):
        for taken in ([("x", "v" * 16 * KIB)], [(f"x{i}", "v" * KIB) for i in range(16)]):
            status, fields = self.end_of(set_with(*taken, data=b"\x0a\x01m\x12\x01v"))
            self.assertEqual(status, OK, fields)
        for refused in ([("x", "v" * 20000)], [(f"x{i}", "v" * KIB) for i in range(20)]):
            self.assertRefused(set_with(*refused), RESOURCE_EXHAUSTED, "metadata", "17408")

    def test_metadata_without_end_is_refused(self):
        with self.connect() as connection:
            connection.reaction()
            connection.send(set_with(*((f"x{i}", "v" * KIB) for i in range(200))))
            self.assertEqual(connection.outcome(1), self.expected["200 KiB of metadata"])
        self.assertIsNone(self.server.get("k"), "it was carried out all the same")

    def test_headers_that_cannot_be_read_fill_no_log(self):
        with http2.Connection(self.server.port) as connection:
            for stream in range(1, 601, 2):
                connection.send(call(stream, "Get", message(GET), extra=[("grpc-timeout", "soon")]))
                self.assertEqual(connection.outcome(stream),
                                 self.expected["a deadline that cannot be read"])
        self.server.stop()
        lines = sum("grpc-timeout" in line for line in self.server.log.lines)
        self.assertLess(lines, 4, "lines for 300 calls")

    def test_each_type_of_grpc_is_taken(self):
        for content in ("application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"):
            status, fields = self.end_of(call(1, "Get", message(GET), content=content))
            self.assertEqual(status, OK, fields)

    def assertAnswered(self, expected, data):
        fields = self.ended(data).fields(1)
        self.assertEqual({name: fields.get(name) for name in expected}, expected)
        if expected[":status"] != "200":
            self.assertIsNone(self.server.get("k"), "it was carried out all the same")

    def test_other_content_types_are_unsupported_media_types(self):
        for content in ("text/plain", "application/json", "application/grpc-web", "application/grp",
                        None):
            self.assertAnswered(self.expected["content-type"],
                                call(1, "Set", message(SET), content=content))

    def test_other_methods_than_post_are_not_allowed(self):
        for method in ("GET", "PUT"):
            self.assertAnswered(self.expected["method"], call(1, "Set", message(SET), method=method))

    def test_a_failures_text_is_percent_encoded(self):
        name = "caf\xe9 %".encode()
        fields = self.ended(call(1, ADMIN + "Configure",
                                  message(b"\x0a" + bytes([len(name)]) + name))).fields(1)
        self.assertEqual(fields["grpc-status"], str(INVALID_ARGUMENT))
        self.assertTrue(fields["grpc-message"].startswith('"caf%C3%A9 %25" is not'), fields)

    def test_a_call_that_fails_is_answered_by_one_frame(self):
        for data, status in ((call(1, "Nothing", message(b"")), UNIMPLEMENTED),
                             (call(1, "Set", message(b"\x0a\x00")), INVALID_ARGUMENT),
                             (call(1, http2.KEYVALUE + "Scan", message(b"", 1),
                                   extra=[("grpc-encoding", "br")]), UNIMPLEMENTED)):
            connection = self.ended(data)
            (_, flags, _, fields), = connection.of(1)
            self.assertEqual(flags, END_HEADERS | END_STREAM)
            self.assertEqual(connection.data[1], b"")
            self.assertEqual(fields[:2], [(":status", "200"), ("content-type", "application/grpc")])
            self.assertEqual(dict(fields)["grpc-status"], str(status))

    def test_a_request_that_goes_on_after_its_answer_is_reset_without_an_error(self):
        answer, end = self.ended(headers(1, block(http2.SERVICE + "Nothing"))).of(1)
        self.assertEqual((answer[0], answer[1] & END_STREAM), (HEADERS, END_STREAM))
        self.assertEqual((end[0], end[3]), (RST_STREAM, http2.number(NO_ERROR, 4)))

    def test_what_is_in_flight_to_calls_that_have_failed_is_dropped_and_its_window_given_back(self):
        piece = frame(DATA, 0, 1, bytes(16 * KIB))

        def window():
            return 65535 - 16 * KIB * sent + sum(int.from_bytes(each[3], "big") for each in
                                                 connection.of(0, http2.WINDOW_UPDATE))
        with self.connect() as connection:
            sent = 0
            for stream in range(1, 49, 2):
                connection.send(headers(stream, block(http2.SERVICE + "Nothing")))
                self.assertEqual(connection.outcome(stream), UNIMPLEMENTED)
                connection.wait(lambda *_: window() >= 16 * KIB)
                connection.send(piece[:5] + http2.number(stream, 4) + piece[9:])
                sent += 1
            self.assertEqual(connection.reaction(), "open")

    def test_more_calls_than_allowed_are_refused_also_before_the_settings_are_acknowledged(self):
        connection = self.connect(acks=False)
        _, _, _, payload = connection.wait(lambda kind, flags, *_: kind == SETTINGS and not flags & ACK)
        limit = next(int.from_bytes(payload[at + 2:at + 6], "big") for at in range(0, len(payload), 6)
                     if int.from_bytes(payload[at:at + 2], "big") == MAX_STREAMS)
        streams = range(1, 2 * (limit + 5), 2)
        connection.send(b"".join(headers(stream, block(http2.SERVICE + "Set")) for stream in streams))
        connection.send(b"".join(frame(DATA, END_STREAM, stream, message(SET))
                                 for stream in reversed(streams)))
        for at, stream in enumerate(streams):
            self.assertEqual(connection.outcome(stream),
                             OK if at < limit else self.expected["beyond the limit"])
        for _, _, _, code in [each for stream in streams for each in connection.of(stream, RST_STREAM)]:
            self.assertEqual(code, http2.number(REFUSED_STREAM, 4))

    # ---- Deadlines ----

    def test_a_call_that_is_cancelled_before_it_is_sent_ends_no_other_call(self):
        """As gRPC's C core does it: it resets the stream that the call was to have."""
        with self.connect(keeps_data=True) as connection:
            connection.send(watch())
            connection.wait(lambda kind, *_: kind == HEADERS)
            connection.send(http2.reset(5) + call(3, "Set", message(SET)) +
                            http2.reset(7) + call(9, "Get", message(GET)))
            self.assertEqual(connection.outcome(3), OK)
            self.assertEqual(connection.outcome(9), OK)
            self.assertEqual(connection.reaction(), "open")
            self.assertEqual(connection.of(1, RST_STREAM), [])

    def test_nothing_is_done_for_a_call_whose_deadline_has_passed_already(self):
        status, _ = self.end_of(set_with(("grpc-timeout", "0m")))
        self.assertIn(status, self.expected["a deadline of 0"])
        # An engine that takes it for a millisecond may begin the call in time, and answer it too late.
        if status == OK:
            self.assertEqual(self.server.get("k"), b"v")
        elif OK not in self.expected["a deadline of 0"]:
            self.assertIsNone(self.server.get("k"))

    def test_nothing_is_done_for_a_call_whose_deadline_passes_before_its_request_is_there(self):
        with self.connect() as connection:
            connection.send(headers(1, block(http2.SERVICE + "Set", extra=[("grpc-timeout", "1m")])))
            self.assertEqual(connection.reaction(), "open")
            time.sleep(0.05)  # this test is about the deadline that passes
            connection.send(frame(DATA, END_STREAM, 1, message(SET)))
            self.assertIn(connection.outcome(1), (DEADLINE_EXCEEDED, "reset"))
            self.assertEqual(connection.reaction(), "open")
        self.assertIsNone(self.server.get("k"), "it was carried out all the same")

    def test_a_stream_ends_at_its_deadline(self):
        with self.connect() as connection:
            connection.send(watch(("grpc-timeout", "100m")))
            self.assertIn(connection.outcome(1), (DEADLINE_EXCEEDED, "reset"))

    # ---- Connections ----

    def test_a_client_that_pings_too_often_is_told_so_and_disconnected(self):
        with self.connect() as connection:
            connection.send(ping() * 10)
            _, _, _, payload = connection.wait(lambda kind, *_: kind == GOAWAY)
            self.assertEqual(int.from_bytes(payload[4:8], "big"), ENHANCE_YOUR_CALM)
            self.assertEqual(payload[8:], b"too_many_pings")
            connection.wait_closed()

    def test_pings_beside_calls_are_never_too_many(self):
        with self.connect() as connection:
            for stream in range(1, 101, 2):
                connection.send(call(stream, "Get", message(GET)))
                self.assertEqual(connection.outcome(stream), OK)
                self.assertEqual(connection.reaction(), "open")
            answers = [each for each in connection.frames if each[0] == PING and each[1] & ACK]
            self.assertEqual(len(answers), 50)

    def test_a_stop_ends_streams_and_says_which_calls_were_taken(self):
        with self.connect() as connection:
            connection.send(watch())
            connection.wait(lambda kind, *_: kind == HEADERS)
            self.server.terminate()
            connection.wait_closed()
            self.assertEqual(connection.fields(1)["grpc-status"], str(OK))
            last = [int.from_bytes(payload[:4], "big") for kind, _, _, payload in connection.frames
                    if kind == GOAWAY]
            self.assertEqual(last, self.expected["last streams of GOAWAYs"])
        self.assertEqual(self.server.wait_exit(), 0)

    def round_trip(self, connection):
        """Uses settings: so many pings would be too many."""
        def acknowledged(kind, flags, *_):
            return kind == http2.SETTINGS and flags & http2.ACK
        before = sum(acknowledged(*each) for each in connection.frames)
        connection.send(http2.settings())
        connection.wait(lambda *_: sum(acknowledged(*each) for each in connection.frames) > before)

    def test_a_deadline_that_passes_while_a_reply_is_read_puts_no_status_behind_half_of_it(self):
        size, window = 1 << 20, 65535
        self.server.set("k", bytes(size))
        with http2.Connection(self.server.port, keeps_data=True) as connection:
            connection.send(call(1, "Get", message(GET), extra=[("grpc-timeout", "50m")]))
            while len(connection.data[1]) < window:
                self.round_trip(connection)
            time.sleep(0.1)  # this test is about the deadline that passes
            for _ in range(5):
                self.round_trip(connection)
            ends = [fields for kind, _, stream, fields in connection.frames
                    if stream == 1 and kind == HEADERS and "grpc-status" in dict(fields)]
            self.assertEqual(ends, [])
            connection.send(http2.window_update(0, 2 * size) + http2.window_update(1, 2 * size))
            self.assertEqual(connection.outcome(1), OK)
            self.assertGreater(len(connection.data[1]), size)


class Floods(Case):
    """Clients that send much and ask for nothing. The C core does not limit them."""
    wire = "http2"

    def assertEnds(self, flood, text, first=b""):
        """Asserts that the flood ends its connection, and no other."""
        with self.connect() as other, self.connect() as connection:
            connection.reaction()
            connection.send(first + flood * 20000)
            connection.wait_closed()
            self.assertLogs(self.server, text)
            ends = [payload for kind, _, _, payload in connection.frames if kind == GOAWAY]
            for payload in ends:  # the system may drop it, as the client goes on to send
                self.assertEqual(int.from_bytes(payload[4:8], "big"), ENHANCE_YOUR_CALM)
                self.assertIn(text.encode(), payload[8:])
            self.assertEqual(other.reaction(), "open")

    def test_settings(self):
        self.assertEnds(http2.settings(), "too many SETTINGS frames")

    def test_priorities(self):
        self.assertEnds(frame(http2.PRIORITY, 0, 1, bytes(5)), "too many PRIORITY frames")

    def test_window_updates(self):
        self.assertEnds(http2.window_update(0, 1), "too many WINDOW_UPDATE frames")

    def test_empty_data(self):
        self.assertEnds(frame(DATA, 0, 1), "too many empty DATA frames",
                        headers(1, block(http2.SERVICE + "Set")))

    def test_data_of_padding_alone(self):
        self.assertEnds(frame(DATA, http2.PADDED, 1, bytes([3]) + bytes(3)),
                        "too many empty DATA frames", headers(1, block(http2.SERVICE + "Set")))

    def test_frames_of_unknown_types(self):
        self.assertEnds(frame(99, 0, 0, b"x"), "too many frames of unknown types")

    def test_answers_to_pings_that_were_not_sent(self):
        self.assertEnds(frame(PING, ACK, 0, bytes(8)), "too many frames for calls that are over")

    def test_cancellations_of_calls_that_were_never_sent(self):
        self.assertEnds(http2.reset(LARGEST), "too many cancelled calls")

    def test_data_for_a_call_that_is_over(self):
        with self.connect() as connection:
            connection.send(call(1, "Get", message(GET)) + frame(DATA, 0, 1, b"x") * 10000)
            connection.wait_closed()
        self.assertIsNone(self.server.get("k"))

    def assertEndsCalls(self, *text, end):
        """The same for calls that end(stream) ends."""
        fields = block(http2.SERVICE + "Set")
        with self.connect() as connection:
            connection.send(b"".join(headers(stream, fields) + end(stream)
                                     for stream in range(1, 20001, 2)))
            connection.wait_closed()
        for each in text:
            self.assertLogs(self.server, each)

    def test_calls_that_are_begun_and_cancelled(self):
        self.assertEndsCalls(end=http2.reset)

    def test_calls_that_the_server_is_made_to_reset(self):
        self.assertEndsCalls("too many faults on streams",
                             end=lambda stream: http2.window_update(stream, LARGEST))


if __name__ == "__main__":
    harness.main()
