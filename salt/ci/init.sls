{#- CI: the engine that pillar names. -#}
{%- from 'ci/map.jinja' import engine with context %}
{%- if engine == 'buildbot' %}
include:
  - buildbot
{%- elif engine == 'drone' %}
include:
  - drone
{%- endif %}
