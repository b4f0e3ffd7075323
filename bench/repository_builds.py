"""Builds of many small packages, signed as ours are, and the keys that sign them."""

import concurrent.futures
import hashlib
import os
import random
import subprocess

SIZE = 20_000
SUITES = {
    "ubuntu": ["bionic", "focal", "jammy", "kinetic", "lunar", "mantic", "noble", "oracular"],
    "debian": ["stretch", "buster", "bullseye", "bookworm", "trixie", "forky", "sid", "testing"],
    "mint": ["una", "vanessa", "vera", "victoria", "virginia", "wilma", "xia", "zara"],
}
RELEASES = {"fedora": ["39", "40", "41", "42"], "opensuse": ["leap", "tumbleweed"]}
FILES = {"apt": "{package}_{version}_{architecture}.deb", "yum": "{package}-{version}-1.{architecture}.rpm"}
ARCHITECTURES = {"apt": "amd64", "yum": "x86_64"}


def run(*command, stdin=b"", **environment):
    """Run ``command``, where ``environment`` is all that it has besides PATH; return its output (bytes)."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment}
    command = [str(word) for word in command]
    done = subprocess.run(command, input=stdin, env=environment, capture_output=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace")[-1000:]
        raise SystemExit(f"{' '.join(command)[:300]}: exit code {done.returncode}\n{said}")
    return done.stdout


class Key:
    """A key without a passphrase in a GNUPGHOME of its own."""

    def __init__(self, home):
        """home (pathlib.Path): to be made; short, for the agent's socket is in it."""
        self.home = home
        home.mkdir(mode=0o700)
        secret = ["--pinentry-mode", "loopback", "--passphrase", ""]
        self.gpg(*secret, "--quick-gen-key", "bench <bench@insync.example>", "rsa3072", "sign", "0")
        rows = self.gpg("--with-colons", "--list-keys").decode().splitlines()
        self.fingerprint = next(row.split(":")[9] for row in rows if row.startswith("fpr"))
        self.public = self.gpg("--armor", "--export", self.fingerprint).decode()

    def gpg(self, *words, stdin=b""):
        """Run gpg; return its output (bytes)."""
        return run("gpg", "--homedir", self.home, "--batch", "--quiet", "--no-tty", "--yes", *words, stdin=stdin)

    def close(self):
        """End its agent."""
        run("gpgconf", "--homedir", self.home, "--kill", "all")


def names(count):
    """Return the names (list of str) of ``count`` packages."""
    return [f"insync-{number:03}" for number in range(count)]


def build(folder, kind, version, packages, key):
    """Make a build of ``packages`` (list of str) as ``folder`` (pathlib.Path), signed by ``key`` (Key); return it."""
    folder.mkdir(parents=True)
    if kind == "apt":
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda package: _deb(folder, package, version), packages))
    else:
        _rpms(folder, packages, version)
    sums = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())
    )
    (folder / "SHA256SUMS").write_text(sums)
    signature = key.gpg("--armor", "--local-user", key.fingerprint, "--detach-sign", stdin=sums.encode())
    (folder / "SHA256SUMS.asc").write_bytes(signature)
    return folder


def content(*what):
    """Return what does not compress (bytes), the same for the same ``what``."""
    return random.Random(" ".join(what)).randbytes(SIZE)


def _deb(folder, package, version):
    tree = folder.parent / f".{package}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    fields = {"Package": package, "Version": version, "Architecture": "amd64", "Section": "non-free/net"}
    fields |= {"Priority": "optional", "Maintainer": "bench <bench@insync.example>", "Description": "A stand-in"}
    (tree / "DEBIAN" / "control").write_text("".join(f"{name}: {value}\n" for name, value in fields.items()))
    (tree / package).write_bytes(content(package, version))
    run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, folder / f"{package}_{version}_amd64.deb")
    run("rm", "-r", tree)


def _rpms(folder, packages, version):
    work = folder.parent / f".{folder.name}"
    work.mkdir()
    spec = [f"Name: all\nVersion: {version}\nRelease: 1\nLicense: none\nSummary: A stand-in\n%description\nA stand-in"]
    for package in packages:
        (work / package).write_bytes(content(package, version, "rpm"))
        spec.append(f"%package -n {package}\nSummary: A stand-in\n%description -n {package}\nA stand-in")
        spec.append(f"%files -n {package}\n/{package}")
    spec.append(f"%install\ncp {work}/insync-* %{{buildroot}}/")
    (work / "all.spec").write_text("\n\n".join(spec) + "\n")
    macros = {"_topdir": f"{work}/top", "_rpmdir": folder, "__os_install_post": "%{nil}"}
    macros |= {"_build_name_fmt": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm", "_binary_payload": "w0.gzdio"}
    defines = [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]
    run("rpmbuild", "-bb", "--quiet", "--target", "x86_64", *defines, work / "all.spec", HOME=work)
    run("rm", "-r", work)
