"""What the survey takes for declared."""

import json

import insync_survey_plan

from tests.unit.survey_server import MANAGED
from tests.unit.test_insync_survey_listeners import ALLOW

HIGH = {
    "devpi-unit": {"file": [{"name": MANAGED}, {"contents": "hunter2"}, "managed"], "__sls__": "devpi"},
    "devpi-old": {"file": ["absent", {"names": ["/etc/systemd/system/old.service", "/etc/cron.d/old"]}]},
    "devpi-folder": {"file": [{"name": "/var/lib/devpi"}, "directory"]},
    "devpi-etc": {"file": [{"name": "/etc/insync"}, "directory"]},
    "devpi-program": {"insync_venv": [{"name": "/opt/devpi"}, "installed"]},
    "devpi-program-gone": {"insync_venv": [{"name": "/opt/gone"}, "absent"]},
    "devpi-files": {"file": [{"names": ["/etc/a", {"/etc/b": [{"mode": "0600"}]}]}, "managed"]},
    "redis-service": {"insync_unit": [{"names": ["redis-server@main", "certbot.timer"]}, "running"]},
    "redis-old": {"service": [{"name": "redis-server"}, "dead"]},
    "devpi-user": {"user": [{"name": "devpi"}, {"home": "/home"}, "present"]},
    "devpi-leaver": {"user": [{"name": "mallory"}, "absent"]},
    "mariadb-databases": {"insync_mysql": [{"name": "/run/x.sock"}, {"databases": ["shop"]}, "databases"]},
    "acme-certificate": {"insync_certificate": [{"name": "/etc/insync/certificates/public.pem"}, "issued"]},
    "__extend__": [],
}


def test_what_states_say_is_declared_and_what_they_remove_is_not():
    plan = insync_survey_plan.plan(HIGH, [{**ALLOW, "sources": ["world"]}], {}, {"/x": "y"})
    assert "hunter2" not in json.dumps(plan)
    assert plan == {
        "allow": [ALLOW],
        "slots": {},
        "known": {"/x": "y"},
        "files": ["/etc/a", "/etc/b", "/etc/insync", MANAGED, "/var/lib/devpi"],
        "gone": ["/etc/cron.d/old", "/etc/systemd/system/old.service"],
        "places": [
            "/etc/insync/certificates/public.pem",
            "/etc/letsencrypt/live/public",
            "/opt/devpi",
            "/run/x.sock",
            "/var/lib/devpi",
        ],
        "units": ["certbot.timer", "redis-server@main.service"],
        "users": ["devpi", "root"],
        "databases": ["shop"],
    }
