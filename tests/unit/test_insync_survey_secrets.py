"""A word that is no program, wherever it stands in what somebody wrote by hand, is never told."""

import json
import re

import insync_survey_mask
import pytest

WORD = "S3CRET"
PROGRAMS = ["app", "bash", "curl", "dump", "env", "gzip", "mail", "mysql", "python3", "sh", "sudo"]
# Each of its words is replaced once: what stands between spaces, quotes, and all that means something to a shell.
SHELL = [
    "dump all | gzip -9 > backup.gz",
    "dump 'one two' \"three four\" five",
    "dump 'one;two' \"three|four\" five;six",
    "dump `app one` two",
    "dump ` app one ; two ` three",
    "dump $(app one; two) three",
    'dump "$(app "one;two;three")" four',
    'mysql -p"$(echo "a;b;c")" d',
    "mysql <<< one",
    "mysql <<<one two",
    "mysql <<<'one;two' three",
    "mysql << one; two",
    "A=one B=two dump three",
    "A='one two' dump three",
    "A=one; B=two; dump three",
    "dump && A=one app two || B=three app four",
    "A=(one two); dump three",
    "A+=(one) dump",
    "export one=two three=four; dump",
    "env one=two dump three",
    "env -i one=two dump three",
    "sudo -u one dump two",
    "sudo -p one two three",
    "exec one two",
    "command -v one || two",
    "nice -n 5 one two",
    "time one",
    "app --key=one --other two -pthree -p four",
    "app --key=one;two --key three|four",
    "app --key='one;two' --key \"three|four\" five",
    "app --key=one&two=three",
    "app -p one # two (three) four; five",
    "app # it's one; don't two | three",
    "app;#one;two",
    "app \\# one; two",
    "(one two) | (three; four)",
    "((one)) ; [[ two == three ]] && app",
    "{ one; two; } > three",
    "if one; then two; else three; fi",
    "for one in two three; do app four; done",
    "case one in two) three ;; four) five ;; esac",
    "app > one 2> two < three >> four",
    "app >(one two) <(three four) &> five",
    "app | tee one | two & three",
    "app & one & two",
    "app 'one\"two' \"three'four\" five",
    "app one\\;two\\|three \\four",
    "app 'one; two",
    'app "one; two',
    "app one\\",
    "app $'one;two' $\"three;four\"",
    "app ${one:-two;three} ${four}",
    "app one%two;three",
    "! one || ! two",
    "sh -c 'one; two' three",
    'bash -c "one | $(two)" three',
    "python3 -c one -m two",
    "python3 -cone -m two",
    "curl http://h/?user=one;two&three=four|five",
    "curl -u one:two http://three:four@h/five;six;seven",
    "curl --data=one=two;three=four http://h",
    "/usr/bin/app one;two,three;four",
    ". one; two",
    "mail one%two;three%four",
    "one",
]
UNITS = [
    "/usr/bin/app one --key=two --key three -pfour",
    "-@/usr/bin/app one two",
    "+!!/usr/bin/app 'one two' \"three four\"",
    "/usr/bin/app 'one two",
    "/usr/bin/sh -c 'one; two | three'",
    "/usr/bin/app one;two|three&four ; five",
    "/usr/bin/python3 -c one -m two",
    "/usr/bin/python3 -cone -m two",
    "/usr/bin/python3 -X one -m two",
    "/usr/bin/env one=two three",
    "one two three",
    "@one two",
]
# Scheme and host may be told: the word takes every other place.
URLS = [
    "http://*:*@10.0.0.1/*",
    "http://svc:*?@10.0.0.1",
    "http://svc:*#@10.0.0.1",
    "http://svc:*/x@10.0.0.1",
    "http://svc:a@*/x@10.0.0.1",
    "http://svc:a@*",
    "http://svc:*",
    "http://svc:1*",
    "http://10.0.0.1:*/",
    "http://10.0.0.1/*?*#*",
    "http://[*",
    "http://[::1]*",
    "http://$*/",
    "http://a,*",
    "http://a\\*",
    "http:*",
    "*",
    "unix:*",
]
SOURCES = [
    "deb [arch=* signed-by=*] https://packages.example/debian stable *",
    "deb [ arch=* trusted=* ] https://user:*@packages.example/debian stable main",
    "deb [arch=* https://packages.example/debian stable",
    "deb [a=b] ] * stable",
    "deb https://user:*/x@packages.example/debian stable main",
    "deb https://user:a * stable main",
    "deb https://user:1 * stable main",
    "deb https://packages.example/debian *",
    "deb https://packages.example/* stable",
    "deb # *",
    "deb * *",
]
SAID = re.compile(r"\w+")
# The name of a variable is told where a command line begins with it.
NAME = re.compile(rf"^(?:(?:\w+=\.\.\.|env) )*{WORD}=\.\.\.")


def planted(line):
    """``line`` with the word in the place of each of its words, once, and that word's own beginning or end once."""
    for match in SAID.finditer(line):
        for word in (WORD, f"{match[0]};{WORD}", f"{WORD};{match[0]}", f" {WORD} ", f"/{WORD}/../{WORD}"):
            yield line[: match.start()] + word + line[match.end() :]


def is_file(path):
    return path in {f"/usr/bin/{name}" for name in PROGRAMS}


@pytest.mark.parametrize("line", SHELL)
def test_of_a_command_line_only_programs_that_are_there_are_told(line):
    for one in planted(line):
        told = insync_survey_mask.shell(one, is_file)
        assert WORD not in NAME.sub("", told), one


def test_a_word_is_told_if_it_is_a_program():
    assert insync_survey_mask.shell(f"dump; {WORD} a", lambda path: path == f"/usr/bin/{WORD}") == f"... ; {WORD} ..."


@pytest.mark.parametrize("line", UNITS)
def test_of_what_a_unit_starts_only_its_program_is_told(line):
    for one in planted(line):
        # systemd starts a path that stands first, whether or not it is there.
        if not re.match(rf"[-@:+!|]*/[\w./]*{WORD}", one):
            assert WORD not in insync_survey_mask.unit(one, is_file), one


@pytest.mark.parametrize("text", URLS)
def test_of_a_url_nothing_but_its_host_is_told(text):
    assert WORD not in insync_survey_mask.url(text.replace("*", WORD))


@pytest.mark.parametrize("url", [one for one in URLS if not set(" ;") & set(one)])
def test_of_what_a_site_leads_to_nothing_but_its_host_is_told(root, url):
    for tail in ("", ";S3CRET", "#S3CRET"):
        one = url.replace("*", WORD) + tail
        root.write("/etc/nginx/conf.d/x", f"server {{ location / {{ proxy_pass {one}; }} }}\n")
        root.write("/etc/apache2/sites-enabled/x", f"<VirtualHost *:80>\nProxyPass / {one}\n</VirtualHost>\n")
        assert WORD not in json.dumps(root.survey()["found"]["sites"]), one


@pytest.mark.parametrize("line", SOURCES)
def test_of_an_apt_source_its_host_and_a_suite_that_was_fetched_are_told(root, line):
    root.write("/var/lib/apt/lists/packages.example_debian_dists_stable_InRelease", "Origin: Example\n")
    one = line.replace("*", WORD)
    root.write("/etc/apt/sources.list", f"{one}\n")
    url, *more = one.removeprefix("deb").split()
    root.write("/etc/apt/sources.list.d/x.sources", f"Types: deb\nURIs: {url}\nSuites: {' '.join(more)}\n")
    found = root.survey()
    assert WORD not in json.dumps(found), one
    assert found["incomplete"] == []


@pytest.mark.parametrize("line", SHELL)
def test_of_a_crontab_only_programs_that_are_there_are_told(root, line):
    for name in PROGRAMS:
        root.write(f"/usr/bin/{name}")
    lines = [f"{when}{one}" for one in planted(line) for when in ("* * * * * root ", "@daily root ", "* * * * * ", "")]
    root.write("/etc/cron.d/x", "\n".join(lines))
    root.write("/var/spool/cron/crontabs/root", "\n".join(f"@daily {one}" for one in planted(line)))
    for row in root.survey()["found"]["cron"]:
        told = re.sub(r"^(\* \* \* \* \*|@daily) ", "", row["line"])
        assert WORD not in NAME.sub("", told), told


def test_of_what_may_be_done_with_a_key_nothing_is_told(root):
    key = "A" * 40
    lines = [f'command="ssh-{WORD} {key}" ssh-rsa {key}', f'command="{WORD} sk-{WORD} {key}"', f"ssh-rsa {key} {WORD}"]
    root.write("/root/.ssh/authorized_keys", "\n".join(lines))
    (row,) = root.survey()["found"]["keys"]
    assert len(row["keys"]) == 2 and WORD not in json.dumps(row)
