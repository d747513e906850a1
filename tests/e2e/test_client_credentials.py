"""What kvstore-cli and kvstore-bench trust and show: TLS, certificates, tokens, and what they say when
that does not fit the server."""
import hashlib
import os
import socket
import subprocess

import certificates
import harness
from harness import PATIENCE

BENCH = os.path.join(harness.BIN, "kvstore-bench")
TOKEN = "kvs_" + "t" * 43
PERMISSION_DENIED, UNAVAILABLE, UNAUTHENTICATED = 64 + 7, 64 + 14, 64 + 16


class CredentialsCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.authority = certificates.Authority(self.folder)
        self.pair = self.authority.sign("server")

    def serve(self, *more, pair=None, **keywords):
        pair = pair or self.pair
        flags = ["--tls-cert", pair.certificate, "--tls-key", pair.key, *more]
        server = self.start(mode="none", flags=flags, wait=False, **keywords)
        server.address = server.log.wait_for("listening on ").split("listening on ", 1)[1].split()[0]
        server.log.wait_for(" info ready")
        return server

    def file(self, name, text, mode=0o600):
        path = os.path.join(self.folder, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(path, mode)
        return path

    def users(self):
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        return self.file("users", f"ann readwrite:* token=sha256:{digest}\nknown readwrite:* cert=localhost\n",
                         0o644)

    def run_cli(self, server, *arguments, program=harness.CLI, words=("get", "k"), **variables):
        address = server if isinstance(server, str) else server.address
        home = {"HOME": self.folder, **variables}
        return subprocess.run([program, "-a", address, *arguments, *words], capture_output=True, text=True,
                              timeout=PATIENCE, check=False, env=harness.environment(**home))

    def serves(self, server, *arguments, **variables):
        ran = self.run_cli(server, *arguments, words=("set", "k", "v"), **variables)
        self.assertEqual((ran.returncode, ran.stdout, ran.stderr), (0, "OK\n", ""))

    def fails(self, code, text, server, *arguments, **variables):
        ran = self.run_cli(server, *arguments, **variables)
        self.assertEqual(ran.returncode, code, ran.stderr)
        self.assertIn(text, ran.stderr)
        self.assertEqual(ran.stderr.count("\n"), 1, "one line, and nothing of gRPC's own log")


class Tls(CredentialsCase):
    def test_server_is_trusted_by_its_authority_under_a_name_or_a_number(self):
        server = self.serve()
        port = server.address.rsplit(":", 1)[1]
        for address in (f"localhost:{port}", f"127.0.0.1:{port}"):
            self.serves(address, "--tls-ca", self.authority.certificate)
            self.serves(address, "--tls", KVSTORE_CLIENT_TLS_CA=self.authority.certificate)
            self.serves(address, KVSTORE_CLIENT_TLS="1", KVSTORE_CLIENT_TLS_CA=self.authority.certificate)

    def test_bench_takes_the_same_options(self):
        server = self.serve("--users", self.users())
        token = self.file("token", TOKEN)
        ran = self.run_cli(server, "--tls-ca", self.authority.certificate, "--token-file", token, "-n", "100",
                           program=BENCH, words=())
        self.assertEqual(ran.returncode, 0, ran.stderr)
        self.assertRegex(ran.stdout, r"errors +0\n")
        ran = self.run_cli(server, "--tls-ca", self.authority.certificate, "-n", "10", program=BENCH, words=())
        self.assertIn("UNAUTHENTICATED", ran.stdout + ran.stderr)
        ran = self.run_cli(server, "-n", "10", program=BENCH, words=())
        self.assertIn("may want TLS", ran.stderr)

    def test_certificate_that_is_not_trusted_says_so(self):
        ca = ("--tls-ca", self.authority.certificate)
        other = certificates.Authority(self.folder, "other").certificate
        self.fails(UNAVAILABLE, "is not trusted", self.serve(data="d1"), "--tls-ca", other)
        self.fails(UNAVAILABLE, "is not trusted", self.serve(data="d2"), "--tls")
        expired = self.authority.sign("expired", end="20210101000000Z")
        self.fails(UNAVAILABLE, "has expired", self.serve(data="d3", pair=expired), *ca)
        wrong = self.authority.sign("wrong", "DNS:elsewhere.example")
        server = self.serve(data="d4", pair=wrong)
        self.fails(UNAVAILABLE, "--tls-server-name", server, *ca)
        self.serves(server, *ca, "--tls-server-name", "elsewhere.example")
        self.serves(server, *ca, KVSTORE_CLIENT_TLS_SERVER_NAME="elsewhere.example")
        self.fails(UNAVAILABLE, "--tls-server-name", server, *ca, "--tls-server-name", "localhost")

    def test_plain_and_tls_that_meet_are_told_apart(self):
        self.fails(UNAVAILABLE, "may want TLS (--tls)", self.serve(data="d1"))
        plain = self.start(data="d2", mode="none")
        self.fails(UNAVAILABLE, "does not speak TLS; leave out --tls", plain, "--tls-ca",
                   self.authority.certificate)

    def test_unix_socket_stays_plain(self):
        server = self.serve(listen=f"unix:{self.folder}/socket")
        self.serves(server, "--tls-ca", self.authority.certificate)

    def test_certificate_of_the_client_is_shown(self):
        ca = ("--tls-ca", self.authority.certificate)
        server = self.serve("--tls-client-ca", self.authority.certificate, "--users", self.users())
        known = self.authority.sign("known")
        self.serves(server, *ca, "--tls-cert", known.certificate, "--tls-key", known.key)
        self.serves(server, *ca, KVSTORE_CLIENT_TLS_CERT=known.certificate,
                    KVSTORE_CLIENT_TLS_KEY=known.key)
        self.fails(UNAVAILABLE, "may require a certificate", server, *ca)
        stranger = certificates.Authority(self.folder, "stranger").sign("stranger-pair")
        self.fails(UNAVAILABLE, "may refuse the certificate", server, *ca, "--tls-cert", stranger.certificate,
                   "--tls-key", stranger.key)

    def test_files_that_cannot_be_used_are_named(self):
        server = self.serve()
        ca = ("--tls-ca", self.authority.certificate)
        self.fails(2, "tls-ca: cannot open /nowhere", server, "--tls-ca", "/nowhere")
        self.fails(2, "is not in PEM format", server, "--tls-ca", self.file("text", "text"))
        self.fails(2, "tls-cert is given without tls-key", server, *ca, "--tls-cert", self.pair.certificate)
        self.fails(2, "tls-key is given without tls-cert", server, *ca, "--tls-key", self.pair.key)
        other = self.authority.sign("other-pair")
        os.chmod(other.key, 0o644)
        self.fails(2, f"run: chmod 600 {other.key}", server, *ca, "--tls-cert", other.certificate, "--tls-key",
                   other.key)
        os.chmod(other.key, 0o600)
        for form in ((), ("-traditional",)):
            encrypted = self.file("encrypted", "")
            certificates.openssl("pkey", *form, "-in", other.key, "-aes256", "-passout", "pass:secret",
                                 "-out", encrypted)
            self.fails(2, f"is encrypted, and its passphrase is not asked for; give the key without one: "
                       f"openssl pkey -in {encrypted}", server, *ca, "--tls-cert", other.certificate,
                       "--tls-key", encrypted)
        self.fails(UNAVAILABLE, "cannot be used", server, *ca, "--tls-cert", self.pair.certificate,
                   "--tls-key", other.key)


class Tokens(CredentialsCase):
    def setUp(self):
        super().setUp()
        self.token = self.file("a-token", TOKEN + "\n")

    def start_plain(self, **keywords):
        return self.start(mode="none", flags=["--users", self.users()], **keywords)

    def test_token_comes_from_an_option_a_variable_or_the_home_directory(self):
        server = self.start_plain()
        self.fails(UNAUTHENTICATED, "--token-file FILE", server)
        self.serves(server, "--token-file", self.token)
        self.serves(server, KVSTORE_TOKEN_FILE=self.token)
        for folder in ("config", ".config"):
            os.makedirs(os.path.join(self.folder, folder, "kvstore"))
        own = self.file("config/kvstore/token", TOKEN)
        self.serves(server, XDG_CONFIG_HOME=os.path.join(self.folder, "config"))
        os.rename(own, os.path.join(self.folder, ".config/kvstore/token"))
        self.serves(server)
        self.fails(UNAUTHENTICATED, "who calls", server, "--token-file", "")
        self.fails(UNAUTHENTICATED, "who calls", server, HOME=self.token)  # which is no directory
        unix = self.start_plain(data="d2", listen=f"unix:{self.folder}/socket")
        self.serves(unix)

    def test_every_command_and_every_load_shows_the_token(self):
        digest = hashlib.sha256(TOKEN.encode()).hexdigest()
        users = self.file("admins", f"ann admin token=sha256:{digest}\n", 0o644)
        server = self.serve("--users", users)
        options = ("--tls-ca", self.authority.certificate, "--token-file", self.token)
        backup = os.path.join(self.folder, "backup")
        for words in (("set", "k", "v"), ("get", "k"), ("keys",), ("scan",), ("status",), ("plugins",),
                      ("configure", "none", "--validate-only"), ("config", "NON_PERSISTENT"),
                      ("backup", backup), ("restore", backup, "--validate-only"), ("del", "k")):
            ran = self.run_cli(server, *options, words=words)
            self.assertEqual((ran.returncode, ran.stderr), (0, ""), words)
            ran = self.run_cli(server, *options[:2], words=words)
            self.assertEqual(ran.returncode, UNAUTHENTICATED, words)
        for load in (("-n", "20"), ("-n", "20", "--batch", "10"), ("-n", "2", "--scan"),
                     ("--fill", "--keys", "2000", "-n", "0")):
            ran = self.run_cli(server, *options, *load, program=BENCH, words=())
            self.assertEqual(ran.returncode, 0, f"{load}: {ran.stderr}")

    def test_what_the_user_may_not_do_is_refused_with_its_own_code(self):
        self.fails(PERMISSION_DENIED, "ann", self.start_plain(), "--token-file", self.token,
                   words=("status",))

    def test_token_file_that_others_can_read_is_refused(self):
        server = self.start_plain()
        for mode in (0o604, 0o640 if os.geteuid() else 0o660, 0o602, 0o644):
            os.chmod(self.token, mode)
            self.fails(2, f"run: chmod 600 {self.token}", server, "--token-file", self.token)
        os.chmod(self.token, 0o600)
        if os.geteuid() == 0:
            os.chown(self.token, 12345, 12345)
            self.fails(2, "belongs to another user (12345)", server, "--token-file", self.token)

    def test_command_that_needs_no_server_needs_no_token_and_no_certificate(self):
        bad = {"KVSTORE_TOKEN_FILE": "/nowhere", "KVSTORE_CLIENT_TLS_CA": "/nowhere"}
        for words in (("user", "list", self.users()), ("help",), ("HELP", "get"), ("quit",)):
            ran = self.run_cli("127.0.0.1:1", words=words, **bad)
            self.assertEqual((ran.returncode, ran.stderr), (0, ""), words)
        self.fails(2, "cannot open /nowhere", "127.0.0.1:1", **bad)

    def test_file_without_a_token_is_refused_without_showing_it(self):
        server = self.start_plain()
        for text in ("two words", "two\nlines", "bad\x01byte", "t" * 600):
            ran = self.run_cli(server, "--token-file", self.file("bad", text))
            self.assertEqual(ran.returncode, 2)
            self.assertIn("is not one line with a token", ran.stderr)
            self.assertNotIn(text, ran.stderr)
        self.fails(2, "is empty", server, "--token-file", self.file("bad", "\n"))
        # Memory that the address sanitizer has filled shows a text without an end.
        filled = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":max_malloc_fill_size=4000000"}
        shown = ("--tls-ca", self.authority.certificate, "--tls-cert", self.pair.certificate)
        for size in (1 << 20, (1 << 20) + 1):
            huge = self.file("bad", "-----BEGIN " + "t" * (size - 11))
            for option in (("--token-file", huge), (*shown, "--tls-key", huge)):
                self.fails(2, "has 1048576 bytes or more", server, *option, **filled)
        self.fails(2, "cannot open", server, "--token-file", "/nowhere")
        self.fails(2, "is not a file", server, "--token-file", self.folder)

    def test_token_does_not_leave_the_machine_in_the_clear(self):
        with socket.create_server(("0.0.0.0", 0)) as listener:
            # An address of this machine that no rule takes for one.
            address = f"0.0.0.0:{listener.getsockname()[1]}"
            self.fails(UNAVAILABLE, "is not sent without TLS", address, "--token-file", self.token)
            ran = self.run_cli(address, "--token-file", self.token, program=BENCH, words=())
            self.assertIn("is not sent without TLS", ran.stderr)
            listener.setblocking(False)
            with self.assertRaises(BlockingIOError):
                listener.accept()


if __name__ == "__main__":
    harness.main()
