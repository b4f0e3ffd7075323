"""What the survey finds of databases and large folders, and how far it looks for them."""

import insync_survey_system
import pytest

CLUSTER = "/var/lib/postgresql/15/main"


def postgresql(root, running):
    """A cluster with much in it, and a function that answers as psql does."""
    root.package("postgresql-common", ["/var/lib", "/var/lib/postgresql"])
    root.write(f"{CLUSTER}/PG_VERSION", "15\n")
    with root.write(f"{CLUSTER}/base").open("wb") as file:
        file.truncate(150_000_000)
    if running:
        root.write(f"{CLUSTER}/postmaster.pid", f"1\n{CLUSTER}\n2\n5433\n/run/pg\n\n")


@pytest.mark.parametrize(
    "running, answer, unknown",
    [
        (True, "postgres\t9\nshop\t2000\n", ["database shop of postgresql, 2 kB"]),
        (True, None, ["folder /var/lib/postgresql: 150 MB"]),
        (False, None, ["folder /var/lib/postgresql: 150 MB"]),
    ],
)
def test_a_postgresql_that_does_not_answer_is_told(root, monkeypatch, running, answer, unknown):
    postgresql(root, running)
    asked = []
    monkeypatch.setattr(
        insync_survey_system.System, "_answer", lambda _, command, seconds: asked.append(command) or answer
    )
    found = root.survey()
    assert found["unknown"] == unknown
    assert found["incomplete"] == ([] if answer else [f"databases of postgresql in {CLUSTER}: no answer"])
    assert any("5433" in command and "/run/pg" in command for command in asked) == running


@pytest.mark.parametrize(
    "folder, file, told",
    [
        ("/var/lib/mysql", "mysql/x.ibd", []),
        ("/var/lib/mysql", "dump", ["folder /var/lib/mysql: 150 MB"]),
        ("/var/lib/redis", "main/appendonly.aof", []),
        ("/var/lib/redis", "main/other", ["folder /var/lib/redis: 150 MB"]),
    ],
)
def test_a_large_folder_of_a_database_is_known_if_databases_are_found_there(root, folder, file, told):
    root.package("server", ["/var/lib", folder])
    with root.write(f"{folder}/{file}").open("wb") as opened:
        opened.truncate(150_000_000)
    assert root.survey()["unknown"] == told


def test_too_many_files_are_cut_short(root):
    for number in range(50):
        root.write(f"/srv/{number}")
    system = insync_survey_system.System(root.path)
    assert len(list(system.walk(["/srv"], entries=10))) == 10
    assert system.cut_short == ["/srv: too many files"]


def test_other_file_systems_and_links_are_not_followed(root, tmp_path):
    root.link("/srv/out", str(tmp_path))
    assert [entry.name for entry in insync_survey_system.System(root.path).walk(["/srv"])] == ["out"]
