{#- What uv has kept of packages, Insync's own among them, once nothing of the server is installed by it any more. -#}
{%- from 'uv_cache/map.jinja' import used with context %}
{%- if not used %}

uv-cache-absent-folder:
  file.absent:
    - name: /var/cache/insync
{%- endif %}
