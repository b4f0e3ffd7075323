"""What the survey finds of web sites."""

import insync_survey_web
import pytest


def test_sites_on_one_line_have_names_and_what_is_quoted_or_a_comment_is_none(root):
    root.write(
        "/etc/nginx/conf.d/x.conf",
        "upstream b { server 10.0.0.1:1; } server { listen 80; server_name a.b; root /srv/a; }"
        " # server { server_name S3CRET;\n"
        "server { listen 81; server_name c.d e.f; # it's root /S3CRET;\n  add_header X 'y; server_name S3CRET; {';\n"
        "  location / { proxy_pass http://127.0.0.1:9; } }\n",
    )
    found = root.survey()
    assert found["unknown"] == [
        "site a.b of nginx, in /etc/nginx/conf.d/x.conf, root /srv/a",
        "site c.d e.f of nginx, in /etc/nginx/conf.d/x.conf, to http://127.0.0.1:9",
    ]
    assert [site["listen"] for site in found["found"]["sites"]] == [["80"], ["81"]]


SERVER = "server { server_name %s; root /srv/www; }\n"
HOST = "<VirtualHost *:80>\n ServerName %s\n DocumentRoot /srv/www\n</VirtualHost>\n"


def test_what_a_web_server_includes_from_elsewhere_is_read_too(root):
    root.write(
        "/etc/nginx/nginx.conf",
        "http { include /srv/*/nginx.conf; include 'sites/own'; include ../shared/**.conf;\n"
        "# include /srv/S3CRET;\n include /srv/none/*.conf; }\n",
    )
    root.write("/srv/shop/nginx.conf", SERVER % "a.example" + "include /srv/shop/more/b;\n")
    root.write("/srv/shop/more/b", SERVER % "b.example" + "include /srv/shop/nginx.conf;")
    root.write("/etc/nginx/sites/own", SERVER % "c.example")
    root.write("/etc/shared/d.conf", "# Managed by Salt.\n" + SERVER % "d.example")
    root.write("/usr/local/nginx/conf/nginx.conf", SERVER % "e.example")
    root.write("/etc/apache2/apache2.conf", HOST % "f.example" + "IncludeOptional /srv/gone\nInclude sites/\n")
    root.write("/etc/apache2/sites/deep/g", HOST % "g.example")
    found = root.survey(files=["/etc/shared/d.conf"])
    assert found["incomplete"] == []
    assert sorted(found["unknown"]) == [
        "site a.example of nginx, in /srv/shop/nginx.conf, root /srv/www",
        "site b.example of nginx, in /srv/shop/more/b, root /srv/www",
        "site c.example of nginx, in /etc/nginx/sites/own, root /srv/www",
        "site e.example of nginx, in /usr/local/nginx/conf/nginx.conf, root /srv/www",
        "site f.example of apache, in /etc/apache2/apache2.conf, root /srv/www",
        "site g.example of apache, in /etc/apache2/sites/deep/g, root /srv/www",
    ]


@pytest.mark.parametrize(
    "name, text, told",
    [
        ("/etc/nginx/nginx.conf", "include /srv/gone;", "sites of nginx: /srv/gone is included, and not there"),
        ("/etc/nginx/nginx.conf", "include ../..;", "sites of nginx: an include that cannot be followed"),
        ("/etc/nginx/nginx.conf", "include /;", "sites of nginx: an include that cannot be followed"),
        ("/etc/nginx/nginx.conf", "include S3CRET$x;", "sites of nginx: an include that cannot be followed"),
        ("/etc/apache2/x.conf", "Include ${S3CRET}/x", "sites of apache: an include that cannot be followed"),
        ("/etc/caddy/Caddyfile", "S3CRET", "sites of caddy, in /etc/caddy/Caddyfile: not read"),
        ("/etc/lighttpd/lighttpd.conf", "S3CRET", "sites of lighttpd, in /etc/lighttpd/lighttpd.conf: not read"),
        ("/etc/haproxy/haproxy.cfg", "S3CRET", "sites of haproxy, in /etc/haproxy/haproxy.cfg: not read"),
    ],
)
def test_sites_that_are_not_read_are_told(root, name, text, told):
    root.package("server", [name])
    root.write(name, text)
    assert root.survey()["incomplete"] == [told]
    assert root.survey(files=[name])["incomplete"] == ([] if "not read" in told else [told])


def test_sites_in_very_many_files_are_cut_short(root, monkeypatch):
    monkeypatch.setattr(insync_survey_web, "FILES", 2)
    for number in range(3):
        root.write(f"/etc/nginx/conf.d/{number}", SERVER % f"{number}.example")
    found = root.survey()
    assert len(found["found"]["sites"]) == 2 and found["incomplete"] == ["sites of nginx: too many files"]
