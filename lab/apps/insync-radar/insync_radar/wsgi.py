"""What gunicorn serves: a page with its name, and what every application says of itself. It needs nothing else."""

from insync_core import application

from insync_radar import _build

_PAGE = """<!doctype html>
<html lang="en">
<title>Radar</title>
<h1>Radar</h1>
<p>LAB STAND-IN for Insync's Radar, {version}. {note}
</html>
"""

application = application.create("insync-radar", _build, {})


@application.get("/")
def page():
    """Its name, and which version it is."""
    return _PAGE.format(version=_build.VERSION, note=_build.NOTE)
