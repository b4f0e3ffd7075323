{#- The forum is elsewhere. Uploads and backups stay in /var/lib/misago, with the user that owns them. -#}
include:
  - uv_cache.absent

misago-absent-timer:
  insync_unit.absent:
    - name: misago-daily.timer

misago-absent-daily:
  insync_unit.absent:
    - name: misago-daily

misago-absent-worker:
  insync_unit.absent:
    - name: misago-worker

misago-absent-unit:
  insync_unit.absent:
    - name: misago

misago-absent-redis:
  insync_unit.absent:
    - name: misago-redis
    - require:
      - insync_unit: misago-absent-daily
      - insync_unit: misago-absent-unit
      - insync_unit: misago-absent-worker

misago-absent-packages:
  insync_package.absent:
    - pkgs: [redis-server, redis-tools]
    - require:
      - insync_unit: misago-absent-redis

misago-absent-virtualenv:
  insync_venv.absent:
    - name: /opt/misago
    - require:
      - insync_unit: misago-absent-redis

misago-absent-files:
  file.absent:
    - names:
      - /etc/misago
      - /usr/local/lib/insync-misago
    - require:
      - insync_venv: misago-absent-virtualenv

misago-absent-user:
  insync_user.absent:
    - name: misago
    - data: [/var/lib/misago]
    - require:
      - file: misago-absent-files

{#- Its purge takes along what Debian's own redis has stored there. #}
misago-absent-redis-data:
  insync_data.kept:
    - name: /var/lib/redis
    - package: redis-tools

misago-absent-redis-user:
  insync_user.absent:
    - name: redis
    - package: redis-server
    - require:
      - insync_package: misago-absent-packages
