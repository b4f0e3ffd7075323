{#- A release of web: salt-run state.orchestrate orch.release_web pillar='{"packages": ["insync-web==2.4.0"]}'
    An empty list is the newest of everything. The verb looks, builds, starts, flips, watches and commits; whatever fails ends with the former release serving. #}
{%- set packages = salt['pillar.get']('packages', '') %}
{%- if packages is string or packages is not iterable or packages is mapping %}
{{ raise("packages: a list is needed, such as pillar='{\"packages\": [\"insync-web==2.4.0\"]}'") }}
{%- endif %}
release-web:
  salt.runner:
    - name: insync.update_in_web
    - arg: {{ packages | list | tojson }}
