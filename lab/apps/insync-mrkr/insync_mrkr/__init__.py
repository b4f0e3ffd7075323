"""LAB STAND-IN. The web site mrkr.io: a folder of files."""
