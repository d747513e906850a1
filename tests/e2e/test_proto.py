"""The protocol as client authors use it: generators find the packages that their languages need,
and the frozen part is unchanged."""
import os
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


if __name__ == "__main__":
    harness.main()
