"""What the site folder may set: the same kind of thing as the tunable that it replaces."""

import pathlib

import insync_settings
import insync_site
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def site(tmp_path):
    """Return the pillar roots with settings: ``site({"redis": {...}})``."""

    def _site(settings):
        (tmp_path / "settings.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        return [str(ROOT / "pillar"), str(tmp_path)]

    return _site


@pytest.mark.parametrize(
    "settings",
    [
        {"beanstalkd": {"beanstalkd": {"max_job_bytes": 1000, "memory_max": "1G"}}},
        {"redis": {"redis": {"max_memory": "2gb", "users": {"web": ["get"], "another": ["ping"]}}}},
        {"web_lb": {"haproxy": {"check": {"interval": "500ms"}}}, "base": {"journal": {"max_age": "7day"}}},
        {"pypi_server": {"devpi": {"upstream": "https://index.example/simple/", "threads": 4}}},
        {"base": {"clock": {"sync": False, "timezone": "Asia/Manila"}, "something": {"new": 1}}},
    ],
)
def test_what_fits_replaces_what_is_in_pillar(site, settings):
    roots = site(settings)
    for role, found in settings.items():
        assert insync_settings.for_roles(roots, [role]) == found


@pytest.mark.parametrize(
    "settings, message",
    [
        ("text", "beanstalkd: 'text' is not a mapping"),
        ({"beanstalkd": []}, "beanstalkd.beanstalkd: [] is not a mapping"),
        ({"beanstalkd": {"max_job_bytes": "64k"}}, "max_job_bytes: '64k' is not a whole number above 0, as 65535 is"),
        ({"beanstalkd": {"max_job_bytes": True}}, "max_job_bytes: True is not a whole number"),
        ({"beanstalkd": {"max_job_bytes": None}}, "max_job_bytes: None is not a whole number"),
        ({"beanstalkd": {"max_job_bytes": -1}}, "max_job_bytes: -1 is not a whole number above 0"),
        ({"beanstalkd": {"max_job_bytes": 0}}, "max_job_bytes: 0 is not a whole number above 0"),
        ({"beanstalkd": {"memory_max": "512MB"}}, "memory_max: '512MB' is not a size, in K, M, G or T, as '512M' is"),
        ({"beanstalkd": {"memory_max": "1g"}}, "memory_max: '1g' is not a size"),
        ({"beanstalkd": {"memory_max": "0M"}}, "memory_max: '0M' is not a size"),
        ({"beanstalkd": {"memory_max": 512}}, "memory_max: 512 is not a size"),
    ],
)
def test_what_does_not_fit_is_named_with_what_it_would_replace(site, settings, message):
    with pytest.raises(insync_site.SiteError) as told:
        insync_settings.for_roles(site({"beanstalkd": settings}), ["beanstalkd"])
    assert str(told.value).startswith("settings.yaml: beanstalkd") and message in str(told.value)


def test_a_list_that_has_to_have_something_is_not_emptied(site):
    with pytest.raises(insync_site.SiteError, match=r"devpi.reserved_prefixes: \[\] is not a list"):
        insync_settings.for_roles(site({"pypi_server": {"devpi": {"reserved_prefixes": []}}}), ["pypi_server"])
