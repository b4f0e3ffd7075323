"""Keys of age are as age itself makes them."""

import re

from lab import age


def test_bech32():
    # Of BIP 173.
    assert age.bech32("a", b"") == "a12uel5l"
    data = bytes.fromhex("00443214c74254b635cf84653a56d7c675be77df")
    assert age.bech32("abcdef", data) == "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw"


def test_a_pair_is_made_once(tmp_path):
    public, private = age.kept(tmp_path, "ops")
    assert re.fullmatch(r"age1[0-9a-z]{58}", public)
    assert re.fullmatch(r"AGE-SECRET-KEY-1[0-9A-Z]{58}", private)
    assert age.kept(tmp_path, "ops") == (public, private)
    assert age.kept(tmp_path, "other") != (public, private)
    assert (tmp_path / "age-ops").stat().st_mode & 0o777 == 0o600
