{#- A release of the desktop client: salt-run state.orchestrate orch.release_client pillar='{"version": "3.9.7.60031"}'
    The verb looks, builds both repositories, publishes them, verifies as a customer would, and sets the current versions; whatever fails is taken back. #}
{#- All that is given is the verb's: it refuses what it does not know. #}
{%- set given = {'version': ''} %}
{%- do given.update(pillar) %}
release-client:
  salt.runner:
    - name: insync.release_client
    - kwarg: {{ given | tojson }}
