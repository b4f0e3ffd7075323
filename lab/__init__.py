"""The lab: boots the inventory's servers as system containers, with the outside world beside them."""

import pathlib
import sys

# The plain libraries of the states lie where Salt wants them.
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "_utils"))
