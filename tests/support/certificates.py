"""Certificates for tests, made by the openssl program: an authority, and whom it signs."""
import os
import subprocess

HOUR = 3600
FORMAT = "%Y%m%d%H%M%SZ"


def openssl(*arguments, **keywords):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, **keywords)


class Pair:
    """Two files: a certificate and its key."""

    def __init__(self, folder, name):
        self.name = name
        self.certificate = os.path.join(folder, f"{name}.pem")
        self.key = os.path.join(folder, f"{name}.key")

    def bytes(self):
        with open(self.certificate, "rb") as certificate, open(self.key, "rb") as key:
            return certificate.read(), key.read()

    def replace_with(self, other):
        """Puts another pair in the place of this one, as a tool that renews certificates does."""
        for own, new in ((self.certificate, other.certificate), (self.key, other.key)):
            with open(new, "rb") as source, open(f"{own}.new", "wb") as target:
                os.chmod(target.name, 0o600)
                target.write(source.read())
            os.rename(f"{own}.new", own)


class Authority(Pair):
    def __init__(self, folder, name="authority"):
        super().__init__(folder, name)
        self.folder = folder
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", self.key, "-out", self.certificate, "-days", "30", "-subj", f"/CN={name}")
        os.chmod(self.key, 0o600)

    def sign(self, name, names="DNS:localhost,IP:127.0.0.1", begin="20200101000000Z",
             end="20491231235959Z"):
        """A new pair; `names` are its subject's alternative names, None: it has none."""
        pair = Pair(self.folder, name)
        request = os.path.join(self.folder, f"{name}.csr")
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", pair.key, "-out", request, "-subj", f"/CN={name}")
        settings = os.path.join(self.folder, f"{name}.cnf")
        index = os.path.join(self.folder, f"{name}.index")
        with open(index, "w", encoding="ascii"):
            pass
        with open(settings, "w", encoding="ascii") as file:
            file.write(f"[ca]\ndefault_ca=c\n[c]\ndatabase={index}\nnew_certs_dir={self.folder}\n"
                       f"rand_serial=yes\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
                       f"[e]\nbasicConstraints=CA:FALSE\n")
            if names:
                file.write(f"subjectAltName={names}\n")
        openssl("ca", "-batch", "-notext", "-config", settings, "-cert", self.certificate,
                "-keyfile", self.key, "-in", request, "-out", pair.certificate,
                "-startdate", begin, "-enddate", end, "-extensions", "e")
        os.chmod(pair.key, 0o600)
        return pair
