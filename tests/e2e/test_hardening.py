"""What the compiler and the linker were asked for stands in every program and plug-in that is built."""
import glob
import os
import platform
import re
import subprocess
import unittest

BIN = os.environ["KVSTORE_TEST_BIN"]
PROGRAMS = sorted(glob.glob(os.path.join(BIN, "kvstore-*")))
PLUGINS = sorted(glob.glob(os.path.join(os.environ["KVSTORE_TEST_PLUGINS"], "*.so")))
# The instruction that an indirect jump may arrive at.
ENDBR64 = b"\xf3\x0f\x1e\xfa"
# Forms of calls on files that check their arguments. The fault shim and the crash recorder stand in
# front of the plain forms alone, and would miss a call of these.
FORTIFIED_FILE_CALL = re.compile(
    r"__(?:(?:open|openat)(?:64)?_2|(?:read|pread|pread64|readlinkat|realpath)_chk)$")


def readelf(option, path):
    return subprocess.run(["readelf", option, "--wide", path], check=True, capture_output=True,
                          text=True, env={**os.environ, "LC_ALL": "C"}).stdout


def symbols(path):
    return {line.split()[7].split("@")[0] for line in readelf("--dyn-syms", path).splitlines()
            if len(line.split()) > 7}


class Hardening(unittest.TestCase):
    def assert_each(self, paths, holds):
        self.assertGreaterEqual(len(paths), 5)
        self.assertEqual([os.path.basename(path) for path in paths if not holds(path)], [])

    def assert_readelf(self, option, paths, pattern):
        self.assert_each(paths, lambda path: re.search(pattern, readelf(option, path)))

    def test_a_program_can_lie_at_any_address(self):
        self.assert_readelf("--dynamic", PROGRAMS, r"\(FLAGS_1\) .*\bPIE\b")

    def test_addresses_of_functions_are_resolved_at_the_start_and_read_only_then(self):
        self.assert_readelf("--dynamic", PROGRAMS + PLUGINS, r"\(FLAGS\) .*\bBIND_NOW\b")
        self.assert_readelf("--program-headers", PROGRAMS + PLUGINS, r"\n +GNU_RELRO ")

    def test_the_stack_is_not_executable(self):
        self.assert_readelf("--program-headers", PROGRAMS + PLUGINS,
                            r"\n +GNU_STACK +(0x\S+ +){5}RW ")

    def test_an_overrun_of_a_buffer_on_the_stack_is_noticed(self):
        with_buffers = [path for path in PROGRAMS + PLUGINS if not path.endswith("/none.so")]
        self.assert_each(with_buffers, lambda path: "__stack_chk_fail" in symbols(path))

    def test_copies_into_buffers_of_known_size_are_checked(self):
        self.assertIn("__vsnprintf_chk", symbols(os.path.join(BIN, "kvstore-server")))

    @unittest.skipUnless(platform.machine() == "x86_64", "of x86 processors")
    def test_indirect_jumps_arrive_at_marked_places_only(self):
        with open(os.path.join(BIN, "kvstore-server"), "rb") as file:
            self.assertGreater(file.read().count(ENDBR64), 50)

    def test_no_call_on_a_file_escapes_the_fault_shim_in_its_checked_form(self):
        escaped = {name for path in [os.path.join(BIN, "kvstore-server"), *PLUGINS]
                   for name in symbols(path) if FORTIFIED_FILE_CALL.match(name)}
        self.assertEqual(escaped, set(), "give open constant flags, or let tests/fault/shim_files.c "
                         "and tests/crash/recorder.c stand in front of these too")


if __name__ == "__main__":
    unittest.main(verbosity=2)
