"""What gunicorn serves: the files of the site, and what every application says of itself. It needs nothing else."""

import pathlib

import flask
from insync_core import application

from insync_mrkr import _build

SITE = pathlib.Path(__file__).with_name("site")

application = application.create("insync-mrkr", _build, {})


@application.get("/")
@application.get("/<path:name>")
def file(name="index.html"):
    """A file of the site, or 404."""
    return flask.send_from_directory(SITE, name, max_age=300)
