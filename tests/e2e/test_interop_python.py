"""Debian's python3-grpcio against TestService on each engine, and with TLS: gRPC's interop cases that
ruby-grpc's client lacks, and what goes beyond those. And against the real server, as a user."""
import base64
import hashlib
import queue
import threading

import grpc

import certificates
import harness
import http2
import interop

SERVICE = "/grpc.testing.TestService/"
ECHO_INITIAL, ECHO_TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
SPECIAL = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
KIB, MIB = 1 << 10, 1 << 20
PATIENCE = harness.PATIENCE


class Calls:
    """What both hold for: a plain connection and one with TLS."""

    def setUp(self):
        super().setUp()
        self.types = interop.load_messages(self.folder)
        self.server = self.serve()
        self.channel = self.connect()

    def connect(self, *options, **keywords):
        channel = self.open_channel(self.server.address,
                                    options=[*harness.CHANNEL_OPTIONS, *options], **keywords)
        self.addCleanup(channel.close)
        return channel

    # ---- Messages and methods ----

    def make(self, name, **fields):
        return self.types[name](**fields)

    def payload(self, size):
        return self.make("Payload", body=bytes(size))

    def simple(self, size, response_size, **fields):
        return self.make("SimpleRequest", payload=self.payload(size), response_size=response_size,
                         **fields)

    def wanting(self, *sizes, **fields):
        return self.make("StreamingOutputCallRequest", **fields, response_parameters=[
            self.make("ResponseParameters", size=size) for size in sizes])

    def method(self, name, kind, answer, channel=None):
        return getattr(channel or self.channel, kind)(
            SERVICE + name, request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=self.types[answer].FromString)

    def unary(self, name="UnaryCall", channel=None):
        return self.method(name, "unary_unary", "SimpleResponse", channel)

    def download(self):
        return self.method("StreamingOutputCall", "unary_stream", "StreamingOutputCallResponse")

    def upload(self, channel=None):
        return self.method("StreamingInputCall", "stream_unary", "StreamingInputCallResponse",
                           channel)

    def duplex(self, name="FullDuplexCall"):
        return self.method(name, "stream_stream", "StreamingOutputCallResponse")

    def silent(self):
        """Requests that do not come, until the test ends."""
        requests = queue.Queue()
        self.addCleanup(requests.put, None)
        return iter(requests.get, None)

    def assertServes(self, channel=None):
        self.assertEqual(len(self.unary(channel=channel)(self.simple(1, 2),
                                                         timeout=PATIENCE).payload.body), 2)

    def status(self, code=2, message=SPECIAL):
        return self.make("EchoStatus", code=code, message=message)

    # ---- Statuses ----

    def test_a_status_message_keeps_its_whitespace_and_unicode(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.unary()(self.simple(0, 0, response_status=self.status()), timeout=PATIENCE)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNKNOWN)
        self.assertEqual(caught.exception.details(), SPECIAL)

    def test_every_status_code_ends_a_stream_behind_its_messages(self):
        for code in grpc.StatusCode:
            if code is grpc.StatusCode.OK:
                continue
            with self.subTest(code):
                call = self.duplex()(iter([self.wanting(7), self.wanting(
                    response_status=self.status(code.value[0]))]), timeout=PATIENCE)
                self.assertEqual(len(next(call).payload.body), 7)
                with self.assertRaises(grpc.RpcError) as caught:
                    next(call)
                self.assertEqual(caught.exception.code(), code)
                self.assertEqual(caught.exception.details(), SPECIAL)

    def test_a_method_of_any_kind_that_does_not_exist_is_unimplemented(self):
        one, many = self.simple(1, 1), [self.simple(1, 1)]
        for path in (SERVICE + "UnimplementedCall", "/grpc.testing.UnimplementedService/X", "/x"):
            for kind, request in (("unary_unary", one), ("unary_stream", one),
                                  ("stream_unary", iter(many)), ("stream_stream", iter(many))):
                call = getattr(self.channel, kind)(
                    path, request_serializer=lambda message: message.SerializeToString())
                with self.subTest(path=path, kind=kind):
                    answer = call(request, timeout=PATIENCE) if kind.endswith("stream") else \
                        call.future(request, timeout=PATIENCE)
                    self.assertEqual(answer.code(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertServes()

    # ---- Metadata ----

    def echoed(self, initial, trailing):
        """What comes back, from a unary call and from each kind of stream."""
        metadata = ((ECHO_INITIAL, initial), (ECHO_TRAILING, trailing))
        calls = [self.unary().with_call(self.simple(3, 5), metadata=metadata,
                                        timeout=PATIENCE)[1],
                 self.upload().with_call(iter([]), metadata=metadata, timeout=PATIENCE)[1]]
        for call in (self.download()(self.wanting(5, 6), metadata=metadata, timeout=PATIENCE),
                     self.duplex()(iter([self.wanting(5)]), metadata=metadata, timeout=PATIENCE),
                     self.duplex()(iter([]), metadata=metadata, timeout=PATIENCE)):
            list(call)
            calls.append(call)
        return [(dict(call.initial_metadata()).get(ECHO_INITIAL),
                 dict(call.trailing_metadata()).get(ECHO_TRAILING)) for call in calls]

    def test_metadata_comes_back_from_calls_of_every_kind(self):
        for trailing in (b"\x0a\x0b" * 3, b"\0", b"\xff\0", bytes(range(256))):
            for pair in self.echoed("test_initial_metadata_value", trailing):
                self.assertEqual(pair, ("test_initial_metadata_value", trailing))

    def test_large_metadata_comes_back_whole(self):
        initial, trailing = "v" * 3 * KIB, bytes(range(256)) * 12
        for pair in self.echoed(initial, trailing):
            self.assertEqual(pair, (initial, trailing))

    def test_metadata_beyond_the_limit_fails_its_call_alone(self):
        self.assertFails(grpc.StatusCode.RESOURCE_EXHAUSTED, lambda: self.unary()(
            self.simple(1, 1), metadata=((ECHO_INITIAL, "v" * 24 * KIB),), timeout=PATIENCE),
            "metadata", "17408")
        self.assertServes()

    def test_a_cacheable_call_says_how_long_its_reply_holds(self):
        answer, call = self.unary("CacheableUnaryCall").with_call(self.simple(1, 9),
                                                                  timeout=PATIENCE)
        self.assertEqual(len(answer.payload.body), 9)
        self.assertEqual(dict(call.initial_metadata())["cache-control"], "max-age=60, public")

    # ---- Messages ----

    def test_compressed_requests_of_a_unary_call_and_of_a_stream_are_unpacked(self):
        for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate):
            channel = self.connect(compression=compression)
            expected = self.make("BoolValue", value=True)
            with self.subTest(compression):
                answer = self.unary(channel=channel)(
                    self.simple(271828, 314159, expect_compressed=expected), timeout=PATIENCE)
                self.assertEqual(len(answer.payload.body), 314159)
                sizes = (27182, 2000, 1828, 45904)  # a message that would grow is not compressed
                answer = self.upload(channel)(
                    (self.make("StreamingInputCallRequest", payload=self.payload(size),
                               expect_compressed=expected)
                     for size in sizes), timeout=PATIENCE)
                self.assertEqual(answer.aggregated_payload_size, sum(sizes))

    def test_messages_of_8_mib_pass_in_both_directions(self):
        answer = self.unary()(self.simple(8 * MIB, 8 * MIB), timeout=PATIENCE)
        self.assertEqual(answer.payload.body, bytes(8 * MIB))
        call = self.duplex()(iter([self.wanting(8 * MIB, payload=self.payload(8 * MIB))]),
                             timeout=PATIENCE)
        self.assertEqual([len(each.payload.body) for each in call], [8 * MIB])

    def test_a_download_has_every_message_in_order_empty_ones_too(self):
        sizes = [0, 1, 16384, 5, 0] * 400
        call = self.download()(self.wanting(*sizes), timeout=PATIENCE)
        self.assertEqual([len(each.payload.body) for each in call], sizes)

    def test_a_long_upload_is_counted_to_its_end(self):
        answer = self.upload()(
            (self.make("StreamingInputCallRequest", payload=self.payload(size))
             for size in range(2000)), timeout=PATIENCE)
        self.assertEqual(answer.aggregated_payload_size, sum(range(2000)))

    def test_both_sides_of_a_full_duplex_call_talk_in_turn(self):
        requests = queue.Queue()
        call = self.duplex()(iter(requests.get, None), timeout=PATIENCE)
        for size in range(500):
            requests.put(self.wanting(size))
            self.assertEqual(len(next(call).payload.body), size)
        requests.put(None)
        self.assertEqual(list(call), [])

    def test_a_half_duplex_call_is_answered_once_everything_is_there(self):
        call = self.duplex("HalfDuplexCall")(
            iter([self.wanting(1, 2), self.wanting(), self.wanting(3)]), timeout=PATIENCE)
        self.assertEqual([len(each.payload.body) for each in call], [1, 2, 3])

    # ---- Deadlines and cancellation ----

    def test_a_call_that_waits_ends_at_its_deadline(self):
        call = self.duplex()(self.silent(), timeout=0.5)
        with self.assertRaises(grpc.RpcError) as caught:
            next(call)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        self.assertServes()

    def test_a_call_may_be_cancelled_before_and_between_its_messages(self):
        for count in (0, 1, 3):
            call = self.download()(self.wanting(*[100 * KIB] * 1000), timeout=PATIENCE)
            for _ in range(count):
                next(call)
            call.cancel()
            with self.assertRaises(grpc.RpcError) as caught:
                list(call)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.CANCELLED)
        call = self.upload().future(self.silent(), timeout=PATIENCE)
        call.cancel()
        self.assertEqual(call.code(), grpc.StatusCode.CANCELLED)
        self.assertServes()

    def test_calls_of_many_threads_on_one_connection_get_each_its_own_answer(self):
        wrong = []

        def run(thread):
            for i in range(50):
                size = thread * 50 + i
                answer = self.unary()(self.simple(1, size), timeout=PATIENCE)
                if len(answer.payload.body) != size:
                    wrong.append(size)
        threads = [threading.Thread(target=run, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


@harness.on_each_wire
class Python(Calls, interop.Case):
    def open_channel(self, address, **keywords):
        return grpc.insecure_channel(address, **keywords)

    def raw_echo(self, value):
        """The bytes that come back when the client sends this for a -bin header."""
        with http2.Connection(self.server.port) as connection:
            fields = http2.block(SERVICE + "EmptyCall", extra=[(ECHO_TRAILING, value)])
            connection.send(http2.headers(1, fields) +
                            http2.frame(http2.DATA, http2.END_STREAM, 1, http2.message(b"")))
            self.assertEqual(connection.outcome(1), 0)
            trailers = [fields for kind, _, stream, fields in connection.frames
                        if kind == http2.HEADERS and stream == 1][-1]
            answer = dict(trailers)[ECHO_TRAILING]
            return base64.b64decode(answer + "=" * (-len(answer) % 4), validate=True)

    def test_binary_metadata_may_come_with_and_without_padding(self):
        for data in (b"\xfb", b"\xfb\xff", b"\xfb\xff\xfe", b"\0\x01\x02\x03"):
            padded = base64.b64encode(data).decode()
            with self.subTest(padded):
                self.assertEqual(self.raw_echo(padded), data)
                self.assertEqual(self.raw_echo(padded.rstrip("=")), data)


class PythonWithTls(Calls, interop.Case):
    wire = "http2"  # the engine that has TLS

    def serve(self):
        authority = certificates.Authority(self.folder)
        root, _ = authority.bytes()
        self.credentials = grpc.ssl_channel_credentials(root)
        return super().serve(authority.sign("server"))

    def open_channel(self, address, **keywords):
        return grpc.secure_channel(address, self.credentials, **keywords)


class PythonAsUser(harness.Case):
    """With gRPC's own means: a certificate and call credentials."""
    TOKEN = "kvs_" + "p" * 43

    def setUp(self):
        super().setUp()
        self.authority = certificates.Authority(self.folder)
        pair, users = self.authority.sign("server"), f"{self.folder}/users"
        digest = hashlib.sha256(self.TOKEN.encode()).hexdigest()
        with open(users, "w", encoding="ascii") as file:
            file.write(f"tess readwrite:t/ token=sha256:{digest}\nroot admin cert=spiffe://test/root\n")
        self.root, _ = self.authority.bytes()
        self.server = self.start(
            mode="none", wire="http2", credentials=grpc.ssl_channel_credentials(self.root),
            flags=["--tls-cert", pair.certificate, "--tls-key", pair.key, "--users", users,
                   "--tls-client-ca", self.authority.certificate, "--tls-client-auth", "request"])

    def connect(self, token=None, pair=None):
        certificate, key = pair.bytes() if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(self.root, key, certificate)
        if token:
            credentials = grpc.composite_channel_credentials(
                credentials, grpc.access_token_call_credentials(token))
        channel = grpc.secure_channel(self.server.address, credentials, harness.CHANNEL_OPTIONS)
        self.addCleanup(channel.close)
        return channel

    def services(self, channel):
        """What the reflection of the server lists: a call with streams in both directions."""
        stub = harness.reflection_grpc.ServerReflectionStub(channel)
        request = harness.reflection.ServerReflectionRequest(list_services="")
        answers = list(stub.ServerReflectionInfo(iter([request]), timeout=PATIENCE))
        return [service.name for service in answers[0].list_services_response.service]

    def test_token_as_call_credentials_goes_with_calls_of_every_kind(self):
        channel = self.connect(self.TOKEN)
        stub = harness.kv_grpc.KeyValueStoreStub(channel)
        value = bytes(range(256)) * 4 * KIB
        stub.Set(harness.kv.SetRequest(key="t/k", value=value), timeout=PATIENCE)
        self.assertEqual(stub.Get(harness.kv.GetRequest(key="t/k"), timeout=PATIENCE).value, value)
        parts = harness.data_grpc.KeyValueServiceStub(channel).Scan(
            harness.data.ScanRequest(range=harness.data.KeyRange(prefix="t/")), timeout=PATIENCE)
        self.assertEqual([entry.key for part in parts for entry in part.entries], ["t/k"])
        self.assertIn("kvstore.KeyValueStore", self.services(channel))
        self.assertFails(grpc.StatusCode.PERMISSION_DENIED, lambda: stub.Get(
            harness.kv.GetRequest(key="other"), timeout=PATIENCE))

    def test_certificate_alone_says_who_calls(self):
        channel = self.connect(pair=self.authority.sign("root", "URI:spiffe://test/root"))
        status = harness.admin_grpc.AdminServiceStub(channel).GetStatus(
            harness.admin.GetStatusRequest(), timeout=PATIENCE)
        self.assertEqual(status.plugin, "none")

    def test_unknown_token_and_none_are_told_apart_in_the_details(self):
        for token, reason in (("kvs_" + "x" * 43, b"TOKEN_UNKNOWN"), (None, b"UNAUTHENTICATED")):
            stub = harness.kv_grpc.KeyValueStoreStub(self.connect(token))
            with self.subTest(reason), self.assertRaises(grpc.RpcError) as caught:
                stub.Get(harness.kv.GetRequest(key="t/k"), timeout=PATIENCE)
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAUTHENTICATED)
            details = dict(caught.exception.trailing_metadata())["grpc-status-details-bin"]
            self.assertIn(reason, details)


if __name__ == "__main__":
    harness.main()
