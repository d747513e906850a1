"""gRPC's own interop client, Debian's in ruby-grpc, against TestService on each engine."""
import os
import shutil
import subprocess

import harness
import interop

CASES = ("empty_unary", "large_unary", "client_compressed_unary", "client_streaming",
         "client_compressed_streaming", "server_streaming", "ping_pong", "empty_stream",
         "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response",
         "status_code_and_message", "custom_metadata", "unimplemented_method",
         "unimplemented_service")

CLOUD = "wants an account of Google's cloud"
LEFT_OUT = {"service_account_creds": CLOUD, "jwt_token_creds": CLOUD,
            "compute_engine_creds": CLOUD, "oauth2_auth_token": CLOUD, "per_rpc_creds": CLOUD}

# Cases of gRPC's list that this client has not. test_interop_python.py has those marked so.
ELSEWHERE = {"cacheable_unary": "python", "special_status_message": "python",
             "server_compressed_unary": "the server does not compress replies",
             "server_compressed_streaming": "the server does not compress replies"}

RUNNER = os.path.join(interop.FOLDER, "ruby_cases.rb")


@harness.on_each_wire
class Ruby(interop.Case):
    def setUp(self):
        super().setUp()
        self.ruby = shutil.which("ruby", path="/usr/bin:/bin")
        self.assertIsNotNone(self.ruby, f"ruby is missing: {interop.REMEDY}")
        files = subprocess.run(["dpkg", "-L", "ruby-grpc"], capture_output=True, text=True)
        self.client = next((line for line in files.stdout.splitlines()
                            if line.endswith("/pb/test/client.rb")), None)
        self.assertIsNotNone(self.client, f"ruby-grpc is missing: {interop.REMEDY}")

    def test_every_case_of_the_client_is_run_or_left_out_with_a_reason(self):
        known = self.run_client(self.ruby, RUNNER, self.client, "0").split()
        self.assertEqual(sorted(known), sorted([*CASES, *LEFT_OUT]))
        self.assertFalse(set(known) & set(ELSEWHERE))

    def test_every_case_that_needs_no_cloud_passes(self):
        server = self.serve()
        printed = self.run_client(self.ruby, RUNNER, self.client, str(server.port), *CASES)
        verdicts = dict(line.split(" ", 1) for line in printed.splitlines()
                        if line.split(" ", 1)[0] in CASES)
        for case in CASES:
            with self.subTest(case):
                self.assertEqual(verdicts.get(case, printed), "passed")
        passed = sum(verdict == "passed" for verdict in verdicts.values())
        self.say(f"{passed} of {len(CASES)} cases of ruby-grpc passed")


if __name__ == "__main__":
    harness.main()
