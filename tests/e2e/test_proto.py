"""The protocol as client authors use it: generators find the packages that their languages need,
and the frozen part is unchanged."""
import os
import shutil
import subprocess
import tempfile
import unittest

from google.protobuf import descriptor_pb2

import harness

PROTO = os.path.join(harness.ROOT, "proto")
FROZEN = os.path.join(harness.ROOT, "tests", "e2e")
METHODS = ("Set", "Get", "Del", "Keys", "Config")


def files_below(folder):
    return {os.path.relpath(os.path.join(place, name), folder)
            for place, _, names in os.walk(folder) for name in names}


def fields(message):
    return {field.name: (field.number, field.type, field.label) for field in message.field}


class Proto(unittest.TestCase):
    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="kvstore-proto-")
        self.addCleanup(temporary.cleanup)
        self.folder = temporary.name

    def generate(self, option, path, name="kvstore"):
        done = subprocess.run(["protoc", f"-I{path}", f"--{option}", f"{name}.proto"],
                              stderr=subprocess.PIPE, timeout=harness.PATIENCE)
        self.assertEqual(done.returncode, 0, done.stderr.decode())

    def descriptor(self, path, name):
        file = os.path.join(self.folder, "set")
        self.generate(f"descriptor_set_out={file}", path, name)
        with open(file, "rb") as data:
            return descriptor_pb2.FileDescriptorSet.FromString(data.read()).file[0]

    def test_generators_of_other_languages_put_the_code_into_a_package_of_its_own(self):
        for language, expected in {
                "java": "kvstore/client/SetRequest.java",
                "csharp": "Kvstore.cs",
                "php": "Kvstore/Client/SetRequest.php",
                "objc": "Kvstore.pbobjc.h"}.items():
            with self.subTest(language=language):
                folder = os.path.join(self.folder, language)
                os.mkdir(folder)
                self.generate(f"{language}_out={folder}", PROTO)
                self.assertIn(expected, files_below(folder))
        self.assertEqual(self.descriptor(PROTO, "kvstore").options.go_package,
                         "kvstore/kvstorepb;kvstorepb")

    def test_the_frozen_calls_are_on_the_wire_as_they_were(self):
        now, frozen = self.descriptor(PROTO, "kvstore"), self.descriptor(FROZEN, "frozen")
        self.assertEqual(now.package, frozen.package)
        self.assertEqual([(method.name, method.input_type, method.output_type)
                          for method in now.service[0].method if method.name in METHODS],
                         [(method.name, method.input_type, method.output_type)
                          for method in frozen.service[0].method])
        messages = {message.name: fields(message) for message in now.message_type}
        for message in frozen.message_type:
            self.assertLessEqual(fields(message).items(), messages[message.name].items(),
                                 message.name)
        self.assertEqual([value for value in now.enum_type[0].value],
                         [value for value in frozen.enum_type[0].value])


BUF = os.path.join(harness.ROOT, "build", "lint", "node_modules", ".bin", "buf")


@unittest.skipUnless(os.path.exists(BUF), "scripts/lint, which installs buf, has not run")
class EarlierCommits(unittest.TestCase):
    """scripts/check-protos, in a repository of its own."""

    PROTO = 'syntax = "proto3";\npackage test.v1;\nmessage Message {\n%s\n}\n'

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="kvstore-proto-")
        self.addCleanup(temporary.cleanup)
        self.folder = os.path.join(temporary.name, "project")
        os.makedirs(os.path.join(self.folder, "scripts"))
        os.makedirs(os.path.join(self.folder, "proto"))
        shutil.copy(os.path.join(harness.ROOT, "scripts", "check-protos"),
                    os.path.join(self.folder, "scripts"))
        shutil.copy(os.path.join(harness.ROOT, "buf.yaml"), self.folder)
        self.git("init", "--quiet")
        self.commit("string key = 1;", "the first")

    def git(self, *arguments):
        subprocess.run(["git", "-c", "user.name=test", "-c", "user.email=test@localhost", *arguments],
                       cwd=self.folder, check=True, timeout=harness.PATIENCE,
                       stdout=subprocess.DEVNULL)

    def write(self, fields):
        with open(os.path.join(self.folder, "proto", "test.proto"), "w", encoding="ascii") as file:
            file.write(self.PROTO % fields)

    def commit(self, fields, subject):
        self.write(fields)
        self.git("add", ".")
        self.git("commit", "--quiet", "-m", subject)

    def check(self, folder=None):
        """Whether nothing was found, and what was printed."""
        done = subprocess.run(["scripts/check-protos", BUF], cwd=folder or self.folder,
                              capture_output=True, text=True, timeout=harness.PATIENCE, check=False)
        self.assertIn(done.returncode, (0, 1), done.stderr)
        return done.returncode == 0, done.stdout + done.stderr

    def assertBreaks(self, *texts):
        passed, text = self.check()
        self.assertFalse(passed, "nothing was found")
        for expected in texts:
            self.assertIn(expected, text)

    def test_first_commit_and_an_addition_break_nothing(self):
        self.assertEqual(self.check(), (True, ""))
        self.write("string key = 1; bytes value = 2;")
        self.assertEqual(self.check(), (True, ""))
        self.commit("string key = 1; bytes value = 2;", "more")
        self.assertEqual(self.check(), (True, ""))

    def test_change_that_is_not_committed_is_compared_with_the_last_commit(self):
        self.write("string name = 1;")
        self.assertBreaks("key", "name", "the first", "add instead")

    def test_commit_is_compared_with_the_one_before_the_last_that_changed_the_files(self):
        self.commit("string key = 2;", "renumbered")
        self.assertBreaks("the first")
        self.git("commit", "--quiet", "--allow-empty", "-m", "something else")
        self.assertBreaks("the first")

    def test_what_was_released_is_not_broken_in_steps_either(self):
        self.git("tag", "v1.0.0")
        self.commit("string key = 2;", "renumbered")
        self.commit("string key = 2; bytes value = 3;", "more")
        self.assertBreaks("the first")

    def test_of_the_frozen_service_only_what_moved_before_a_release_may_go(self):
        text = """syntax = "proto3";
package kvstore;
service KeyValueStore {
  rpc Get(GetRequest) returns (GetRequest);
%s}
message GetRequest {
  string %s = 1;
}
%s"""
        path = os.path.join(self.folder, "proto", "kvstore.proto")
        moved = ("  rpc Scan(ScanRequest) returns (stream ScanRequest);\n",
                 "message ScanRequest {\n  string prefix = 1;\n}\n")
        for name, service, end in (("key", *moved), ("key", "", ""), ("name", "", "")):
            with open(path, "w", encoding="ascii") as file:
                file.write(text % (service, name, end))
            if end:
                self.git("add", ".")
                self.git("commit", "--quiet", "-m", "the service")
            elif name == "key":
                self.assertEqual(self.check(), (True, ""))
        self.assertBreaks("name", "the service")

    def test_shallow_clone_says_that_nothing_was_compared_and_what_to_do(self):
        self.commit("string key = 1; bytes value = 2;", "more")
        shallow = f"{self.folder}-shallow"
        self.git("clone", "--quiet", "--depth=1", f"file://{self.folder}", shallow)
        passed, text = self.check(shallow)
        self.assertTrue(passed)
        self.assertIn("NOT RUN", text)
        self.assertIn("git fetch --unshallow", text)


if __name__ == "__main__":
    harness.main()
