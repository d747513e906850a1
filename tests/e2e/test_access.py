"""Users: who may make which call, through the real server; files that change; what each peer proves."""
import concurrent.futures
import hashlib
import os
import re
import secrets
import shlex
import signal
import subprocess
import time
import unittest

import grpc

import certificates
import harness
from harness import PATIENCE, admin, data, health, kv

DENIED, UNKNOWN = grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED

# Every method with a request for each way to name a key, {KEY} in its place, and the role that it
# needs: None is open to all, "user" is for whoever is known.
READ, WRITE, ADMIN, USER = "read", "write", "admin", "user"
# What tells a value, or compares one, beside writing.
BOTH = (READ, WRITE)

SAME_VALUE = data.Condition(value=b"v")
SAME_VERSION = data.Condition(version=7)

# The requests of kvstore.v1 that name one key; those of Batch and Transaction are made of them.
OPERATIONS = {
    "get": [(READ, lambda key: data.GetRequest(key=key)),
            (READ, lambda key: data.GetRequest(key=key, omit_value=True))],
    "set": [(WRITE, lambda key: data.SetRequest(key=key)),
            (WRITE, lambda key: data.SetRequest(key=key, condition=SAME_VERSION)),
            (BOTH, lambda key: data.SetRequest(key=key, condition=SAME_VALUE)),
            (BOTH, lambda key: data.SetRequest(key=key, return_previous=True))],
    "delete": [(WRITE, lambda key: data.DeleteRequest(key=key)),
               (WRITE, lambda key: data.DeleteRequest(key=key, condition=SAME_VERSION)),
               (BOTH, lambda key: data.DeleteRequest(key=key, condition=SAME_VALUE)),
               (BOTH, lambda key: data.DeleteRequest(key=key, return_previous=True))],
    "increment": [(BOTH, lambda key: data.IncrementRequest(key=key))],
    "set_expiry": [(WRITE, lambda key: data.SetExpiryRequest(key=key)),
                   (BOTH, lambda key: data.SetExpiryRequest(key=key, condition=SAME_VALUE))],
}


def nested(wrap):
    """Every operation on one key inside another request."""
    return [(need, lambda key, kind=kind, make=make: wrap(data.Operation(**{kind: make(key)})))
            for kind, cases in OPERATIONS.items() for need, make in cases]


def ranges(need, wrap):
    return [(need, lambda key: wrap(data.KeyRange(prefix=key))),
            (need, lambda key: wrap(data.KeyRange(prefix=key, start=key + "a", end=key + "b"))),
            (need, lambda key: wrap(data.KeyRange(key=key)))]


METHODS = {
    "kvstore.v1.KeyValueService/Get": OPERATIONS["get"],
    "kvstore.v1.KeyValueService/Set": OPERATIONS["set"],
    "kvstore.v1.KeyValueService/Delete": OPERATIONS["delete"],
    "kvstore.v1.KeyValueService/Increment": OPERATIONS["increment"],
    "kvstore.v1.KeyValueService/SetExpiry": OPERATIONS["set_expiry"],
    "kvstore.v1.KeyValueService/Batch": nested(lambda operation: data.BatchRequest(
        operations=[operation])),
    "kvstore.v1.KeyValueService/Transaction": [
        *nested(lambda operation: data.TransactionRequest(success=[operation])),
        *nested(lambda operation: data.TransactionRequest(failure=[operation])),
        *[(READ, lambda key, condition=condition: data.TransactionRequest(
            comparisons=[data.Comparison(key=key, condition=condition)]))
          for condition in (SAME_VALUE, SAME_VERSION, data.Condition(exists=False))]],
    "kvstore.v1.KeyValueService/DeleteRange": [
        *ranges(WRITE, lambda keys: data.DeleteRangeRequest(range=keys)),
        *ranges(WRITE, lambda keys: data.DeleteRangeRequest(range=keys, validate_only=True))],
    "kvstore.v1.KeyValueService/Scan": [
        *ranges(READ, lambda keys: data.ScanRequest(range=keys)),
        *ranges(READ, lambda keys: data.ScanRequest(
            range=keys, projection=data.ScanRequest.PROJECTION_COUNT))],
    "kvstore.v1.KeyValueService/Watch": ranges(READ, lambda keys: data.WatchRequest(
        create=data.WatchRequest.Create(watch_id=1, ranges=[keys]))),
    "kvstore.v1.KeyValueService/WaitDurable": [(USER, None)],
    "kvstore.KeyValueStore/Set": [(WRITE, lambda key: kv.SetRequest(key=key, value=b"v"))],
    "kvstore.KeyValueStore/Get": [(READ, lambda key: kv.GetRequest(key=key))],
    "kvstore.KeyValueStore/Del": [(WRITE, lambda key: kv.DelRequest(key=key))],
    "kvstore.KeyValueStore/Keys": [(READ, None)],
    "kvstore.KeyValueStore/Config": [(ADMIN, None)],
    "grpc.health.v1.Health/Check": [(None, None)],
    "grpc.health.v1.Health/Watch": [(None, None)],
    "grpc.reflection.v1.ServerReflection/ServerReflectionInfo": [(USER, None)],
    "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": [(USER, None)],
}

# name, the grants, and what of (read, write) they give: for app/, or for all keys.
ROLES = [("reader", ["read:app/"], {READ}, False), ("writer", ["write:app/"], {WRITE}, False),
         ("both", ["readwrite:app/"], {READ, WRITE}, False), ("all", ["readwrite:*"], {READ, WRITE}, True),
         ("none", [], set(), False), ("root", ["admin"], {READ, WRITE, ADMIN}, True)]


def services():
    files = [harness.kv, harness.data, harness.admin, harness.health, harness.reflection, harness.reflection_v1alpha]
    return [service for file in files for service in file.DESCRIPTOR.services_by_name.values()]


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


class AccessCase(harness.Case):
    def setUp(self):
        super().setUp()
        self.path = os.path.join(self.folder, "users")
        self.lines, self.tokens = {}, {}

    def user(self, name, *grants, proof=None):
        """Adds a user with a token, or with another proof; to be written by `write`."""
        if not proof:
            self.tokens[name] = "kvs_" + secrets.token_urlsafe(32)
            proof = "token=sha256:" + hashlib.sha256(self.tokens[name].encode()).hexdigest()
        self.lines[name] = " ".join([name, *grants, proof])

    def write(self, *more):
        with open(f"{self.path}.new", "w", encoding="ascii") as file:
            file.write("".join(f"{line}\n" for line in [*self.lines.values(), *more]))
        os.rename(f"{self.path}.new", self.path)

    def serve(self, *flags, **keywords):
        self.write()
        return self.start(mode="none", flags=["--users", self.path, *flags], **keywords)

    def reload(self, server, text):
        os.kill(server.pid, signal.SIGHUP)
        self.assertLogs(server, text)

    def call(self, server, method, request, metadata=()):
        """The status of a call to a method, by its descriptor; the stream is ended after a message."""
        arguments = {"request_serializer": lambda message: message.SerializeToString(),
                     "response_deserializer": lambda data: data}
        path = f"/{method.containing_service.full_name}/{method.name}"
        try:
            if path.endswith("ServerReflectionInfo"):
                list(server.channel.stream_stream(path, **arguments)(
                    iter([request]), metadata=metadata, timeout=PATIENCE))
            elif path.endswith("KeyValueService/Watch"):
                stream = server.channel.stream_stream(path, **arguments)(
                    iter([request]), metadata=metadata, timeout=PATIENCE)
                for _ in stream:
                    stream.cancel()
                    break
            elif path.endswith(("/Watch", "/Scan", "/Backup", "/Monitor")):
                stream = server.channel.unary_stream(path, **arguments)(
                    request, metadata=metadata, timeout=PATIENCE)
                for _ in stream:
                    stream.cancel()
                    break
            elif path.endswith("/Restore"):
                server.channel.stream_unary(path, **arguments)(
                    iter([request]), metadata=metadata, timeout=PATIENCE)
            else:
                server.channel.unary_unary(path, **arguments)(request, metadata=metadata, timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code(), error
        return grpc.StatusCode.OK, None

    def get(self, server, key, metadata=()):
        return server.stub.Get(kv.GetRequest(key=key), metadata=metadata, timeout=PATIENCE)


class Matrix(AccessCase):
    def expected(self, need, has, everywhere, key):
        if need in (None, USER):
            return True
        needed = {need} if isinstance(need, str) else set(need)
        return needed <= has and (need == ADMIN or everywhere or key.startswith("app/"))

    def call_by_nobody(self, server, method, request, need, wrong):
        """Whether the method is served; then it must refuse whoever it does not know."""
        while True:
            code, _ = self.call(server, method, request, wrong)
            if code == grpc.StatusCode.UNIMPLEMENTED:
                return False
            if code != grpc.StatusCode.UNAVAILABLE:  # too many wrong ones have just come from here
                self.assertEqual(code == UNKNOWN, need is not None, f"{method.full_name} by nobody")
                return True

    def test_each_method_x_key_field_x_role_is_let_through_or_refused_as_the_grants_say(self):
        for name, grants, _, _ in ROLES:
            self.user(name, *grants)
        server = self.serve()
        by_nobody, counted = [], 0
        for service in services():
            for method in service.methods:
                name = f"{service.full_name}/{method.name}"
                rules = METHODS.get(name) or [(ADMIN, None)] * (service.full_name ==
                                                               "kvstore.v1.AdminService")
                self.assertTrue(rules, f"nobody has said what {name} needs")
                for need, make in rules:
                    make = make or (lambda key, kind=method.input_type: harness_message(kind))
                    for key in ("app/x", "app", "other", ""):
                        request = make(key)
                        whole = need in (READ, WRITE) and method.name == "Keys"
                        for user, _, has, everywhere in ROLES:
                            may = self.expected(need, has, everywhere, "" if whole else key)
                            code, error = self.call(server, method, request, bearer(self.tokens[user]))
                            if code == grpc.StatusCode.UNIMPLEMENTED:
                                continue  # of the proto, but not served yet
                            self.assertEqual(code != DENIED and code != UNKNOWN, may,
                                             f"{name} by {user} with {key!r}: {code}")
                            if not may:
                                self.assertEqual(code, DENIED, name)
                                self.assertIn("grpc-status-details-bin",
                                              dict(error.trailing_metadata()))
                            counted += 1
                    by_nobody += [(server, method, request, need, wrong)
                                  for wrong in ((), bearer("kvs_" + "A" * 43))]
        # A wrong token once for each: it is answered late, so several at the same time.
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            counted += sum(pool.map(lambda case: self.call_by_nobody(*case), by_nobody))
        print(f"{counted} cases")
        self.assertGreater(counted, 500)


def harness_message(descriptor):
    modules = (kv, data, admin, health, harness.reflection, harness.reflection_v1alpha)
    [module] = [module for module in modules if module.DESCRIPTOR.name == descriptor.file.name]
    return getattr(module, descriptor.name)()


class Proofs(AccessCase):
    def test_authorization_that_is_no_single_bearer_token_is_refused(self):
        self.user("ann", "readwrite:*")
        server = self.serve()
        token = self.tokens["ann"]
        for good in (bearer(token), (("authorization", f"bearer {token}"),)):
            self.assertFalse(self.get(server, "k", good).found)
        for bad in ((("authorization", f"Basic {token}"),), (("authorization", token),),
                    (("authorization", "Bearer"),), bearer(token + "x"),
                    bearer(token[:-1]), bearer(token) * 2, bearer(token) + bearer("other"),
                    bearer(f"{token} {token}"), bearer(token.upper())):
            self.assertFails(UNKNOWN, lambda: self.get(server, "k", bad))
        self.assertFails(UNKNOWN, lambda: self.get(server, "k"), "this server wants to know who calls")

    def test_each_call_of_a_connection_proves_who_makes_it(self):
        self.user("ann", "readwrite:a/")
        self.user("bob", "readwrite:b/")
        server = self.serve()
        for _ in range(3):
            self.get(server, "a/", bearer(self.tokens["ann"]))
            self.assertFails(DENIED, lambda: self.get(server, "a/", bearer(self.tokens["bob"])),
                             'user "bob"')
            self.get(server, "b/", bearer(self.tokens["bob"]))
            self.assertFails(UNKNOWN, lambda: self.get(server, "a/"))

    def test_refusal_is_logged_with_the_peer_and_without_the_token(self):
        self.user("ann", "read:a/")
        server = self.serve()
        wrong = "kvs_" + secrets.token_urlsafe(32)
        self.assertFails(UNKNOWN, lambda: self.get(server, "a/", bearer(wrong)))
        self.assertFails(DENIED, lambda: self.get(server, "b/", bearer(self.tokens["ann"])))
        self.assertLogs(server, 'refused a kvstore.GetRequest from 127.0.0.1:')
        self.assertLogs(server, 'user "ann" has no grant')
        for token in (wrong, self.tokens["ann"]):
            self.assertNotIn(token, server.log.text())

    def test_without_a_users_file_a_token_is_not_looked_at(self):
        server = self.start(mode="none")
        self.assertFalse(self.get(server, "k", bearer("anything")).found)

    @unittest.skipIf(harness.WIRE == "grpc", "engine grpc knows the token alone")
    def test_process_of_this_machine_is_known_by_its_uid(self):
        self.user("me", "readwrite:*", proof=f"uid={os.geteuid()}")
        server = self.serve(listen=f"unix:{self.folder}/socket")
        server.set("k", b"v")
        self.assertEqual(server.get("k"), b"v")
        self.assertFails(DENIED, server.status)

    @unittest.skipIf(harness.WIRE == "grpc", "engine grpc has no TLS")
    def test_certificate_says_who_calls_and_a_token_comes_before_it(self):
        authority = certificates.Authority(self.folder)
        own, pair = authority.sign("server"), authority.sign("ann", "URI:spiffe://test/ann")
        self.user("ann", "readwrite:a/", proof="cert=spiffe://test/ann")
        self.user("bob", "readwrite:b/")
        root, (certificate, key) = authority.bytes()[0], pair.bytes()
        server = self.serve("--tls-cert", own.certificate, "--tls-key", own.key,
                            "--tls-client-ca", authority.certificate, "--tls-client-auth", "request",
                            credentials=grpc.ssl_channel_credentials(root, key, certificate))
        self.get(server, "a/")
        self.assertFails(DENIED, lambda: self.get(server, "b/"), 'user "ann"')
        self.get(server, "b/", bearer(self.tokens["bob"]))
        self.assertFails(UNKNOWN, lambda: self.get(server, "a/", bearer("wrong")))
        with harness.open_channel(server.address, grpc.ssl_channel_credentials(root)) as channel:
            stub = harness.kv_grpc.KeyValueStoreStub(channel)
            self.assertFails(UNKNOWN, lambda: stub.Get(kv.GetRequest(key="a/"), timeout=PATIENCE))


class Command(AccessCase):
    """kvstore-cli user"""

    def run_user(self, *arguments):
        return subprocess.run([harness.CLI, "user", *arguments], capture_output=True, text=True,
                              timeout=PATIENCE, check=False, env=harness.environment())

    def refuses(self, code, text, *arguments):
        ran = self.run_user(*arguments)
        self.assertEqual((ran.returncode, ran.stdout), (code, ""), ran.stderr)
        self.assertIn(text, ran.stderr)

    def test_token_that_is_shown_once_is_served_until_its_user_is_removed(self):
        with open(self.path, "w", encoding="ascii") as file:
            file.write("# people\n\nbob admin uid=4000000000")  # without an end of line
        os.chmod(self.path, 0o640)
        added = self.run_user("add", self.path, "ann", "readwrite:a/")
        token = added.stdout.strip()
        self.assertRegex(token, "^kvs_[A-Za-z0-9_-]{43}$")
        self.assertIn("shown only now", added.stderr)
        server = self.start(mode="none", flags=["--users", self.path])
        self.assertFalse(self.get(server, "a/", bearer(token)).found)
        self.assertFails(DENIED, lambda: self.get(server, "b/", bearer(token)))
        listed = self.run_user("list", self.path).stdout.splitlines()
        self.assertEqual(listed[0], "bob admin uid=4000000000")
        self.assertRegex(listed[1], r"^ann readwrite:a/ token=sha256:[0-9a-f]{8}\.\.\.$")
        self.assertEqual(self.run_user("remove", self.path, "ann").returncode, 0)
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), "# people\n\nbob admin uid=4000000000\n")
        self.assertEqual(os.stat(self.path).st_mode & 0o7777, 0o640)
        self.reload(server, "1 users")
        self.assertFails(UNKNOWN, lambda: self.get(server, "a/", bearer(token)))

    def test_user_with_another_proof_has_a_token_only_if_one_is_asked_for(self):
        self.assertEqual(self.run_user("add", self.path, "ann", "read:*", "cert=ann").stdout, "")
        self.assertTrue(self.run_user("add", self.path, "bob", "read:*", "uid=7", "--token").stdout)

    def test_what_no_server_would_read_is_not_written(self):
        self.run_user("add", self.path, "ann", "read:*", "cert=ann")
        with open(self.path, encoding="ascii") as file:
            before = file.read()
        for text, words in (("is there already", ["ann", "read:*"]),
                            ("is already that of", ["bob", "cert=ann"]),
                            ("is not a name of a user", ["b/ob"]), ("is none of read:PREFIX", ["bob", "all"]),
                            ("is empty", ["bob", ""]), ("has a space", ["bob", "read:a b"]),
                            ("never given, but made", ["bob", "token=sha256:00"]),
                            ("is missing", []), ("too long", ["bob", "read:" + "x" * 9000])):
            self.refuses(2, text, "add", self.path, *words)
        self.refuses(1, 'no user "bob"', "remove", self.path, "bob")
        self.refuses(3, "No such file", "remove", self.path + "x", "bob")
        self.refuses(3, "No such file", "list", self.path + "x")
        with open(self.path, encoding="ascii") as file:
            self.assertEqual(file.read(), before)
        with open(self.path, "a", encoding="ascii") as file:
            file.write("nonsense nonsense\n")
        for command in (["add", self.path, "cal"], ["remove", self.path, "ann"], ["list", self.path]):
            self.refuses(2, "line 2", *command)

    def test_edits_at_the_same_time_are_all_made(self):
        names = [f"user{i}" for i in range(20)]
        running = [subprocess.Popen([harness.CLI, "user", "add", self.path, name, "read:*", f"cert={name}"],
                                    env=harness.environment()) for name in names]
        self.assertEqual([process.wait(PATIENCE) for process in running], [0] * len(names))
        listed = self.run_user("list", self.path).stdout.splitlines()
        self.assertEqual(sorted(line.split()[0] for line in listed), sorted(names))
        self.assertEqual(sorted(os.listdir(self.folder)), ["users"])


class Audit(AccessCase):
    """A line for each call that needs an admin: who, from where, what, and what has come of it."""

    def audited(self, server, what, who="user="):
        """The line about that: method, arguments and outcome, as they stand behind each other."""
        line = server.log.wait_for(what)
        self.assertTrue(line, server.log.text())
        self.assertIn(f"audit: {who}", line)
        return line

    def test_call_of_an_admin_leaves_a_line_with_its_arguments_but_no_values(self):
        self.user("root", "admin")
        server = self.serve()
        stub, metadata = server.admin, bearer(self.tokens["root"])
        stub.Configure(admin.ConfigureRequest(plugin="aof", options={"fsync": "everysec"},
                                              validate_only=True),
                       metadata=metadata, timeout=PATIENCE)
        line = self.audited(server, 'method=/kvstore.v1.AdminService/Configure arguments=plugin="aof" '
                            'options="fsync" validate_only=true outcome=OK', "user=root peer=127.0.0.1:")
        self.assertNotIn("everysec", line)
        self.assertNotIn(self.tokens["root"], server.log.text())
        stub.ListPlugins(admin.ListPluginsRequest(), metadata=metadata, timeout=PATIENCE)
        self.audited(server, "AdminService/ListPlugins arguments=- outcome=OK")
        self.assertFails(grpc.StatusCode.NOT_FOUND, lambda: stub.Configure(
            admin.ConfigureRequest(plugin="nothing"), metadata=metadata, timeout=PATIENCE))
        self.audited(server, 'Configure arguments=plugin="nothing" outcome=NOT_FOUND')
        server.stub.Config(kv.ConfigRequest(storage_mode=3, aof_max_size=7), metadata=metadata,
                           timeout=PATIENCE)
        self.audited(server, "KeyValueStore/Config arguments=storage_mode=3 aof_max_size=7 outcome=OK")
        self.get(server, "k", metadata)
        self.assertNotIn("/Get", server.log.text())

    def test_stream_leaves_its_line_when_it_is_over(self):
        self.user("root", "admin")
        server = self.serve()
        metadata = bearer(self.tokens["root"])
        for _ in server.admin.Backup(admin.BackupRequest(rate_bytes_per_second=1 << 30),
                                     metadata=metadata, timeout=PATIENCE):
            pass
        self.audited(server, "AdminService/Backup arguments=rate_bytes_per_second=1073741824 outcome=OK")

    def test_refused_call_leaves_a_line_that_names_who_was_refused(self):
        self.user("ann", "readwrite:*")
        server = self.serve()
        self.assertFails(DENIED, lambda: server.admin.Save(
            admin.SaveRequest(), metadata=bearer(self.tokens["ann"]), timeout=PATIENCE))
        self.audited(server, "Save outcome=PERMISSION_DENIED", "user=ann peer=127.0.0.1:")
        self.assertFails(UNKNOWN, lambda: server.admin.Save(admin.SaveRequest(), timeout=PATIENCE))
        self.audited(server, "Save outcome=UNAUTHENTICATED", "user=- peer=127.0.0.1:")

    def test_call_is_audited_without_a_users_file_too(self):
        server = self.start(mode="none")
        server.admin.ListPlugins(admin.ListPluginsRequest(), timeout=PATIENCE)
        self.audited(server, "ListPlugins arguments=- outcome=OK", "user=- peer=127.0.0.1:")

    @unittest.skipIf(harness.WIRE == "grpc", "engine grpc does not know the uid")
    def test_process_of_this_machine_is_named_by_its_uid(self):
        server = self.start(mode="none", listen=f"unix:{self.folder}/socket")
        server.admin.ListPlugins(admin.ListPluginsRequest(), timeout=PATIENCE)
        self.audited(server, "ListPlugins arguments=- outcome=OK", f"user=- peer=unix: uid={os.geteuid()} ")


class Guesses(AccessCase):
    """Those who guess tokens are slowed down, and nobody else is."""

    def guess(self, server, count):
        return [server.stub.Get.future(kv.GetRequest(key="k"), timeout=PATIENCE,
                                       metadata=bearer("kvs_" + secrets.token_urlsafe(32)))
                for _ in range(count)]

    def test_network_that_guesses_has_few_tokens_looked_at_and_those_who_are_known_are_served(self):
        self.user("ann", "readwrite:*")
        server = self.serve("--workers", "1")
        ann = bearer(self.tokens["ann"])
        self.get(server, "k", ann)
        calls = self.guess(server, 200)
        self.get(server, "k", ann)  # known on this connection
        codes = [call.exception().code() for call in calls]
        self.assertEqual(set(codes), {UNKNOWN, grpc.StatusCode.UNAVAILABLE})
        unseen = next(call for call in calls if call.code() == grpc.StatusCode.UNAVAILABLE)
        self.assertIn("too many unknown ones have come from this network", unseen.details())
        self.assertIn(b"TOO_MANY_UNKNOWN_TOKENS",
                      dict(unseen.trailing_metadata())["grpc-status-details-bin"])
        with harness.open_channel(server.address) as channel:  # in a while others are let in again
            stub = harness.kv_grpc.KeyValueStoreStub(channel)
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    stub.Get(kv.GetRequest(key="k"), metadata=ann, timeout=PATIENCE)
                    break
                except grpc.RpcError as error:
                    self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
                    self.assertLess(time.monotonic(), deadline)

    def test_guess_is_no_slow_call(self):
        self.user("root", "admin")
        server = self.serve("--slow-ms", "1")
        self.assertEqual(self.guess(server, 1)[0].exception().code(), UNKNOWN)
        slow = server.admin.ListSlowCalls(admin.ListSlowCallsRequest(), timeout=PATIENCE,
                                          metadata=bearer(self.tokens["root"])).calls
        self.assertEqual([call for call in slow if call.call.code == UNKNOWN.value[0]], [])

    def test_guess_that_waits_is_answered_when_the_server_stops(self):
        self.user("ann", "readwrite:*")
        server = self.serve()
        call = self.guess(server, 1)[0]
        self.assertLogs(server, "refused a kvstore.GetRequest")
        server.terminate()
        self.assertEqual(call.exception().code(), UNKNOWN)


@unittest.skipIf(harness.WIRE == "grpc", "engine grpc has no TLS")
class Document(harness.Case):
    def test_steps_of_docs_security_md_work_as_written(self):
        with open(os.path.join(harness.ROOT, "docs", "security.md"), encoding="utf-8") as file:
            steps = file.read().partition("## Step by step")[2].partition("\n## ")[0]
        blocks = re.findall(r"^   ```(?:sh)?\n(.*?)^   ```$", steps, re.MULTILINE | re.DOTALL)
        self.assertEqual(len(blocks), 5)
        address = "localhost:50051"

        def run(script):
            path = f"{os.path.dirname(os.path.abspath(harness.CLI))}:{os.environ['PATH']}"
            done = subprocess.run(["bash", "-e", "-c", script.replace("localhost:50051", address)],
                                  cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE,
                                  env=harness.environment(PATH=path), check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            return done.stdout

        run(blocks[0])
        self.assertIn("ann", run(blocks[1]))
        program, listen, _, *flags = shlex.split(blocks[2])
        self.assertEqual((program, listen), ("kvstore-server", "--listen"))
        flags = [os.path.join(self.folder, flag) if not flag.startswith("-") else flag for flag in flags]
        server = self.start(mode="none", flags=flags, wait=False)
        self.assertLogs(server, " info ready")
        address = "localhost:" + server.log.wait_for("listening on ").rsplit(":", 1)[1].strip()
        self.assertTrue(run(blocks[3]).startswith("OK\nhello\n"))
        run(blocks[4])
        os.kill(server.pid, signal.SIGHUP)
        self.assertLogs(server, "1 users")
        with self.assertRaises(AssertionError) as refused:
            run(blocks[3])
        self.assertIn("UNAUTHENTICATED", str(refused.exception))


class Files(AccessCase):
    def test_bad_file_refuses_the_start_with_the_line(self):
        self.user("ann", "readwrite:*")
        self.write("bob read:* token=sha256:short")
        for flags in ([], ["--check-config"]):
            self.assertRefusesToStart("line 2", mode="none", flags=["--users", self.path, *flags])
        self.assertRefusesToStart("No such file", mode="none", flags=["--users", "/nowhere"])
        self.write()
        os.chmod(self.path, 0o666)
        self.assertRefusesToStart("others may write the users file", "chmod o-w", mode="none",
                                  flags=["--users", self.path])

    def test_user_that_is_removed_or_gets_other_grants_is_refused_on_a_connection_that_is_open(self):
        self.user("ann", "readwrite:*")
        self.user("bob", "readwrite:*")
        server = self.serve()
        for name in self.tokens:
            self.get(server, "k", bearer(self.tokens[name]))
        self.user("bob", "readwrite:other/", proof=self.lines["bob"].split()[-1])
        del self.lines["ann"]
        self.write()
        self.reload(server, "1 users")
        self.assertFails(UNKNOWN, lambda: self.get(server, "k", bearer(self.tokens["ann"])))
        self.assertFails(DENIED, lambda: self.get(server, "k", bearer(self.tokens["bob"])))
        self.assertFalse(self.get(server, "other/", bearer(self.tokens["bob"])).found)

    def test_bad_new_file_leaves_the_users_as_they_were(self):
        self.user("ann", "readwrite:*")
        server = self.serve()
        self.write("bob nonsense")
        self.reload(server, "THE NEW USERS ARE NOT USED")
        self.assertIn("line 2", server.log.text())
        self.assertFalse(self.get(server, "k", bearer(self.tokens["ann"])).found)
        os.remove(self.path)
        self.reload(server, "No such file")
        self.assertFalse(self.get(server, "k", bearer(self.tokens["ann"])).found)

    def test_changed_file_is_seen_without_a_signal(self):
        self.user("ann", "readwrite:*")
        server = self.serve()
        self.user("bob", "readwrite:*")
        self.write()
        self.assertLogs(server, "2 users")
        self.assertFalse(self.get(server, "k", bearer(self.tokens["bob"])).found)


if __name__ == "__main__":
    harness.main()
