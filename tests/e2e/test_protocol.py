"""How the server handles headers, encodings and deadlines: raw HTTP/2, with input that a client
library would not send."""
import time
import zlib

import harness
import http2
from http2 import CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, block, call, frame, message

OK, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED, INTERNAL = 0, 4, 8, 12, 13
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


class Protocol(harness.Case):
    def setUp(self):
        super().setUp()
        self.server = self.start(mode="none")

    def end_of(self, data):
        """Sends it on a connection of its own; returns the status and the last headers."""
        with http2.Connection(self.server.port) as connection:
            connection.reaction()  # the settings are in force
            connection.send(data)
            status = connection.outcome(1)
            self.assertEqual(connection.reaction(), "open")
            last = [fields for kind, _, stream, fields in connection.frames
                    if kind == HEADERS and stream == 1][-1]
            return status, dict(last)

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
        for name in ("Scan", "Get"):
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

    def test_header_names_that_http_2_forbids_are_refused_and_named(self):
        for name in ("X-Upper", "Grpc-Timeout", "connection", "keep-alive", "transfer-encoding",
                     "upgrade", "proxy-connection", "a b", "caf\xe9"):
            self.assertRefused(set_with((name, "x")), INTERNAL, f'the header "{name[:1]}')
        status, fields = self.end_of(set_with(("x-lower_case.1", "X"), ("user-agent", "U")))
        self.assertEqual(status, OK, fields)

    def test_16_kib_of_metadata_are_taken_and_more_is_refused_with_its_size(self):
        for taken in ([("x", "v" * 16 * KIB)], [(f"x{i}", "v" * KIB) for i in range(16)]):
            status, fields = self.end_of(set_with(*taken, data=b"\x0a\x01m\x12\x01v"))
            self.assertEqual(status, OK, fields)
        for refused in ([("x", "v" * 20000)], [(f"x{i}", "v" * KIB) for i in range(20)],
                        [(f"x{i}", "v" * KIB) for i in range(200)]):
            self.assertRefused(set_with(*refused), RESOURCE_EXHAUSTED, "metadata", "17408")

    def test_headers_that_cannot_be_read_fill_no_log(self):
        with http2.Connection(self.server.port) as connection:
            for stream in range(1, 601, 2):
                connection.send(call(stream, "Get", message(GET), extra=[("grpc-timeout", "soon")]))
                self.assertEqual(connection.outcome(stream), OK)
        self.server.stop()
        lines = sum("grpc-timeout" in line for line in self.server.log.lines)
        self.assertIn(lines, range(1, 4), "lines for 300 calls")

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


if __name__ == "__main__":
    harness.main()
