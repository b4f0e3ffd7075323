{#- A release of the desktop client: salt-run state.orchestrate orch.release_client pillar='{"version": "3.9.7.60031"}'
    The verb looks, builds both repositories, publishes them, verifies as a customer would, and sets the current versions; whatever fails is taken back. #}
{%- set version = salt['pillar.get']('version', '') %}
{%- if version is not string or not version %}
{{ raise("version: a text is needed, such as pillar='{\"version\": \"3.9.7.60031\"}'") }}
{%- endif %}
release-client:
  salt.runner:
    - name: insync.release_client
    - arg: [{{ version | tojson }}]
