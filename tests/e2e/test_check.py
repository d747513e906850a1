"""kvstore-check against the server: it predicts what a start on the data directory does."""
import os
import random
import re
import shlex
import shutil
import subprocess

import harness
import store_files
from store_files import CANNOT, DAMAGED, SOUND, check

MODES = {
    "none": [],
    "snapshot": ["max_snapshots=3"],
    "aof": ["aof_max_size=4096"],
    "hybrid": ["aof_max_size=4096", "max_snapshots=3"],
}
SUCCESSOR_SIZE = 44  # of the record that ends a segment and announces the next one
OPERATIONS = 60


class CheckCase(harness.Case):
    def make(self, mode, data="data", orderly=False, saves=(20, 40)):
        """A store with a history that was killed: its directory, and its state at each sequence."""
        server = self.start(data=data, mode=mode, options=MODES[mode])
        state, states = {}, {0: {}}
        for i in range(OPERATIONS):
            key, value = f"k{i % 23:02}", b"value %03d " % i + b"v" * (i * 7 % 300)
            if i % 9 == 8 and key in state:
                server.delete(key)
                del state[key]
            else:
                server.set(key, value)
                state[key] = value
            states[server.status().version] = dict(state)
            if i in saves and mode != "none":
                server.save()
        server.stop() if orderly else server.kill9()
        return server.data, states

    def copy_of(self, data, name="copy"):
        path = os.path.join(self.folder, name)
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(data, path)
        return path

    def assertServes(self, data, start, states=None):
        """A server that starts on the directory serves what the report says."""
        server = self.start(data=data)
        entries = server.scan()
        status = server.status()
        server.kill9()
        self.assertEqual(store_files.digest(entries), start["digest"])
        self.assertEqual((status.recovery.version, status.keys, status.bytes),
                         (start["sequence"], start["keys"], start["bytes"]))
        if states is not None:
            self.assertEqual(dict(entries), states[start["sequence"]])

    def assertAgrees(self, data, states=None):
        """Compares kvstore-check with a server; returns exit code and report."""
        before = store_files.fingerprint(data)
        code, report = check(data)
        self.assertEqual(store_files.fingerprint(data), before, "the check changed something")
        start = report["start"]
        if start["refused"]:
            self.assertEqual(code, DAMAGED, report)
            self.assertRefusesToStart(start["message"], data=data)
            # A refused start changes nothing, except for its own LOCK and the directories that a
            # plug-in creates at once.
            self.assertEqual([entry for entry in before if len(entry) == 4
                              and not entry[0].endswith("/LOCK")],
                             [entry for entry in store_files.fingerprint(data) if len(entry) == 4
                              and not entry[0].endswith("/LOCK")])
            return code, report
        kept = {name for name in store_files.files_below(data) if name.endswith(".torn")}
        self.assertServes(data, start, states)
        torn = {name for name in store_files.files_below(data) if name.endswith(".torn")} - kept
        self.assertEqual(len(torn), len(start["torn"]))
        for item in start["torn"]:
            name = f"{item['file'][:-len('.log')]}-{item['offset']}.torn"
            path = next(path for path in torn if path.endswith("/" + name))
            self.assertEqual(os.path.getsize(path), item["bytes"])
        return code, report

    def assertRecovers(self, data, states):
        """A repaired copy can be made, starts, and holds a prefix; returns its report."""
        before = store_files.fingerprint(data)
        output = os.path.join(self.folder, "repaired")
        shutil.rmtree(output, ignore_errors=True)
        code, report = check("--recover=prefix", "--output", output, data)
        self.assertEqual(code, SOUND, report)
        self.assertEqual(store_files.fingerprint(data), before, "the original was changed")
        recovered = report["recovered"]
        self.assertIn(recovered["sequence"], states)
        again, copy_report = check(output)
        self.assertEqual(again, SOUND, copy_report)
        self.assertEqual(copy_report["store"], report["store"])
        self.assertServes(output, recovered, states)
        return report


class Sound(CheckCase):
    def test_what_a_start_reaches_is_reported_in_every_mode(self):
        for mode in MODES:
            for orderly in (False, True):
                with self.subTest(mode=mode, orderly=orderly):
                    data, states = self.make(mode, f"{mode}{orderly}", orderly)
                    if mode == "none":
                        states = None
                    code, report = self.assertAgrees(data, states)
                    self.assertEqual((code, report["verdict"]), (SOUND, "sound"))
                    self.assertEqual(report["plugin"], mode)
                    if mode in ("aof", "hybrid"):
                        self.assertEqual(report["start"]["sequence"], max(states))

    def test_the_report_names_each_file_with_its_records_and_sequences(self):
        data, _ = self.make("hybrid")
        code, report = check(data)
        (generation,) = report["generations"]
        below = os.path.join(data, "gen-000001")
        self.assertEqual([os.path.join(below, file["file"]) for file in generation["files"]],
                         store_files.files_below(below))
        segments = [file for file in generation["files"] if file["kind"] == "segment"]
        self.assertGreater(len(segments), 2)
        for before, after in zip(segments, segments[1:]):
            self.assertEqual(before["sequence"] + 1, after["first_sequence"])
        text = store_files.run_check(data).stdout.decode()
        for file in generation["files"]:
            self.assertIn(file["file"], text)
        self.assertTrue(text.endswith("verdict: sound\n"), text)
        self.assertEqual(code, SOUND)

    def test_an_unfinished_write_is_reported_and_is_not_damage(self):
        data, states = self.make("aof")
        newest = store_files.files_below(os.path.join(data, "gen-000001", "aof"))[-1]
        content = store_files.read(newest).rstrip(b"\0")
        store_files.write(newest, content[:-5])
        code, report = self.assertAgrees(data, states)
        self.assertEqual(code, SOUND)
        self.assertEqual(len(report["start"]["torn"]), 1)
        self.assertEqual(report["start"]["sequence"], max(states) - 1)

    def test_leftovers_of_a_switch_are_shown_and_are_not_damage(self):
        data, _ = self.make("aof")
        shutil.copytree(os.path.join(data, "gen-000001"), os.path.join(data, "gen-000002"))
        store_files.flip(store_files.files_below(os.path.join(data, "gen-000002"))[0], 20)
        code, report = self.assertAgrees(data)
        self.assertEqual(code, SOUND)
        self.assertEqual([part["active"] for part in report["generations"]], [True, False])
        self.assertEqual(report["generations"][1]["files"][0]["state"], "damaged")

    def test_an_empty_directory_is_called_empty_and_a_start_begins_a_fresh_store(self):
        data = os.path.join(self.folder, "empty")
        os.mkdir(data)
        code, report = check(data)
        self.assertEqual((code, report["verdict"], report["start"]),
                         (SOUND, "empty", {"refused": False}))
        text = store_files.run_check(data).stdout.decode()
        self.assertTrue(text.endswith("there is no data; a start would begin a fresh store\n"
                                      "verdict: empty\n"), text)
        self.assertEqual(os.listdir(data), [])
        self.assertEqual(self.start(data=data).status().keys, 0)

    def test_what_a_first_start_left_unfinished_is_called_empty(self):
        """As long as STARTING is there without ACTIVE, nothing was ever acknowledged."""
        data = os.path.join(self.folder, "begun")
        log = os.path.join(data, "gen-000001", "aof", "0000000001.log")
        os.makedirs(os.path.dirname(log), mode=0o700)
        store_files.write(log, b"unfinished" * 9)
        code, report = check(data)
        self.assertEqual((code, report["start"]["refused"]), (DAMAGED, True))
        self.assertNotIn(b"does not need", store_files.run_check(data).stdout)
        store_files.write(os.path.join(data, "STARTING"), b"")
        code, report = check(data)
        self.assertEqual((code, report["verdict"], report["start"]),
                         (SOUND, "empty", {"refused": False}))
        self.assertEqual(self.start(data=data).status().keys, 0)

    def test_a_store_without_keys_is_sound_and_not_empty(self):
        server = self.start(mode="aof")
        server.stop()
        code, report = self.assertAgrees(server.data)
        self.assertEqual((code, report["verdict"], report["start"]["keys"]), (SOUND, "sound", 0))

    def test_files_of_an_unknown_plugin_are_listed_and_not_judged(self):
        data, _ = self.make("aof")
        record = os.path.join(data, "ACTIVE")
        lines = store_files.read(record).decode().splitlines()[:-1]
        text = "".join(line + "\n" for line in lines).replace("plugin=aof", "plugin=foreign")
        checksum = store_files.xxhash.xxh3_64(text.encode()).hexdigest()
        store_files.write(record, f"{text}checksum={checksum}\n".encode())
        code, report = check(data)
        self.assertEqual((code, report["verdict"]), (CANNOT, "unknown"))
        self.assertEqual({file["state"] for file in report["generations"][0]["files"]},
                         {"not checked"})
        self.assertIn(b"cannot look inside", store_files.run_check(data).stdout)
        self.assertEqual(check("--recover=prefix", data)[0], CANNOT)


class Damage(CheckCase):
    def damage(self, data, rng):
        """Damages one file of the store in one way; returns a description."""
        path = rng.choice(store_files.files_below(os.path.join(data, "gen-000001")))
        size = len(store_files.read(path).rstrip(b"\0"))
        same_kind = [other for other in store_files.files_below(os.path.dirname(path))
                     if other != path]
        way = rng.choice(["flip", "flip", "flip", "shorten", "remove", "swap"])
        if way == "flip":
            offset, bit = rng.randrange(size), rng.randrange(8)
            store_files.flip(path, offset, bit)
            way = f"flip bit {bit} of byte {offset}"
        elif way == "shorten":
            way = f"shorten to {rng.randrange(size)}"
            os.truncate(path, int(way.split()[-1]))
        elif way == "swap" and same_kind:
            other = rng.choice(same_kind)
            content = store_files.read(path)
            store_files.write(path, store_files.read(other))
            store_files.write(other, content)
            way = f"swap with {os.path.basename(other)}"
        else:
            way = "remove"
            os.remove(path)
        return f"{os.path.relpath(path, data)}: {way}"

    def test_whatever_is_damaged_check_and_server_agree_and_a_copy_holds_a_prefix(self):
        for mode in ("snapshot", "aof", "hybrid"):
            data, states = self.make(mode, mode)
            for seed in range(16):
                victim = self.copy_of(data)
                rng = random.Random(seed)
                what = self.damage(victim, rng)
                with self.subTest(mode=mode, seed=seed, damage=what):
                    report = self.assertRecovers(victim, states)
                    code, again = self.assertAgrees(victim, states)
                    if not again["start"]["refused"]:
                        self.assertGreaterEqual(report["recovered"]["sequence"],
                                                again["start"]["sequence"])
                    elif not report["recovered"]["given_up"]:
                        self.assertEqual(report["recovered"]["sequence"], max(states))

    def test_the_copy_holds_all_before_the_damage_and_the_rest_is_reported(self):
        data, states = self.make("aof", saves=())
        for operation in (1, 17, 33, OPERATIONS - 2):
            with self.subTest(operation=operation):
                victim = self.copy_of(data)
                mark = b"value %03d " % operation
                path = next(path for path in store_files.files_below(victim)
                            if mark in store_files.read(path))
                store_files.flip(path, store_files.read(path).index(mark))
                code, _ = self.assertAgrees(victim)
                self.assertEqual(code, DAMAGED)
                recovered = self.assertRecovers(victim, states)["recovered"]
                lost = [sequence for sequence, state in states.items()
                        if mark in b"".join(state.values())]
                self.assertEqual(recovered["sequence"], min(lost) - 1)
                self.assertEqual(recovered["lost_after_sequence"], min(lost) - 1)
                (given_up,) = recovered["given_up"]
                self.assertEqual(given_up["file"], f"aof/{os.path.basename(path)}")
                later = [other for other in store_files.files_below(os.path.dirname(path))
                         if other >= path]
                total = sum(len(store_files.read(other).rstrip(b"\0")) for other in later)
                # All but the last end in a record that announces the next one and holds no data.
                total -= SUCCESSOR_SIZE * (len(later) - 1)
                self.assertEqual(given_up["bytes"], total - given_up["offset"])
                self.assertEqual(recovered["lost_known_to_sequence"], max(states))

    def test_what_is_known_to_be_lost_is_reported_though_it_is_behind_damage(self):
        """No later segment says where the newest one ends; its own records do."""
        for what, offset, kept in (("record", None, 1), ("header of the segment", 40, 0)):
            with self.subTest(damaged=what):
                server = self.start(data=what, mode="aof")
                for i in range(8):
                    server.set(f"key{i}", b"value %d" % i)
                server.kill9()
                log = os.path.join(server.data, "gen-000001", "aof", "0000000001.log")
                store_files.flip(log, offset or store_files.read(log).index(b"value 1"))
                output = server.data + ".recovered"
                _, report = check("--recover=prefix", f"--output={output}", server.data)
                recovered = report["recovered"]
                self.assertEqual((recovered["sequence"], recovered["keys"]), (kept, kept))
                self.assertEqual((recovered["lost_after_sequence"],
                                  recovered["lost_known_to_sequence"]), (kept, 8))
                shutil.rmtree(output)
                text = store_files.run_check("--recover=prefix", f"--output={output}",
                                             server.data).stdout.decode()
                self.assertIn(f"  lost: what came after sequence {kept}, at least up to 8\n", text)

    def test_names_of_any_bytes_are_shown_alike_in_text_and_json_and_control_nothing(self):
        server = self.start(mode="hybrid")
        server.set("key", b"v")
        server.kill9()
        top = os.path.join(server.data, "gen-000001").encode()
        names = {b"esc\x1b[31mred": r"esc\x1b[31mred", b"two\nlines: sound": r"two\x0alines: sound",
                 b"bad\xff\xc3utf": r"bad\xff\xc3utf", b"back\\x41slash": r"back\\x41slash",
                 "turned \u202e".encode(): r"turned \xe2\x80\xae", "gr\u00fcn".encode(): "gr\u00fcn",
                 b"0000000001-\x07.torn": r"0000000001-\x07.torn"}
        for name in names:
            for folder in (b"", b"aof", b"snapshots"):
                store_files.write(os.path.join(top, folder, name), b"")
        # A message that names such a file is escaped, too.
        store_files.write(os.path.join(top, b"aof", b"0000000002.log"), b"")
        code, report = check(server.data)
        self.assertEqual(code, DAMAGED)
        files = {file["file"] for file in report["generations"][0]["files"]}
        for shown in names.values():
            for folder in ("", "aof/", "snapshots/"):
                self.assertIn(folder + shown, files)
        text = store_files.run_check(server.data).stdout.decode()
        for shown in names.values():
            self.assertEqual(text.count(f"  {shown}: not checked, "), 1)
        self.assertEqual([c for c in text if c != "\n" and not c.isprintable()], [])
        odd = os.path.join(self.folder, "odd\x1b\n").encode()
        shutil.copytree(server.data.encode(), odd)
        text = store_files.run_check(odd).stdout.decode()
        self.assertIn(r"/odd\x1b\x0a", text)
        self.assertEqual([c for c in text if c != "\n" and not c.isprintable()], [])
        nowhere = store_files.run_check(odd + b"/no\x1bwhere")
        self.assertEqual(nowhere.returncode, CANNOT)
        self.assertIn(rb"no\x1bwhere", nowhere.stderr)

    def test_an_option_that_cannot_be_read_is_named(self):
        for arguments, said in ((["--bogus"], b"unknown option --bogus\n"),
                                (["--bo\x1bgus"], rb"unknown option --bo\x1bgus"),
                                (["--output"], b"option --output needs a value\n")):
            result = store_files.run_check(*arguments)
            self.assertEqual(result.returncode, CANNOT)
            self.assertIn(b"kvstore-check: " + said, result.stderr)
            self.assertIn(b"Try: kvstore-check --help", result.stderr)

    def test_a_copy_has_a_place_or_is_refused(self):
        data, _ = self.make("aof")
        before = store_files.fingerprint(self.folder)
        for arguments in (["--output=", data], [f"--output={data}.copy", ""]):
            result = store_files.run_check("--recover=prefix", *arguments)
            self.assertEqual(result.returncode, CANNOT)
            self.assertIn(b"Try: kvstore-check --help", result.stderr)
        self.assertEqual(store_files.fingerprint(self.folder), before)
        for place, arguments in ((".recovered", [data + "/"]),
                                 (".copy", [f"--output={data}.copy//", data])):
            result = store_files.run_check("--recover=prefix", *arguments)
            self.assertEqual(result.returncode, SOUND, result.stderr)
            self.assertTrue(os.path.isdir(data + place))
        self.assertEqual(check(data)[0], SOUND)

    def test_damage_in_what_a_snapshot_just_covers_costs_nothing(self):
        """The snapshot ends at exactly the segment's last sequence."""
        for what in ("header", "record"):
            with self.subTest(damaged=what):
                server = self.start(data=what, mode="hybrid")
                for i in range(3):
                    server.set(f"key{i}", b"value %d" % i)
                self.assertEqual(server.save().version, 3)
                for i in range(3, 6):
                    server.set(f"key{i}", b"value %d" % i)
                state = dict(server.scan())
                server.kill9()
                log = os.path.join(server.data, "gen-000001", "aof", "0000000001.log")
                store_files.flip(log, 40 if what == "header"
                                 else store_files.read(log).index(b"value 1"))
                _, report = check("--recover=prefix", server.data)
                # A start reads only its header, to check that the next segment follows it.
                self.assertEqual(report["start"]["refused"], what == "header")
                if what == "record":
                    self.assertServes(self.copy_of(server.data), report["start"], {6: state})
                recovered = report["recovered"]
                self.assertEqual((recovered["sequence"], recovered["lost_after_sequence"],
                                  recovered["given_up"]), (6, None, []))
                self.assertServes(server.data + ".recovered", recovered, {6: state})

    def test_damage_that_a_start_does_not_read_is_found_and_not_called_a_refusal(self):
        """A bit flips in a segment that the newest snapshot covers entirely."""
        data, states = self.make("hybrid")
        (generation,) = check(data)[1]["generations"]
        snapshot = max(file["sequence"] for file in generation["files"]
                       if file["kind"] == "snapshot")
        covered = next(file for file in generation["files"]
                       if file["kind"] == "segment" and file["sequence"] <= snapshot)
        path = os.path.join(data, "gen-000001", covered["file"])
        store_files.flip(path, store_files.read(path).index(b"value"))
        text = store_files.run_check(data).stdout.decode()
        self.assertRegex(text, rf"  {covered['file']}: damaged, .*\n    .*\n"
                               "    a start does not need this file\n")
        self.assertTrue(text.endswith("\nverdict: damaged, but a start would serve all data\n"),
                        text)
        self.assertNotIn("refused", text)
        code, report = self.assertAgrees(data, states)
        self.assertEqual((code, report["verdict"]), (DAMAGED, "damaged"))
        self.assertEqual(report["start"]["sequence"], max(states))

    def test_damage_that_a_start_reads_is_called_a_refusal(self):
        data, _ = self.make("aof", saves=())
        oldest = store_files.files_below(os.path.join(data, "gen-000001", "aof"))[0]
        store_files.flip(oldest, store_files.read(oldest).index(b"value"))
        text = store_files.run_check(data).stdout.decode()
        self.assertIn("\na start would be refused:\n", text)
        self.assertNotIn("does not need", text)
        self.assertTrue(text.endswith("\nverdict: damaged\n"), text)

    def test_a_damaged_header_is_not_a_fault_of_the_segment_before(self):
        data, states = self.make("aof", saves=())
        paths = store_files.files_below(os.path.join(data, "gen-000001", "aof"))
        store_files.flip(paths[1], 40)
        code, report = self.assertAgrees(data)
        self.assertEqual(code, DAMAGED)
        self.assertEqual([file["state"] for file in report["generations"][0]["files"]][:3],
                         ["sound", "damaged", "sound"])
        (given_up,) = self.assertRecovers(data, states)["recovered"]["given_up"]
        self.assertEqual((given_up["file"], given_up["offset"]),
                         (f"aof/{os.path.basename(paths[1])}", 0))
        self.assertIn("header at offset 0 is damaged", given_up["reason"])

    def test_a_damaged_snapshot_that_the_log_makes_up_for_is_found_though_a_start_succeeds(self):
        data, states = self.make("hybrid")
        newest = store_files.files_below(os.path.join(data, "gen-000001", "snapshots"))[-1]
        store_files.flip(newest, 100)
        code, report = self.assertAgrees(data, states)
        self.assertEqual(code, DAMAGED)
        self.assertEqual(len(report["start"]["passed_over"]), 1)
        self.assertEqual(report["start"]["sequence"], max(states))

    def test_the_remedy_that_a_refused_start_names_is_a_command_that_works(self):
        data, states = self.make("aof", saves=())
        oldest = store_files.files_below(os.path.join(data, "gen-000001", "aof"))[0]
        store_files.flip(oldest, len(store_files.read(oldest)) // 2)
        server = self.start(data=data, wait=False)
        server.wait_exit()
        command = re.search(r"kvstore-check --recover=prefix \S+", server.log.text()).group()
        path = f"{harness.BIN}:{os.environ.get('PATH', '')}"
        result = subprocess.run(shlex.split(command), env={"PATH": path}, capture_output=True,
                                timeout=harness.PATIENCE)
        self.assertEqual(result.returncode, SOUND, result.stderr)
        copy = self.start(data=data + ".recovered")
        self.assertEqual(dict(copy.scan()), states[copy.status().version])


class Record(CheckCase):
    def test_a_damaged_or_missing_record_is_refused_and_the_data_recovered_without_it(self):
        for mode in ("snapshot", "aof", "hybrid"):
            data, states = self.make(mode, mode)
            for way in ("flip", "shorten", "remove"):
                with self.subTest(mode=mode, way=way):
                    victim = self.copy_of(data)
                    record = os.path.join(victim, "ACTIVE")
                    if way == "flip":
                        store_files.flip(record, 30)
                    elif way == "shorten":
                        os.truncate(record, 40)
                    else:
                        os.remove(record)
                    code, report = self.assertAgrees(victim)
                    self.assertTrue(report["start"]["refused"])
                    recovered = self.assertRecovers(victim, states)["recovered"]
                    self.assertEqual(recovered["sequence"],
                                     40 + 1 if mode == "snapshot" else max(states))

    def test_a_record_that_names_a_missing_generation_is_refused(self):
        data, _ = self.make("aof")
        shutil.rmtree(os.path.join(data, "gen-000001"))
        code, report = self.assertAgrees(data)
        self.assertEqual(code, DAMAGED)

    def test_the_copy_keeps_store_mode_and_options(self):
        data, _ = self.make("hybrid")
        _, before = check(data)
        output = os.path.join(self.folder, "copy")
        self.assertEqual(check("--recover=prefix", "--output", output, data)[0], SOUND)
        _, after = check(output)
        for name in ("store", "plugin", "options", "generation"):
            self.assertEqual(after[name], before[name])


class Manners(CheckCase):
    def test_a_directory_in_use_is_refused_and_one_under_check_is_not_started_on(self):
        server = self.start(mode="aof")
        result = store_files.run_check(server.data)
        self.assertEqual(result.returncode, CANNOT)
        self.assertIn(b"in use by another server, process id %d" % server.pid, result.stderr)
        server.stop()
        self.assertEqual(check(server.data)[0], SOUND)

    def test_wrong_usage_and_what_cannot_be_read_end_with_2(self):
        for arguments in ([], ["a", "b"], ["--frob", "a"], ["--recover=all", "a"],
                          ["--output", "x", "a"], [os.path.join(self.folder, "missing")]):
            with self.subTest(arguments=arguments):
                result = store_files.run_check(*arguments)
                self.assertEqual(result.returncode, CANNOT)
                self.assertNotEqual(result.stderr, b"")
        self.assertIn(b"usage", store_files.run_check("--help").stdout)
        self.assertRegex(store_files.run_check("--version").stdout, rb"\d+\.\d+\.\d+")

    def test_nothing_is_written_over(self):
        data, _ = self.make("aof")
        os.mkdir(data + ".recovered")
        result = store_files.run_check("--recover=prefix", data)
        self.assertEqual(result.returncode, CANNOT)
        self.assertIn(b"exists already", result.stderr)
        self.assertEqual(os.listdir(data + ".recovered"), [])


if __name__ == "__main__":
    harness.main()
