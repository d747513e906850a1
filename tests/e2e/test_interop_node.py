"""npm's gRPC client against the server on each engine, and as a user with TLS: runs
tests/interop/client.js."""
import hashlib
import os
import shutil

import grpc

import certificates
import harness
import interop

REMEDY = interop.REMEDY


def node_or_fail(case):
    """The path of node, once all that the client needs is there."""
    node = shutil.which("node", path="/usr/bin:/bin:" + os.environ.get("PATH", ""))
    case.assertIsNotNone(node, f"node is missing: {REMEDY}")
    modules = os.environ.get("NODE_PATH", "")
    for package in ("@grpc/grpc-js", "@grpc/proto-loader"):
        case.assertTrue(any(os.path.isdir(os.path.join(folder, package))
                            for folder in modules.split(":") if folder),
                        f"{package} of npm is not in NODE_PATH ({modules!r}): {REMEDY}")
    return node


CLIENT = os.path.join(interop.FOLDER, "client.js")
PROTO = os.path.join(harness.ROOT, "proto")


@harness.on_each_wire
class Node(interop.Case):
    def test_a_client_on_npms_grpc_gets_the_right_answers(self):
        node = node_or_fail(self)
        server = self.start(mode="none", wire=self.wire)
        self.run_client(node, CLIENT, server.address, PROTO)
        server.stop()


class NodeWithTls(interop.Case):
    """The server asks for a certificate and a token: nothing is open to strangers."""
    wire = "http2"  # the engine that has TLS
    TOKEN = "kvs_" + "n" * 43

    def setUp(self):
        super().setUp()
        self.authority = certificates.Authority(self.folder)
        pair, users = self.authority.sign("server"), os.path.join(self.folder, "users")
        digest = hashlib.sha256(self.TOKEN.encode()).hexdigest()
        with open(users, "w", encoding="ascii") as file:
            file.write(f"nora admin token=sha256:{digest}\n")
        self.known = self.authority.sign("nora")
        root, _ = self.authority.bytes()
        certificate, key = self.known.bytes()
        self.server = self.start(
            mode="none", wire=self.wire,
            credentials=grpc.ssl_channel_credentials(root, key, certificate),
            flags=["--tls-cert", pair.certificate, "--tls-key", pair.key, "--users", users,
                   "--tls-client-ca", self.authority.certificate])

    def run_as(self, pair, token):
        return self.run_client(node_or_fail(self), CLIENT, self.server.address, PROTO,
                               self.authority.certificate, pair.certificate, pair.key, token)

    def test_a_client_with_a_certificate_and_a_token_gets_the_right_answers(self):
        self.assertIn("all answers are right", self.run_as(self.known, self.TOKEN))

    def test_a_client_with_the_certificate_or_the_token_of_a_stranger_is_refused(self):
        stranger = certificates.Authority(self.folder, "stranger").sign("guest")
        with self.assertRaisesRegex(AssertionError, "UNAVAILABLE"):
            self.run_as(stranger, self.TOKEN)
        with self.assertRaisesRegex(AssertionError, "UNAUTHENTICATED"):
            self.run_as(self.known, "kvs_" + "x" * 43)


if __name__ == "__main__":
    harness.main()
