"""The conformance kit on correct plug-ins, and on plug-ins with one fault each."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

BIN, BUILT, OWN, BAD = (os.path.realpath(os.environ[name]) for name in (
    "KVSTORE_TEST_BIN", "KVSTORE_TEST_PLUGINS", "KVSTORE_TEST_SDK_PLUGINS",
    "KVSTORE_TEST_BAD_PLUGINS"))
SEED = "20"

# Plug-ins with one fault each, the case that must find it, and words of its report.
FAULTS = [
    ("exports_more", "symbols", "journal_helper"),
    ("loses_last", "reload", "is missing"),
    ("acknowledges_first", "kill", "acknowledged effects are lost"),
    ("wrong_order", "order", "after a restart"),
    ("ignores_deletes", "reload", "must not be"),
    ("leaks_memory", "reopen", "bytes of memory"),
    ("leaks_files", "reopen", "files are open"),
    ("keeps_thread", "reopen", "threads still run"),
    ("tears_joined", "joined", "middle of a joined run"),
    ("cuts_at_zero", "binary", "bytes"),
    ("drops_large", "sizes", "is missing"),
    ("drops_many", "batches", "after a restart"),
    ("ignores_failed_sync", "sync-fails", "although its sync failed"),
    ("ignores_failed_sync_in_tick", "sync-fails", "although nothing could be synced"),
    ("ignores_failed_sync_of_base", "sync-fails", "although the sync of a file failed"),
    ("never_syncs", "sync", "has synced nothing"),
    ("keeps_refused", "disk-full", "after a full disk"),
    ("keeps_refused_for_tick", "disk-full", "after a full disk"),
    ("forgets_rotation", "disk-full", "was promised"),
    ("shutdown_drops_first", "disk-full", "was promised"),
    ("crashes_when_failed", "sync-fails", "after on_write has failed"),
    ("writes_outside", "stays-inside", "outside of its directory"),
    ("crashes_on_empty", "empty", "crashed (Aborted) while in on_load"),
    ("forgets_sequence", "sequence", "host->loaded_to"),
    ("forgets_expiry", "expiry", "expires_at_ms"),
    ("forgets_versions", "versions", "and its last change was of"),
    ("expires_all", "expired", "written without it"),
    ("merges_changes", "history", "where that of"),
    ("takes_other_store", "other-store", "another store"),
    ("removes_foreign", "foreign-files", "has vanished"),
    ("ignores_host_size", "older-host", "beyond host->size"),
    ("calls_null", "older-host", "in on_load with a host that leaves load_note"),
    ("refuses_unknown_tick", "newer-host", "a reason that it does not know"),
    ("ignores_view", "switch-in", "is missing"),
    ("trusts_first_batch", "attach", "after a restart"),
    ("keeps_view", "copies", "after a restart: key"),
    ("reads_until_short", "short-reads", "is missing"),
    ("aborts_on_view", "view-size", "crashed (Aborted) while in on_tick, reason KVS_TICK_CHECKPOINT"),
    ("exits", "reload", "ended the process (exit status 0) while in on_write"),
    ("checkpoint_drops_later", "ticks-beside-writes", "after a restart"),
    ("drops_unpublished", "unpublished", "after a restart"),
    ("declares_last", "behind", "after a restart"),
    ("goes_on_loading", "load-refused", "returns KVS_OK"),
    ("shares_state", "instances", "is missing"),
    ("bound_to_thread", "threads", "another thread"),
    ("crashes_on_option", "options", "while in open with option level=9"),
    ("crashes_at_unload", "unload", "crashed"),
    ("hangs", "reload", "it took more than 2 seconds"),
    ("ignores_view", "checkpoint", "after a checkpoint and a kill"),
    ("ignores_view", "shutdown", "after an orderly end"),
    ("shares_state", "switch-out", "on_write refuses"),
]

# Descriptors that the server refuses, by the words in the refusal.
DESCRIPTORS = {
    "no_symbol": "does not export the symbol kvstore_plugin",
    "other_abi": "ABI 99",
    "short_descriptor": "its descriptor has 40 bytes",
    "other_name": "must have the same name",
    "missing_hook": "lacks the hook on_write",
    "no_load": "lacks the hook on_load",
    "no_tick": "lacks the hook on_tick",
    "bad_default": "default value",
    "durable_prompt": "KVS_PLUGIN_PROMPT",
}


def check(path, *arguments):
    """Exit code, results by case, and the text for people."""
    done = subprocess.run([os.path.join(BIN, "kvstore-plugin-check"), "--seed", SEED, "--json", "-",
                           *arguments, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=500, check=False)
    cases = json.loads(done.stdout)["cases"] if done.stdout else []
    return done.returncode, {case["name"]: case for case in cases}, done.stderr


def is_sanitized():
    """Whether the fault library cannot be loaded and memory cannot be counted."""
    with open(os.path.join(BIN, "kvstore-plugin-check"), "rb") as file:
        return b"__asan_init" in file.read()


# Cases that need the fault library, or the C library's memory as it is.
UNSANITIZED = {"sync", "sync-fails", "disk-full"}

# A plug-in that reads the host's memory too late: a sanitizer ends it before the kit can compare
# what it read.
READS_FREED_MEMORY = {"keeps_view"}


class Kit(unittest.TestCase):
    def passes(self, path, *arguments, skips=()):
        """Every case passes, except for those named, which do not apply to the plug-in."""
        code, cases, text = check(path, *arguments)
        self.assertEqual(code, 0, text)
        skips = set(skips) | (UNSANITIZED if is_sanitized() else set())
        self.assertEqual({name for name, case in cases.items() if case["result"] == "skipped"},
                         skips, text)
        passed = {name for name, case in cases.items() if case["result"] == "ok"}
        self.assertEqual(passed, ALL - skips, text)


def list_cases():
    done = subprocess.run([os.path.join(BIN, "kvstore-plugin-check"), "--list"], text=True,
                          stdout=subprocess.PIPE, timeout=60, check=True)
    return {line.split()[0] for line in done.stdout.splitlines()}


ALL = list_cases()


def make_key(test):
    """A key file for encrypt, in a folder that ends with the test."""
    folder = tempfile.mkdtemp(prefix="kvstore-kit-")
    test.addCleanup(shutil.rmtree, folder)
    path = os.path.join(folder, "key")
    with open(path, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(os.urandom(32))
    return path


class Builtin(Kit):
    """The four that come with the server keep what they promise."""

    def test_none(self):
        # One that promises to keep nothing is asked for the following alone.
        kept = {"symbols", "descriptor", "options", "empty", "shutdown", "ticks-beside-writes",
                "threads", "reopen", "instances", "switch-out", "stays-inside", "older-host",
                "newer-host", "unload"}
        self.passes(os.path.join(BUILT, "none.so"), skips=ALL - kept)

    def test_snapshot(self):
        self.passes(os.path.join(BUILT, "snapshot.so"), skips={"history"})

    def test_aof(self):
        self.passes(os.path.join(BUILT, "aof.so"))

    def test_hybrid(self):
        self.passes(os.path.join(BUILT, "hybrid.so"))

    def test_options_are_passed_on(self):
        self.passes(os.path.join(BUILT, "hybrid.so"), "--option", "fsync=everysec",
                    "--option", "aof_max_size=64K")


class Stacked(Kit):
    """A plug-in over another keeps its promise: encrypt, over plug-ins that copy what a view gives
    and over one that relies on it until its hook returns."""

    def setUp(self):
        self.key = make_key(self)
        self.folder = os.path.dirname(self.key)

    def passes_over(self, folder, inner, *arguments):
        self.passes(os.path.join(folder, "encrypt.so"), "--option", f"inner={inner}",
                    "--option", f"key_file={self.key}", *arguments, skips={"copies"})

    def test_encrypt_over_hybrid(self):
        self.passes_over(BUILT, "hybrid")

    def test_encrypt_over_aof_with_options(self):
        self.passes_over(BUILT, "aof", "--option", "inner_options=fsync=everysec,aof_max_size=64K")

    def test_encrypt_over_a_plugin_that_keeps_what_a_view_gives(self):
        plugins = os.path.join(self.folder, "plugins")
        os.mkdir(plugins, 0o755)
        shutil.copy(os.path.join(BUILT, "encrypt.so"), plugins)
        shutil.copy(os.path.join(OWN, "good.so"), plugins)
        self.passes_over(plugins, "good")

    def test_an_inner_plugin_that_does_not_fit_is_named(self):
        code, cases, text = check(os.path.join(BUILT, "encrypt.so"), "--case", "reload", "--option",
                                  "inner=snapshot", "--option", f"key_file={self.key}")
        self.assertEqual(code, 1, text)
        self.assertIn("only the last checkpoint", cases["reload"]["text"])


class Good(Kit):
    def test_the_plugin_that_the_faults_are_built_from_passes(self):
        self.passes(os.path.join(OWN, "good.so"), skips={"copies"})


class Faults(unittest.TestCase):
    """The case that is meant for a fault fails and says what is wrong."""

    def test_faults(self):
        for name, case, words in FAULTS:
            if is_sanitized() and case in UNSANITIZED | {"reopen", "joined"}:
                continue
            if is_sanitized() and name in READS_FREED_MEMORY:
                words = "it ended the process"
            with self.subTest(fault=name, case=case):
                limit = ("--timeout", "2") if name == "hangs" else ()
                code, cases, text = check(os.path.join(OWN, name + ".so"), "--case", case, *limit)
                self.assertEqual(code, 1, text)
                self.assertEqual(cases[case]["result"], "failed", text)
                self.assertNotEqual(words, "")
                self.assertIn(words, cases[case]["text"])

    def test_every_case_has_a_plugin_that_fails_it(self):
        self.assertEqual({case for _, case, _ in FAULTS} | {"descriptor"}, ALL)

    def test_descriptors(self):
        for name, words in DESCRIPTORS.items():
            with self.subTest(descriptor=name):
                code, cases, text = check(os.path.join(BAD, name + ".so"))
                self.assertEqual(code, 1, text)
                self.assertEqual(cases["descriptor"]["result"], "failed", text)
                self.assertIn(words, cases["descriptor"]["text"])
                self.assertIn("were not run", text)
                self.assertNotIn("reload", cases)

    def test_a_file_that_others_may_write_is_refused(self):
        path = os.path.join(OWN, "hangs.so")
        os.chmod(path, 0o777)
        try:
            code, cases, text = check(path, "--case", "descriptor")
        finally:
            os.chmod(path, 0o755)
        self.assertEqual(code, 1, text)
        self.assertIn("chmod go-w", cases["descriptor"]["text"])


class Program(unittest.TestCase):
    def run_kit(self, *arguments):
        return subprocess.run([os.path.join(BIN, "kvstore-plugin-check"), *arguments],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              timeout=60, check=False)

    def test_list_names_every_case(self):
        done = self.run_kit("--list")
        listed = [line.split()[0] for line in done.stdout.splitlines()]
        self.assertEqual(done.returncode, 0)
        self.assertEqual(len(listed), len(set(listed)))

    def test_what_it_cannot_begin_with(self):
        good = os.path.join(OWN, "good.so")
        for arguments in ((), ("/no/such.so",), (good, good), ("--case", "no-such", good),
                          ("--option", "novalue", good), ("--seed", "x", good), ("--what", good),
                          (__file__,)):
            with self.subTest(arguments=arguments):
                done = self.run_kit(*arguments)
                self.assertEqual(done.returncode, 2)
                self.assertNotEqual(done.stderr, "")

    def test_text_says_which_promise_broke_and_how_to_repeat_it(self):
        path = os.path.join(OWN, "loses_last.so")
        done = self.run_kit("--case", "reload", "--seed", "5", "--option", "level=3", path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("FAIL", done.stdout)
        self.assertIn("what was acknowledged is there after a restart", done.stdout)
        self.assertIn(f"--case reload --seed 5 --option 'level=3' {path}", done.stdout)
        self.assertIn("0 passed, 1 failed, 0 skipped", done.stdout)

    def test_an_option_that_it_does_not_have_fails(self):
        done = self.run_kit("--case", "reload", "--option", "color=blue",
                            os.path.join(OWN, "good.so"))
        self.assertEqual(done.returncode, 1)
        self.assertIn("no option", done.stdout)


class Threads(unittest.TestCase):
    def test_cases_that_run_beside_each_other(self):
        options = ("--option", f"key_file={make_key(self)}")
        for folder, name in ((BUILT, "none"), (BUILT, "snapshot"), (BUILT, "aof"),
                             (BUILT, "hybrid"), (BUILT, "encrypt"), (OWN, "good")):
            with self.subTest(plugin=name):
                code, cases, text = check(os.path.join(folder, name + ".so"), "--case", "threads",
                                          "--case", "ticks-beside-writes", "--case", "switch-in",
                                          *(options if name == "encrypt" else ()))
                self.assertEqual(code, 0, text)
                self.assertEqual(len(cases), 3)

    def test_a_race_of_on_tick_and_on_write_is_found(self):
        code, cases, text = check(os.path.join(OWN, "races.so"), "--case", "ticks-beside-writes")
        self.assertEqual(code, 1, text)
        self.assertEqual(cases["ticks-beside-writes"]["result"], "failed")
        self.assertIn("data race", text)


if __name__ == "__main__":
    unittest.main()
