"""The images that the containers start from, named by a hash of all that goes into them."""

import concurrent.futures
import os
import pathlib
import platform
import shutil
import tempfile

import insync_release

from lab import apt, cloud, s3, shell
from lab.paths import CACHE, LAB, LABEL, ROOT
from lab.podman import podman
from lab.settings import APT_PROXY_PORT, digest

CERTIFICATES = pathlib.Path("/usr/local/share/ca-certificates")
FILES = LAB / "images"
INSTALL_SALT = ROOT / "salt" / "salt_release" / "files" / "install-salt"
# Consoles and passwords for disks: a container has neither, and the units would only fail.
NO_UNITS = ("systemd-ask-password-console.path", "systemd-ask-password-wall.path", "console-getty.service")
PROXY_FILE = "/etc/apt/apt.conf.d/80package-cache"


class Images:
    """Knows the images' names, and builds those that are missing."""

    def __init__(self, settings, progress):
        self.settings = settings
        self.progress = progress
        self.sources = apt.sources()
        self.wheelhouse = CACHE / f"salt-{insync_release.salt_id(ROOT)}.tar"
        self.proxy = _proxy(settings)
        self.names = self._names()

    def _names(self):
        packages, recipe = self.settings.packages, (FILES / "Containerfile").read_text(encoding="utf-8")
        text, certificates = apt.text_of(self.sources), _content(CERTIFICATES) if CERTIFICATES.is_dir() else []
        droplet = digest(
            _hooks("", ""),
            packages["droplet"],
            text,
            [*certificates, cloud.web_authority().certificate],
            self.proxy,
            _content(FILES / "droplet"),
            platform.machine(),
        )
        server = (FILES / "Containerfile.server").read_text(encoding="utf-8") + INSTALL_SALT.read_text(encoding="utf-8")
        hashes = {
            "droplet": droplet,
            "server": digest(droplet, packages["server"], server, self.wheelhouse.name),
            "cloud": digest(droplet, packages["cloud"], recipe, _content(FILES / "cloud")),
            "world": digest(droplet, packages["world"], recipe),
        }
        return {kind: f"localhost/insync-lab-{kind}:{value}" for kind, value in hashes.items()}

    def missing(self):
        """Return the kinds of image that are not there."""
        return [kind for kind, name in self.names.items() if podman("image", "exists", name, check=False).returncode]

    def build(self):
        """
        Build what is missing, the wheelhouse included; remove older images that no container uses.

        Raises LabError naming what could not be built, and why.
        """
        missing = self.missing()
        if missing:
            apt.check_reachable(self.sources[0])
        CACHE.mkdir(parents=True, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            wheelhouse = pool.submit(self._wheelhouse)
            if "droplet" in missing:
                self._droplet()
            layers = [pool.submit(self._layer, kind) for kind in ("cloud", "world") if kind in missing]
            wheelhouse.result()
            if "server" in missing:
                layers.append(pool.submit(self._layer, "server"))
            for layer in layers:
                layer.result()
        if missing:
            self._prune()

    def _wheelhouse(self):
        if self.wheelhouse.exists():
            return
        self.progress.say("wheelhouse: building Salt's wheels")
        path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
        command = [str(ROOT / "bootstrap" / "wheelhouse"), str(CACHE)]
        shell.run(command, env={**os.environ, "PATH": path}, what="wheelhouse (pip wheel)")

    def _droplet(self):
        self.progress.say("image droplet: Debian 12 out of this machine's apt sources")
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            work = pathlib.Path(work)
            tree = self._tree(work / "files")
            (work / "debian.sources").write_text(apt.text_of(self.sources), encoding="utf-8")
            command = [
                "mmdebstrap",
                "--quiet",
                "--variant=apt",
                f"--include={','.join(self.settings.packages['droplet'])}",
            ]
            command += [f"--customize-hook={hook}" for hook in _hooks(tree, work / "debian.sources")]
            command += [apt.CODENAME, str(work / "droplet.tar"), str(work / "debian.sources")]
            shell.run(command, what="image droplet (mmdebstrap)")
            changes = ['CMD ["/sbin/init"]', "STOPSIGNAL SIGRTMIN+3", f"LABEL {LABEL}=true"]
            options = [option for change in changes for option in ("--change", change)]
            podman("import", *options, work / "droplet.tar", self.names["droplet"])

    def _tree(self, target):
        """Lay out the files that a droplet has beyond its packages."""
        shutil.copytree(FILES / "droplet", target)
        if CERTIFICATES.is_dir():
            shutil.copytree(CERTIFICATES, target / str(CERTIFICATES).lstrip("/"))
        authority = target / cloud.WEB_CA_FILE.lstrip("/")
        authority.parent.mkdir(parents=True, exist_ok=True)
        authority.write_text(cloud.web_authority().certificate, encoding="ascii")
        proxy = target / PROXY_FILE.lstrip("/")
        proxy.parent.mkdir(parents=True)
        proxy.write_text(self.proxy, encoding="utf-8")
        return target

    def _layer(self, kind):
        self.progress.say(f"image {kind}")
        with tempfile.TemporaryDirectory(dir=CACHE) as work:
            work = pathlib.Path(work)
            # While an image is made there is no package cache yet: this machine's own way is taken.
            (work / "apt.conf").write_text(apt.proxy(), encoding="utf-8")
            shutil.copytree(FILES / kind, work / "files") if (FILES / kind).is_dir() else (work / "files").mkdir()
            shutil.copy(INSTALL_SALT, work)
            recipe = FILES / ("Containerfile.server" if kind == "server" else "Containerfile")
            arguments = {
                "BASE": self.names["droplet"],
                "PACKAGES": " ".join(self.settings.packages[kind]),
                "WHEELHOUSE": self.wheelhouse.name,
            }
            options = [option for key, value in arguments.items() for option in ("--build-arg", f"{key}={value}")]
            options += ["--volume", f"{work / 'apt.conf'}:{PROXY_FILE}:ro"]
            options += ["--volume", f"{self.wheelhouse.parent}:/wheelhouse:ro"] if kind == "server" else []
            common = [
                "--network=host",
                "--layers=false",
                f"--label={LABEL}=true",
                "--file",
                recipe,
                "--tag",
                self.names[kind],
            ]
            podman("build", *common, *options, work, what=f"image {kind}")

    def _prune(self):
        found = podman(
            "images", "--filter", f"label={LABEL}=true", "--format", "{{.Repository}}:{{.Tag}}"
        ).stdout.split()
        for name in set(found) - set(self.names.values()):
            podman("image", "rm", name, check=False)


def _proxy(settings):
    """Return apt's configuration (str): the package cache has what is elsewhere, the cloud's own names are asked."""
    lines = [f'Acquire::http::Proxy "http://{settings.cloud}:{APT_PROXY_PORT}";']
    lines += [f'Acquire::http::Proxy::{name} "DIRECT";' for name in s3.public_names(settings.lab)]
    return "".join(f"{line}\n" for line in lines)


def _hooks(tree, sources):
    """What mmdebstrap does to the new system last; $1 is its root."""
    return [
        f'cp -r --no-preserve=ownership {tree}/. "$1/"',
        'chroot "$1" update-ca-certificates >/dev/null',
        'chroot "$1" systemctl --quiet enable shared-mounts.service ssh-host-keys.service',
        f'rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap '
        f'&& cp {sources} "$1/etc/apt/sources.list.d/"',
        # What must not be the same on two servers.
        'rm -f "$1"/etc/ssh/ssh_host_* "$1/etc/hostname" "$1/var/lib/dbus/machine-id" && : > "$1/etc/machine-id"',
        f'chroot "$1" systemctl --quiet mask {" ".join(NO_UNITS)}',
    ]


def _content(directory):
    return sorted(
        (str(path.relative_to(directory)), path.read_text(encoding="utf-8"))
        for path in directory.rglob("*")
        if path.is_file()
    )
