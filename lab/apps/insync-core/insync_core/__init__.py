"""LAB STAND-IN. What Insync's applications share: conf, readiness, connections, and how they say who they are."""
