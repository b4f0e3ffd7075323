{#- CI: the engine that pillar names. -#}
{%- from 'ci/map.jinja' import engine with context %}
{%- if engine == 'buildbot' %}
include:
  - buildbot
{%- else %}
include:
  - drone
{%- endif %}
