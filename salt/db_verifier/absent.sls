{#- The server verifies no backups any more. What it restored it has removed itself; its record stays in /var/lib/insync. -#}
{%- for unit in ['db-verifier.timer', 'db-verifier'] %}

db-verifier-absent-{{ unit }}:
  insync_unit.absent:
    - name: {{ unit }}
{%- endfor %}

db-verifier-absent-user:
  insync_user.absent:
    - name: insync-verify
    - data: []
    - require:
      - insync_unit: db-verifier-absent-db-verifier
