"""Usage: daily.py, in Misago's virtualenv: removes what it is set to forget, and brings its counts up to date."""

import sys
import traceback

import django
from django.core.management import call_command

COMMANDS = """
buildactivepostersranking
clearattachments
clearnotifications
clearreadtracker
clearsessions
deleteinactiveusers
deletemarkedusers
expireuserdatadownloads
invalidatebans
prepareuserdatadownloads
prunecategories
removeoldips
""".split()

django.setup()
failed = []
for command in COMMANDS:
    # One that fails keeps none of the others from their work.
    try:
        call_command(command, stdout=sys.stderr)
    except Exception:
        traceback.print_exc()
        failed.append(command)
if failed:
    sys.exit(f"failed: {', '.join(failed)}")
