{#- The server removes no backups any more. -#}
{%- for unit in ['backup-retention.timer', 'backup-retention'] %}

backup-retention-absent-{{ unit }}:
  insync_unit.absent:
    - name: {{ unit }}
{%- endfor %}
