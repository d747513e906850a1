"""What runs the server in containers: the files say only what its programs know, keep their promises
of a sandbox, and their probes work."""
import os
import re
import shutil
import subprocess
import unittest

import yaml

import harness
from harness import PATIENCE, ROOT

MANIFESTS = ("kvstore.yaml", "kvstore-secure.yaml")
USER = 10001


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def help_of(program):
    return subprocess.run([os.path.join(harness.BIN, program), "--help"], check=True, text=True,
                          capture_output=True, timeout=PATIENCE).stdout


def default_of(flag):
    return int(re.search(rf"--{flag} .*\(default (\d+)\)", help_of("kvstore-server"))[1])


def compose():
    return yaml.safe_load(read("docker-compose.yml"))["services"]


def pods():
    """name of the manifest -> (the spec of the pods, their container)"""
    found = {}
    for name in MANIFESTS:
        for item in yaml.safe_load_all(read("contrib", "kubernetes", name)):
            if item["kind"] == "StatefulSet":
                spec = item["spec"]["template"]["spec"]
                (container,) = spec["containers"]
                found[name] = (spec, container)
    return found


def servers():
    """what is started -> (its flags, its variables)"""
    found = {name: (service.get("command", []), service.get("environment", {}))
             for name, service in compose().items() if service["image"].startswith("kvstore_server")}
    for name, (_, container) in pods().items():
        found[name] = (container.get("args", []),
                       {item["name"]: item["value"] for item in container["env"]})
    return found


class Files(unittest.TestCase):
    def test_each_flag_is_one_of_the_server(self):
        known = set(re.findall(r"^  --(\S+)", help_of("kvstore-server"), re.MULTILINE))
        for name, (flags, _) in servers().items():
            for flag in flags:
                self.assertIn(re.fullmatch(r"--([a-z-]+)=\S+", flag)[1], known, name)

    def test_each_variable_is_one_of_a_program(self):
        known = set(re.findall(r"`(KVSTORE_[A-Z_]+)`", read("README.md") + read("docs", "kvstore-cli.md")))
        known |= {"KVSTORE_SERVER_ADDR"}
        given = {name: set(variables) for name, (_, variables) in servers().items()}
        given.update({name: set(service.get("environment", {})) for name, service in compose().items()})
        for kind in ("server", "client"):
            given[kind] = set(re.findall(r"^(?:ENV|   ) (KVSTORE_[A-Z_]+)=", read(f"Dockerfile.{kind}"),
                                         re.MULTILINE))
            self.assertNotEqual(given[kind], set())
        for name, variables in given.items():
            self.assertEqual(variables - known, set(), name)

    def test_who_may_be_insecure_says_so_and_nobody_else_is(self):
        self.assertIn("KVSTORE_INSECURE=yes", read("Dockerfile.server"))
        secure = {"kvstore_server_secure", "kvstore-secure.yaml"}
        self.assertLess(secure, set(servers()))
        for name, (flags, variables) in servers().items():
            names = {flag.split("=")[0] for flag in flags}
            needed = {"--tls-cert", "--tls-key", "--users"}
            self.assertEqual(variables.get("KVSTORE_INSECURE", "yes"), "no" if name in secure else "yes")
            self.assertEqual(needed & names, needed if name in secure else set(), name)
        # Without users the port is for this machine alone.
        for port in compose()["kvstore_server"]["ports"]:
            self.assertTrue(port.startswith("127.0.0.1:"), port)

    def test_a_stop_gets_the_time_that_it_may_take(self):
        least = (default_of("shutdown-grace-ms") + default_of("shutdown-stall-ms")) / 1000
        for name, service in compose().items():
            if service["image"].startswith("kvstore_server"):
                self.assertGreater(int(service["stop_grace_period"].rstrip("s")), least, name)
        for name, (spec, _) in pods().items():
            self.assertGreater(spec["terminationGracePeriodSeconds"], least, name)
        for seconds in re.findall(r"--stop-timeout (\d+)", read("README.md")):
            self.assertGreater(int(seconds), least)
        self.assertIn("\nSTOPSIGNAL SIGTERM\n", read("Dockerfile.server"))

    def test_each_server_is_in_a_sandbox(self):
        for name, service in compose().items():
            if not service["image"].startswith("kvstore_server"):
                continue
            with self.subTest(service=name):
                self.assertTrue(service["read_only"])
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertIn("no-new-privileges:true", service["security_opt"])
                self.assertIn("mem_limit", service)
        for name, (spec, container) in pods().items():
            with self.subTest(manifest=name):
                self.assertTrue(spec["securityContext"]["runAsNonRoot"])
                self.assertEqual(spec["securityContext"]["runAsUser"], USER)
                own = container["securityContext"]
                self.assertEqual((own["readOnlyRootFilesystem"], own["allowPrivilegeEscalation"],
                                  own["capabilities"]["drop"]), (True, False, ["ALL"]))
                self.assertIn("memory", container["resources"]["limits"])
        for kind in ("server", "client"):
            self.assertRegex(read(f"Dockerfile.{kind}"), rf"(?s)useradd --uid {USER} .*\nUSER kvstore\n")

    def test_each_path_that_is_named_is_mounted(self):
        for name, (_, container) in pods().items():
            mounts = [mount["mountPath"] for mount in container["volumeMounts"]]
            for flag in container.get("args", []):
                path = re.search(r"=(?:unix:)?(/.*)", flag)
                if path:
                    self.assertTrue(any(path[1].startswith(f"{mount}/") for mount in mounts), flag)
            self.assertIn("/data", mounts, name)


class Libraries(unittest.TestCase):
    """The images install the packages that scripts/packages lists."""

    @unittest.skipUnless(shutil.which("dpkg-query"), "needs dpkg")
    def test_the_packages_of_an_image_are_those_whose_libraries_the_programs_need(self):
        always = {"libc6", "libgcc-s1", "libstdc++6"}  # of the base, or of each that needs them
        plugins = [os.path.join(harness.PLUGINS, name) for name in os.listdir(harness.PLUGINS)
                   if name.endswith(".so")]
        programs = {"run-client": ["kvstore-cli"],
                    "run-server": ["kvstore-server", "kvstore-check", *plugins]}
        for group, names in programs.items():
            needed = set()
            for name in names:
                shown = subprocess.run(["ldd", os.path.join(harness.BIN, name)], check=True, text=True,
                                       capture_output=True, timeout=PATIENCE).stdout
                paths = dict(re.findall(r"^\s*(\S+) => (\S+)", shown, re.MULTILINE))
                header = subprocess.run(["readelf", "-d", os.path.join(harness.BIN, name)], check=True,
                                        text=True, capture_output=True, timeout=PATIENCE).stdout
                for library in re.findall(r"NEEDED.*\[(.*)\]", header):
                    if library in paths:
                        needed.add(self.package_of(paths[library]))
            listed = subprocess.run([os.path.join(ROOT, "scripts", "packages"), group], check=True,
                                    text=True, capture_output=True, timeout=PATIENCE).stdout.split()
            with self.subTest(group=group):
                self.assertEqual(needed - always, set(listed))

    def package_of(self, path):
        """Debian's list may know the file without the /usr of a merged root."""
        path = os.path.realpath(path)
        for known in (path, path.removeprefix("/usr")):
            done = subprocess.run(["dpkg-query", "-S", known], check=False, text=True,
                                  capture_output=True, timeout=PATIENCE)
            if done.returncode == 0:
                return done.stdout.split(":")[0]
        return self.fail(f"no package has {path}")


class Probes(harness.Case):
    def test_the_native_probes_get_their_answer_in_plaintext(self):
        _, container = pods()["kvstore.yaml"]
        variables = {item["name"]: item["value"] for item in container["env"]}
        server = self.start(mode="none", listen="0.0.0.0:0", variables=variables)
        probes = [container[f"{kind}Probe"]["grpc"] for kind in ("startup", "readiness", "liveness")]
        for probe in probes:
            self.assertEqual(probe["port"], container["ports"][0]["containerPort"])
            answer = harness.health_grpc.HealthStub(server.channel).Check(
                harness.health.HealthCheckRequest(service=probe.get("service", "")), timeout=PATIENCE)
            self.assertEqual(answer.status, harness.SERVING)

    def test_the_commands_that_probe_need_no_user(self):
        users = os.path.join(self.folder, "users")
        with open(users, "w", encoding="ascii") as file:
            file.write("somebody admin uid=4294967294\n")
        address = f"unix:{self.folder}/socket"
        self.start(mode="none", listen=address, flags=["--users", users], wait=False).open_at(address)
        self.assertTrue(self.servers[0].log.wait_for(" info ready"))
        _, container = pods()["kvstore-secure.yaml"]
        commands = [container[f"{kind}Probe"]["exec"]["command"]
                    for kind in ("startup", "readiness", "liveness")]
        commands += [service["healthcheck"]["test"][1:] for service in compose().values()
                     if "healthcheck" in service]
        for program, *words in commands:
            done = subprocess.run([os.path.join(harness.BIN, program), *words], check=False, text=True,
                                  capture_output=True, timeout=PATIENCE,
                                  env=harness.environment(KVSTORE_SERVER_ADDR=address))
            self.assertEqual((done.returncode, done.stdout), (0, "SERVING\n"), done.stderr)


if __name__ == "__main__":
    harness.main()
