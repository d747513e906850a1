"""npm's gRPC client against the server on each engine: runs tests/interop/client.js."""
import os
import shutil

import harness
import interop

REMEDY = interop.REMEDY


@harness.on_each_wire
class Node(interop.Case):
    def test_a_client_on_npms_grpc_gets_the_right_answers(self):
        node = shutil.which("node", path="/usr/bin:/bin:" + os.environ.get("PATH", ""))
        self.assertIsNotNone(node, f"node is missing: {REMEDY}")
        modules = os.environ.get("NODE_PATH", "")
        for package in ("@grpc/grpc-js", "@grpc/proto-loader"):
            self.assertTrue(any(os.path.isdir(os.path.join(folder, package))
                                for folder in modules.split(":") if folder),
                            f"{package} of npm is not in NODE_PATH ({modules!r}): {REMEDY}")
        server = self.start(mode="none", wire=self.wire)
        self.run_client(node, os.path.join(interop.FOLDER, "client.js"), server.address,
                        os.path.join(harness.ROOT, "proto"))
        server.stop()


if __name__ == "__main__":
    harness.main()
