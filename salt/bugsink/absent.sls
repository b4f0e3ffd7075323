{#- The Sentry server is elsewhere. Events and backups stay in /var/lib/bugsink, with the user that owns them. -#}
include:
  - uv_cache.absent

bugsink-absent-timer:
  insync_unit.absent:
    - name: bugsink-retention.timer

bugsink-absent-retention:
  insync_unit.absent:
    - name: bugsink-retention

bugsink-absent-snappea:
  insync_unit.absent:
    - name: bugsink-snappea

bugsink-absent-unit:
  insync_unit.absent:
    - name: bugsink

bugsink-absent-virtualenv:
  insync_venv.absent:
    - name: /opt/bugsink
    - require:
      - insync_unit: bugsink-absent-retention
      - insync_unit: bugsink-absent-snappea
      - insync_unit: bugsink-absent-unit

bugsink-absent-files:
  file.absent:
    - names:
      - /etc/bugsink
      - /usr/local/lib/insync-bugsink
    - require:
      - insync_venv: bugsink-absent-virtualenv

bugsink-absent-user:
  insync_user.absent:
    - name: bugsink
    - data: [/var/lib/bugsink]
    - require:
      - file: bugsink-absent-files
