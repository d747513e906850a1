"""TLS of the server: who can connect, what is refused with which words, files that change, and
handshakes and records from clients that mean no good."""
import os
import signal
import socket
import ssl
import subprocess
import threading

import grpc

import certificates
import harness
from harness import PATIENCE

SLOW_CLIENTS = IDLE_CLIENTS = 1000


def client(authority, pair=None):
    root, _ = authority.bytes()
    certificate, key = pair.bytes() if pair else (None, None)
    return grpc.ssl_channel_credentials(root, key, certificate)


class TlsCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.authority = certificates.Authority(self.folder)
        self.pair = self.authority.sign("server")

    def flags(self, *more):
        return ["--tls-cert", self.pair.certificate, "--tls-key", self.pair.key, *more]

    def serve(self, *more, pair=None, **keywords):
        return self.start(mode="none", flags=self.flags(*more),
                          credentials=client(self.authority, pair), **keywords)

    def get(self, server, credentials, options=()):
        """What a client of its own gets."""
        with grpc.secure_channel(server.address, credentials,
                                 [*harness.CHANNEL_OPTIONS, *options]) as channel:
            stub = harness.kv_grpc.KeyValueStoreStub(channel)
            return stub.Get(harness.kv.GetRequest(key="k"), timeout=PATIENCE)

    def assertCannotConnect(self, server, credentials, logged=None):
        self.assertFails(grpc.StatusCode.UNAVAILABLE, lambda: self.get(server, credentials))
        if logged:
            self.assertLogs(server, logged)

    def context(self):
        context = ssl.create_default_context(cafile=self.authority.certificate)
        context.set_alpn_protocols(["h2"])
        return context

    def handshake(self, server, context=None):
        raw = harness.raw_connection(server.port)
        try:
            return (context or self.context()).wrap_socket(raw, server_hostname="localhost")
        except Exception:
            raw.close()
            raise


class Clients(TlsCase):
    def test_calls_of_all_sizes_pass(self):
        server = self.serve()
        for size in (0, 1, 16383, 16384, 16385, 100_000, 5_000_000):
            value = os.urandom(size)
            server.set("k", value)
            self.assertEqual(server.get("k"), value)

    def test_client_that_knows_another_authority_does_not_connect(self):
        server = self.serve()
        other = certificates.Authority(self.folder, "other")
        self.assertCannotConnect(server, client(other))

    def test_client_that_wants_another_name_does_not_connect(self):
        server = self.serve()
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.context().wrap_socket(harness.raw_connection(server.port),
                                       server_hostname="elsewhere.example")
        self.assertEqual(self.get(server, client(self.authority)).found, False)

    def test_plain_client_is_turned_away_with_a_word_in_the_log(self):
        server = self.serve()
        with harness.raw_connection(server.port) as plain:
            plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            while plain.recv(4096):
                pass
        self.assertLogs(server, "it does not speak TLS")

    def test_unix_socket_stays_plain(self):
        path = os.path.join(self.folder, "socket")
        server = self.start(mode="none", flags=self.flags(), listen=f"unix:{path}")
        server.set("k", b"v")
        self.assertEqual(server.get("k"), b"v")

    def test_version_below_1_2_and_other_protocols_are_refused(self):
        server = self.serve()
        for protocols in (["http/1.1"], None):
            context = ssl.create_default_context(cafile=self.authority.certificate)
            if protocols:
                context.set_alpn_protocols(protocols)
            with self.assertRaises(ssl.SSLError):
                self.handshake(server, context)
        self.assertLogs(server, "it does not offer HTTP/2")
        told = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}",
                               "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-alpn", "h2"],
                              input=b"", capture_output=True, timeout=PATIENCE, check=False)
        self.assertIn(b"alert protocol version", told.stderr)

    def test_renegotiation_is_refused(self):
        server = self.serve()
        asked = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}",
                                  "-tls1_2", "-alpn", "h2"], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        told = b""
        while b"\4\0\0\0\0\0" not in told:  # SETTINGS, which must not come in between
            told += os.read(asked.stdout.fileno(), 4096)
        asked.stdin.write(b"R\n")
        asked.stdin.flush()
        told, _ = asked.communicate(timeout=PATIENCE)
        # Where a frame of the server comes first, openssl gives up on that itself.
        self.assertRegex(told, b"no renegotiation|unexpected record")
        self.assertEqual(self.get(server, client(self.authority)).found, False)

    def test_tls_1_2_serves_as_well(self):
        server = self.serve()
        context = self.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with self.handshake(server, context) as secure:
            self.assertEqual((secure.version(), secure.selected_alpn_protocol()), ("TLSv1.2", "h2"))
            secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            self.assertEqual(secure.recv(9)[3], 4, "SETTINGS")


class ClientCertificates(TlsCase):
    def test_client_with_a_certificate_is_served_and_one_without_is_not(self):
        known = self.authority.sign("known", "URI:spiffe://test/known")
        server = self.serve("--tls-client-ca", self.authority.certificate, pair=known)
        server.set("k", b"v")
        self.assertCannotConnect(server, client(self.authority), "it showed no certificate")

    def test_request_serves_clients_without_but_none_with_a_bad_one(self):
        server = self.serve("--tls-client-ca", self.authority.certificate,
                            "--tls-client-auth", "request")
        stranger = certificates.Authority(self.folder, "stranger").sign("guest")
        self.assertFalse(self.get(server, client(self.authority)).found)
        self.assertCannotConnect(server, client(self.authority, stranger),
                                 "its certificate is refused")

    def test_expired_and_early_certificates_are_refused(self):
        known = self.authority.sign("known")
        server = self.serve("--tls-client-ca", self.authority.certificate, pair=known)
        expired = self.authority.sign("expired", end="20210101000000Z")
        early = self.authority.sign("early", begin="20480101000000Z")
        self.assertCannotConnect(server, client(self.authority, expired), "certificate has expired")
        self.assertCannotConnect(server, client(self.authority, early), "not yet valid")

    def test_certificate_that_is_taken_out_of_the_file_is_refused_after_a_reload(self):
        one, two = (certificates.Authority(self.folder, name) for name in ("one", "two"))
        pairs = one.sign("from-one"), two.sign("from-two")
        path = os.path.join(self.folder, "clients.pem")

        def trust(*authorities):
            with open(path, "wb") as file:
                for authority in authorities:
                    file.write(authority.bytes()[0])
        trust(one, two)
        server = self.serve("--tls-client-ca", path, pair=pairs[0])
        self.assertFalse(self.get(server, client(self.authority, pairs[1])).found)
        trust(one)
        os.kill(server.pid, signal.SIGHUP)
        self.assertLogs(server, "read the certificate")
        self.assertCannotConnect(server, client(self.authority, pairs[1]), "its certificate is refused")
        self.assertFalse(self.get(server, client(self.authority, pairs[0])).found)


class Files(TlsCase):
    def refuses(self, *texts, flags=None):
        self.assertRefusesToStart(*texts, mode="none", flags=flags or self.flags())

    def test_bad_files_are_refused_with_the_remedy(self):
        os.chmod(self.pair.key, 0o644)
        self.refuses("has mode 0644", f"chmod 600 {self.pair.key}")
        os.chmod(self.pair.key, 0o600)
        other = self.authority.sign("other")
        self.refuses("is not the key of the certificate",
                     flags=["--tls-cert", self.pair.certificate, "--tls-key", other.key])
        rsa = os.path.join(self.folder, "rsa.key")
        certificates.openssl("genrsa", "-out", rsa, "2048")
        os.chmod(rsa, 0o600)
        self.refuses("is not the key of the certificate",
                     flags=["--tls-cert", self.pair.certificate, "--tls-key", rsa])
        self.refuses("holds no usable certificate",
                     flags=["--tls-cert", self.pair.key, "--tls-key", self.pair.key])
        self.refuses("tls-cert is given without tls-key", flags=["--tls-cert", self.pair.certificate])
        self.refuses("tls-client-ca is given without", flags=["--tls-client-ca", self.pair.certificate])
        self.refuses("tls-client-auth is given without", flags=self.flags("--tls-client-auth", "request"))
        self.refuses("No such file", flags=["--tls-cert", "/nowhere", "--tls-key", self.pair.key])
        encrypted = os.path.join(self.folder, "encrypted.key")
        certificates.openssl("pkey", "-in", self.pair.key, "-aes256", "-passout", "pass:secret",
                             "-out", encrypted)
        os.chmod(encrypted, 0o600)
        self.refuses("is encrypted", "openssl pkey",
                     flags=["--tls-cert", self.pair.certificate, "--tls-key", encrypted])

    def test_engine_that_cannot_serve_tls_says_so_at_the_start(self):
        self.refuses("wire grpc cannot serve TLS", "use wire http2", flags=self.flags("--wire", "grpc"))

    def test_check_config_looks_at_the_files(self):
        os.chmod(self.pair.key, 0o604)
        self.refuses("chmod 600", flags=self.flags("--check-config"))

    def test_certificates_out_of_their_time_are_warned_of(self):
        for name, period, text in (("old", {"end": "20210101000000Z"}, "EXPIRED ON 2021-01-01"),
                                   ("new", {"begin": "20480101000000Z"}, "NOT VALID BEFORE 2048-01-01")):
            self.pair = self.authority.sign(name, **period)
            server = self.start(name, mode="none", flags=self.flags(), wait=False)
            self.assertLogs(server, text)
            server.address = server.log.wait_for("listening on ").split()[-1]
            self.assertCannotConnect(server, client(self.authority))

    def test_reload_takes_the_new_pair_and_drops_no_call(self):
        server = self.serve()
        server.set("k", b"v")
        stop, failures, served = threading.Event(), [], []

        def call():
            while not stop.is_set():
                try:
                    served.append(server.get("k"))
                except grpc.RpcError as error:
                    failures.append(error)
        caller = threading.Thread(target=call)
        caller.start()
        try:
            for i in range(5):
                self.pair.replace_with(self.authority.sign(f"renewed-{i}"))
                os.kill(server.pid, signal.SIGHUP)
                while True:
                    with self.handshake(server) as secure:
                        names = dict(part[0] for part in secure.getpeercert()["subject"])
                    if names["commonName"] == f"renewed-{i}":
                        break
        finally:
            stop.set()
            caller.join()
        self.assertEqual(failures, [])
        self.assertGreater(len(served), 0)

    def test_changed_files_are_seen_without_a_signal(self):
        server = self.serve()
        self.pair.replace_with(self.authority.sign("renewed"))
        self.assertLogs(server, "read the certificate")
        with self.handshake(server) as secure:
            self.assertIn(((("commonName", "renewed"),)), secure.getpeercert()["subject"])

    def test_bad_new_pair_leaves_the_old_one_in_use(self):
        server = self.serve()
        with open(self.pair.certificate, "wb") as file:
            file.write(self.authority.sign("other").bytes()[0])
        os.kill(server.pid, signal.SIGHUP)
        self.assertLogs(server, "THE NEW CERTIFICATES ARE NOT USED")
        certificates.openssl("genrsa", "-out", self.pair.key, "2048")
        os.kill(server.pid, signal.SIGHUP)
        self.assertLogs(server, "tls-key: ")
        with self.handshake(server) as secure:
            self.assertIn(((("commonName", "server"),)), secure.getpeercert()["subject"])


class Hostile(TlsCase):
    def test_records_may_be_cut_anywhere(self):
        server = self.serve()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context().wrap_bio(incoming, outgoing, server_hostname="localhost")
        with harness.raw_connection(server.port) as raw:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

            def dribble():
                for byte in outgoing.read():
                    raw.sendall(bytes([byte]))

            def until_done(step):
                while True:
                    try:
                        result = step()
                        dribble()
                        return result
                    except ssl.SSLWantReadError:
                        dribble()
                        incoming.write(raw.recv(3))
            until_done(tls.do_handshake)
            tls.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            dribble()
            self.assertEqual(until_done(lambda: tls.read(9))[3], 4, "SETTINGS")
            tls.write(b"\0\0\x08\6\0\0\0\0\0" + b"12345678")
            dribble()
            got = b""
            while b"12345678" not in got:
                got += until_done(lambda: tls.read(100))

    def test_record_that_is_changed_ends_its_connection_alone(self):
        server = self.serve()
        with self.handshake(server) as secure:
            os.write(secure.fileno(), b"\x17\3\3\0\x20" + b"x" * 32)
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                while secure.recv(100):
                    pass
                raise ConnectionError
        self.assertIsNone(server.get("k"))

    def test_slow_handshakes_by_the_thousand_leave_a_client_served(self):
        server = self.serve()
        tls = self.context().wrap_bio(ssl.MemoryBIO(), hello := ssl.MemoryBIO(),
                                      server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        begin = hello.read()
        slow = []
        try:
            for i in range(SLOW_CLIENTS):
                slow.append(harness.raw_connection(server.port))
                slow[-1].sendall(begin if i % 2 else begin[:i % len(begin)])
            for _ in range(50):
                self.assertIsNone(server.get("k"))
            self.assertFalse(self.get(server, client(self.authority)).found)
        finally:
            for connection in slow:
                connection.close()

    def test_thousand_idle_connections_are_charged_what_they_may_hold(self):
        server = self.serve("--max-wire-memory", "128M")
        context, idle = self.context(), []
        try:
            for _ in range(IDLE_CLIENTS):
                idle.append(self.handshake(server, context))
                idle[-1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
                self.assertEqual(idle[-1].recv(9)[3], 4, "SETTINGS")
            value = os.urandom(5_000_000)
            server.set("k", value)
            self.assertEqual(server.get("k"), value)
            self.assertEqual(self.get(server, client(self.authority)).value, value)
        finally:
            for connection in idle:
                connection.close()

    def test_connections_have_at_most_half_of_the_memory(self):
        server = self.serve("--max-wire-memory", "4M", "--max-message-size", "4M",
                            "--max-value-size", "1M")
        silent = []
        try:
            for _ in range(60):  # of which 51 fit, and the test's own
                silent.append(harness.raw_connection(server.port))
            self.assertLogs(server, "a TLS connection was refused")
            self.assertIsNone(server.get("k"))
        finally:
            for connection in silent:
                connection.close()

    def test_silent_client_is_closed(self):
        server = self.serve()
        with harness.raw_connection(server.port) as raw:
            raw.settimeout(PATIENCE)
            self.assertEqual(raw.recv(1), b"", "the handshake's limit")

    def test_stop_ends_handshakes_and_connections(self):
        server = self.serve()
        with harness.raw_connection(server.port), self.handshake(server):
            server.stop()


if __name__ == "__main__":
    harness.main()
