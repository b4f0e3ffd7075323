"""What the containers get of the machine."""

from lab import boot


def test_many_containers_have_the_share_of_as_many_processes(tmp_path):
    there, other = tmp_path / "cpu.shares", tmp_path / "v2" / "cpu.weight"
    there.write_text("1024")
    boot.share(21, {str(there): 1024, str(other): 100})
    assert there.read_text() == "21504"
    assert not other.exists(), "of the hierarchy that is not in use"
