"""LAB STAND-IN. The web application: a page, sign-ups, the current versions."""
