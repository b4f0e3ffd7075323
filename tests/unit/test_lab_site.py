"""The lab's site folder: real keys, real encryption."""

import subprocess

import yaml

from lab import site

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
