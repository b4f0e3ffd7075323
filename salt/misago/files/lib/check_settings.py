"""Usage: check_settings.py VIRTUALENV FILE: Misago's own check of its settings; before it is there, their syntax."""

import ast
import os
import pathlib
import sys

virtualenv, settings = sys.argv[1:]
python = pathlib.Path(virtualenv, "bin", "python")
CHECK = """
import importlib.machinery, sys
loader = importlib.machinery.SourceFileLoader("misago_conf", sys.argv[1])
sys.modules["misago_conf"] = loader.load_module()
import django
from django.core.management import call_command
django.setup()
call_command("check")
"""

if python.exists():
    environment = {"DJANGO_SETTINGS_MODULE": "misago_conf", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "ignore"}
    os.execve(python, [str(python), "-c", CHECK, settings], environment)
ast.parse(pathlib.Path(settings).read_text(encoding="utf-8"))
