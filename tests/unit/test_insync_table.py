"""The outputter of tables."""

import importlib.util
import pathlib

PATH = pathlib.Path(__file__).resolve().parents[2] / "_output" / "insync_table.py"
SPEC = importlib.util.spec_from_file_location("insync_table", PATH)
insync_table = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(insync_table)


def test_columns_are_as_wide_as_they_need_to_be():
    rows = [{"server": "ct1", "port": 58878, "roles": ""}, {"server": "web-lb02", "port": 22, "roles": "base"}]
    assert insync_table.output(rows).splitlines() == [
        "server    port   roles",
        "ct1       58878",
        "web-lb02  22     base",
    ]


def test_no_rows_say_so():
    assert insync_table.output([]) == "nothing to show"


def test_a_runner_may_tell_an_exit_code_with_them():
    told = {"data": [{"server": "web02"}], "outputter": "insync_table", "retcode": 1}
    assert insync_table.output(told).splitlines() == ["server", "web02"]
