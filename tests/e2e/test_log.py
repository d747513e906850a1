"""The server's log: text, JSON lines, and what systemd's journal is given."""
import datetime
import json
import os
import re
import subprocess
import unittest

import harness
from harness import PATIENCE, SERVER


class LogFormats(harness.Case):
    def lines(self, *flags, journal=False, others=None):
        """The log of a server that starts and stops."""
        read, write = os.pipe()
        status = os.fstat(write)
        variables = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + (0 if journal else 1)}"}
        process = subprocess.Popen(  # pylint: disable=consider-using-with
            [SERVER, "--listen", "127.0.0.1:0", "--data-dir", os.path.join(self.folder, "data"),
             "--plugin-dir", harness.PLUGINS, *flags], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=write, env=harness.environment(**variables, **(others or {})))
        os.close(write)
        self.addCleanup(process.kill)
        log = harness.Log(os.fdopen(read, "rb"))
        log.wait_for("ready")
        process.terminate()
        process.wait(PATIENCE)
        log.join()
        return log.lines

    def test_each_json_line_is_an_object_with_the_documented_keys(self):
        lines = self.lines("--log-format", "json")
        self.assertGreater(len(lines), 3, lines)
        for line in lines:
            event = json.loads(line)
            self.assertEqual(list(event), ["time", "level", "message"], line)
            self.assertIn(event["level"], ("error", "warning", "info", "debug"))
            datetime.datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
        self.assertIn("ready", [json.loads(line)["message"] for line in lines])

    def test_what_a_user_gives_cannot_forge_a_json_line(self):
        lines = self.lines("--log-format", "json", "--data-dir",
                           os.path.join(self.folder, 'x","level":"error\n{"a":"\\'))
        messages = [json.loads(line)["message"] for line in lines]
        self.assertTrue(any('x","level":"error?{"a":"\\' in message for message in messages), lines)

    def test_the_journal_gets_priorities_and_no_time(self):
        lines = self.lines(journal=True)
        for line in lines:
            self.assertRegex(line, r"^<[3467]>(?!\d{4}-)", lines)
        self.assertIn("<6>ready", lines)

    def test_the_journal_gets_priorities_before_json(self):
        for line in self.lines(journal=True, others={"KVSTORE_LOG_FORMAT": "json"}):
            self.assertRegex(line, r"^<[3467]>")
            json.loads(line[3:])

    def test_a_log_that_was_redirected_away_from_the_journal_is_text(self):
        for line in self.lines(journal=False):
            self.assertTrue(re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z (error|warning|info) ", line), line)

    def test_an_unknown_format_is_refused_with_those_there_are(self):
        done = subprocess.run([SERVER, "--log-format", "xml"], capture_output=True, text=True,
                              timeout=PATIENCE, check=False, env=harness.environment())
        self.assertEqual(done.returncode, 2)
        self.assertIn('log-format (command line): "xml" is none of text, json', done.stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
