"""The lab's site folder: real keys, real encryption."""

import pathlib
import shutil
import subprocess

import insync_backup_keys
import insync_inventory
import insync_tls
import yaml

from lab import s3, site

ROOT = pathlib.Path(__file__).resolve().parents[2]
REQUIRED = "base:\n  console_password_hash: why it is there\n"


def decrypted(directory, value):
    command = ["gpg", "--homedir", str(directory / "gpgkeys"), "--batch", "--quiet", "--decrypt"]
    done = subprocess.run(command, input=value, capture_output=True, text=True, check=True)
    subprocess.run(["gpgconf", "--homedir", str(directory / "gpgkeys"), "--kill", "all"], check=True)
    return done.stdout


def test_secrets_are_encrypted_and_operators_have_keys(tmp_path):
    required = tmp_path / "required.yaml"
    required.write_text(REQUIRED)
    directory, keys = tmp_path / "site", tmp_path / "keys"
    site.write(directory, keys, required)

    secrets = yaml.safe_load((directory / "secrets" / "base.yaml").read_text())
    fakes = yaml.safe_load((site.LAB / "fake_secrets.yaml").read_text())
    assert secrets.keys() == fakes["base"].keys()
    for key, value in secrets.items():
        assert value.startswith("-----BEGIN PGP MESSAGE-----")
        assert decrypted(directory, value) == fakes["base"][key]

    operators = yaml.safe_load((directory / "operators.yaml").read_text())["operators"]
    assert operators["alice"]["keys"] == [(keys / "alice.pub").read_text().strip()]
    assert operators["alice"]["groups"] == ["ops"]
    assert (keys / "alice").stat().st_mode & 0o777 == 0o600

    before = (directory / "secrets" / "base.yaml").read_text()
    site.write(directory, keys, required)
    assert (directory / "secrets" / "base.yaml").read_text() == before, "the same inputs must not make a new deploy"


def test_the_repositories_have_a_key_whose_private_half_is_a_secret(tmp_path):
    required = tmp_path / "required.yaml"
    required.write_text("repos: {s3_access_key: why, s3_secret_key: why, signing_key: why}\n")
    directory, keys = tmp_path / "site", tmp_path / "keys"
    site.write(directory, keys, required)
    told = yaml.safe_load((directory / "settings.yaml").read_text())["repos"]["repos"]
    secrets = yaml.safe_load((directory / "secrets" / "repos.yaml").read_text())
    assert secrets.keys() == {"s3_access_key", "s3_secret_key", "signing_key"}
    private = decrypted(directory, secrets["signing_key"])
    assert private.startswith("-----BEGIN PGP PRIVATE KEY BLOCK-----")
    assert fingerprint(told["build_key"]) != fingerprint(private)
    *_, line, _, _ = (keys / "builds.key").read_bytes().splitlines()
    texts = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    assert not [text for text in texts if line in text], "the build's private key is none of the fleet's"


def fingerprint(key):
    command = ["gpg", "--batch", "--with-colons", "--show-keys"]
    said = subprocess.run(command, input=key, capture_output=True, text=True, check=True).stdout
    return [line.split(":")[9] for line in said.splitlines() if line.startswith("fpr:")]


def test_the_servers_have_certificates_that_outlive_the_site_folder(tmp_path):
    required = tmp_path / "required.yaml"
    required.write_text(REQUIRED)
    directory, keys = tmp_path / "site", tmp_path / "keys"
    site.write(directory, keys, required)
    inventory = insync_inventory.load(ROOT / "pillar" / "inventory")
    assert insync_tls.problems(inventory, directory) == []
    host = insync_inventory.hosts_with_tls(inventory)[0]
    authority, key = (directory / "tls" / "ca.crt").read_text(), (directory / "tls" / f"{host}.key.asc").read_text()
    assert "PRIVATE" + " KEY" in decrypted(directory, key)

    shutil.rmtree(directory)
    site.write(directory, keys, required)
    assert (directory / "tls" / "ca.crt").read_text() == authority, "a new authority would be a change on every server"
    stamp = (directory / site.STAMP).read_text()
    (keys / "tls" / f"{host}.crt").unlink()
    site.write(directory, keys, required)
    assert (directory / site.STAMP).read_text() != stamp, "a new certificate has to be deployed"
    assert insync_tls.problems(inventory, directory) == []


def test_every_server_has_a_key_of_its_own_for_the_data_that_may_come_to_it(tmp_path):
    required = tmp_path / "required.yaml"
    required.write_text(REQUIRED)
    directory = tmp_path / "site"
    site.write(directory, tmp_path / "keys", required)
    inventory, roots = insync_inventory.load(ROOT / "pillar" / "inventory"), [str(ROOT / "pillar"), str(directory)]
    assert insync_backup_keys.problems(roots, inventory) == []
    found = {path.stem for path in (directory / "backups").iterdir()}
    assert found == set(inventory["hosts"]) > set(insync_backup_keys.servers(roots, inventory))
    password = insync_backup_keys.of_host(roots, inventory, "wiki")["backup"]["password"]
    assert decrypted(directory, password) == s3.server_key("wiki")["password"]


def test_settings_of_the_lab_and_of_its_cloud_are_one():
    one, other = {"a": {"b": {"c": 1}, "d": 2}, "e": 3}, {"a": {"b": {"f": 4}}, "e": 5}
    assert site._merged(one, other) == {"a": {"b": {"c": 1, "f": 4}, "d": 2}, "e": 5}
