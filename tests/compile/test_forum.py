"""What the site may say of the forum: which software serves it, and who may become a member."""

import pytest
import yaml

from lab.compile import CompileError, compile_host
from tests.compile.test_refusals import ROOT, own_site  # noqa: F401  fixture

SERVER = "insynchq-support"


def say(site, **settings):
    """Let the site folder say ``settings`` of the role."""
    path = site / "settings.yaml"
    told = yaml.safe_load(path.read_text())
    for key, values in settings.items():
        told["forum"].setdefault(key, {}).update(values)
    path.write_text(yaml.safe_dump(told))


def components(low):
    return {chunk["__sls__"] for chunk in low}


def test_a_forum_that_was_installed_by_hand_is_left_alone_and_stays_open(own_site, compiled):  # noqa: F811
    own = {"misago", "nginx", "postgresql"}
    assert own <= components(compiled[SERVER]["low"])
    say(own_site, forum={"engine": "none"})
    found = compile_host(ROOT, own_site, SERVER)
    assert not own & components(found["low"])
    assert found["pillar"]["firewall"] == compiled[SERVER]["pillar"]["firewall"]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"forum": {"engine": "discourse"}}, "forum.engine: 'discourse' is neither misago nor none"),
        ({"misago": {"mail": {"host": ""}}}, "misago.registration: user needs a relay, misago.mail.host"),
    ],
)
def test_what_cannot_be_is_refused(own_site, settings, message):  # noqa: F811
    say(own_site, **settings)
    with pytest.raises(CompileError, match=message):
        compile_host(ROOT, own_site, SERVER)
