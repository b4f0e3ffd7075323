# Shows what this server offers the world to those only who know a password, and to no search engine.
include:
  - haproxy
