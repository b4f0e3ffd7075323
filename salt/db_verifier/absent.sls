{#- The server verifies no backups any more. Its record stays in /var/lib/insync. -#}
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

db-verifier-absent-packages:
  insync_package.absent:
    - pkgs: [age, mariadb-backup, mariadb-client, mariadb-client-core, mariadb-server-core, zstd]
    - require:
      - insync_unit: db-verifier-absent-db-verifier

{#- What a run that was ended half way has left there is in clear text. #}
db-verifier-absent-restored:
  file.absent:
    - name: /var/lib/insync-verify
    - require:
      - insync_unit: db-verifier-absent-db-verifier
