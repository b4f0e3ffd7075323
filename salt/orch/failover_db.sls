{#- Another primary after a loss: salt-run state.orchestrate orch.failover_db pillar='{"to": "db-slave02"}'
    The verb looks, declares, fences, applies what was received, opens, tells the applications, and has web write. #}
{#- All that is given is the verb's: it refuses what it does not know. #}
{%- set given = {'to': ''} %}
{%- do given.update(pillar) %}
failover-db:
  salt.runner:
    - name: insync.failover_db
    - kwarg: {{ given | tojson }}
