"""LAB STAND-IN. The conf server, and jt that loads it."""
