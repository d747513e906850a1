"""nghttp2's own clients, h2load and nghttp, against the real server on each engine, and with TLS."""
import os
import re
import shutil

import grpc

import certificates
import harness
import interop
from http2 import message

SERVICE = "kvstore.KeyValueStore"
HEADERS = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
VALUE = os.urandom(100000)


class Calls:
    """What both hold for: a plain connection and one with TLS."""
    scheme = "http"

    def setUp(self):
        super().setUp()
        for program in ("h2load", "nghttp"):
            self.assertIsNotNone(shutil.which(program),
                                 f"{program} is missing: {interop.REMEDY}")
        self.server = self.serve()

    def url(self, method):
        return f"{self.scheme}://{self.server.address}/{SERVICE}/{method}"

    def request(self, data):
        """The arguments for a call with this request."""
        path = os.path.join(self.folder, "request")
        with open(path, "wb") as file:
            file.write(message(data))
        return [*HEADERS, "-d", path]

    def load(self, method, data, count, *arguments):
        printed = self.run_client("h2load", "-n", str(count), *arguments, *self.request(data),
                                  self.url(method))
        self.assertIn(f"requests: {count} total, {count} started, {count} done, "
                      f"{count} succeeded, 0 failed, 0 errored, 0 timeout", printed)
        self.assertIn(f"status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx", printed)

    def test_h2load_sees_no_failed_call(self):
        set_k = harness.kv.SetRequest(key="k", value=VALUE).SerializeToString()
        get_k = harness.kv.GetRequest(key="k").SerializeToString()
        small = harness.kv.SetRequest(key="s", value=b"v").SerializeToString()
        self.load("Set", small, 4000, "-c", "8", "-m", "16")
        self.load("Set", small, 2000, "-c", "50", "-m", "1")
        self.load("Set", small, 2000, "-c", "1", "-m", "1000")
        self.load("Set", set_k, 200, "-c", "4", "-m", "8")
        self.load("Get", get_k, 200, "-c", "4", "-m", "8")
        # Windows far smaller than a reply.
        self.load("Get", get_k, 200, "-c", "4", "-m", "8", "-w", "12", "-W", "13")
        self.assertEqual(self.server.get("k"), VALUE)

    def test_nghttp_gets_its_reply_and_an_ok_status(self):
        for name, data in (("Set", harness.kv.SetRequest(key="n", value=VALUE)),
                           ("Get", harness.kv.GetRequest(key="n"))):
            printed = self.run_client("nghttp", "-v", "-n", "--no-verify-peer",
                                      *self.request(data.SerializeToString()), self.url(name))
            printed = re.sub(r"\x1b\[[0-9;]*m", "", printed)
            self.assertRegex(printed, r"recv \(stream_id=\d+\) :status: 200")
            self.assertRegex(printed, r"recv \(stream_id=\d+\) grpc-status: 0")
            self.assertNotIn("recv RST_STREAM", printed)
        self.assertEqual(self.server.get("n"), VALUE)


@harness.on_each_wire
class Nghttp2(Calls, interop.Case):
    def serve(self):
        return self.start(mode="none", wire=self.wire)


class Nghttp2WithTls(Calls, interop.Case):
    wire, scheme = "http2", "https"

    def serve(self):
        authority = certificates.Authority(self.folder)
        pair = authority.sign("server")
        root, _ = authority.bytes()
        return self.start(mode="none", wire=self.wire,
                          flags=["--tls-cert", pair.certificate, "--tls-key", pair.key],
                          credentials=grpc.ssl_channel_credentials(root))

    def test_h2load_agrees_on_tls_1_3_and_h2(self):
        small = harness.kv.SetRequest(key="s", value=b"v").SerializeToString()
        printed = self.run_client("h2load", "-n", "10", *self.request(small), self.url("Set"))
        self.assertIn("TLS Protocol: TLSv1.3", printed)
        self.assertIn("Application protocol: h2", printed)


if __name__ == "__main__":
    harness.main()
