"""What the builder writes anew for every version."""

VERSION = "0"
NOTE = ""
FAULT = ""
