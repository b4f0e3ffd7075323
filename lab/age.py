"""Key pairs of age, as age-keygen makes them: the lab's machine need not have it."""

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

_CHARACTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)


def kept(folder, name):
    """
    Return the pair (public, private; str) ``name`` (str) that is in ``folder`` (pathlib.Path), made if it is not there.
    """
    file = folder / f"age-{name}"
    if not file.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text("\n".join(make()) + "\n", encoding="ascii")
        file.chmod(0o600)
    public, private = file.read_text(encoding="ascii").split()
    return public, private


def make():
    """Return a new pair (public, private; str)."""
    key = X25519PrivateKey.generate()
    raw = serialization.Encoding.Raw
    private = key.private_bytes(raw, serialization.PrivateFormat.Raw, serialization.NoEncryption())
    public = key.public_key().public_bytes(raw, serialization.PublicFormat.Raw)
    return bech32("age", public), bech32("age-secret-key-", private).upper()


def bech32(prefix, data):
    """Return ``data`` (bytes) as BIP 173 writes it, after ``prefix`` (str)."""
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    words = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    spread = [ord(one) >> 5 for one in prefix] + [0] + [ord(one) & 31 for one in prefix]
    checksum = _polymod([*spread, *words, 0, 0, 0, 0, 0, 0]) ^ 1
    words += [(checksum >> 5 * (5 - at)) & 31 for at in range(6)]
    return f"{prefix}1{''.join(_CHARACTERS[word] for word in words)}"


def _polymod(words):
    found = 1
    for word in words:
        top, found = found >> 25, (found & 0x1FFFFFF) << 5 ^ word
        for bit, generator in enumerate(_GENERATOR):
            found ^= generator if top >> bit & 1 else 0
    return found
