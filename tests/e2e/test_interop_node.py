"""npm's gRPC client against the server: runs tests/interop/client.js."""
import os
import shutil
import subprocess

import harness

REMEDY = "run scripts/test, which installs it, instead of ctest"


class Node(harness.Case):
    def test_a_client_on_npms_grpc_gets_the_right_answers(self):
        node = shutil.which("node", path="/usr/bin:/bin:" + os.environ.get("PATH", ""))
        self.assertIsNotNone(node, f"node is missing: {REMEDY}")
        modules = os.environ.get("NODE_PATH", "")
        for package in ("@grpc/grpc-js", "@grpc/proto-loader"):
            self.assertTrue(any(os.path.isdir(os.path.join(folder, package))
                                for folder in modules.split(":") if folder),
                            f"{package} of npm is not in NODE_PATH ({modules!r}): {REMEDY}")
        server = self.start(mode="none")
        result = subprocess.run(
            [node, os.path.join(harness.ROOT, "tests", "interop", "client.js"), server.address,
             os.path.join(harness.ROOT, "proto")],
            capture_output=True, text=True, timeout=harness.PATIENCE, env=harness.environment())
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)
        server.stop()


if __name__ == "__main__":
    harness.main()
