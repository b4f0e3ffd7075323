{#- CI is elsewhere. What it has told of builds stays in /var/lib/buildbot, with the user that owns it. -#}
include:
  - uv_cache.absent
{%- for unit in ['buildbot-worker', 'buildbot-job.socket', 'buildbot-job@', 'buildbot'] %}

buildbot-absent-{{ unit }}:
  insync_unit.absent:
    - name: {{ unit }}
    - require_in:
      - insync_package: buildbot-absent-packages
      - insync_venv: buildbot-absent-virtualenv
{%- endfor %}

buildbot-absent-packages:
  insync_package.absent:
    - pkgs: [mercurial, mercurial-common]

buildbot-absent-virtualenv:
  insync_venv.absent:
    - name: /opt/buildbot

buildbot-absent-files:
  file.absent:
    - names:
      - /etc/buildbot
      - /usr/local/lib/insync-buildbot
      - /usr/local/lib/insync-buildbot-check
      - /var/cache/buildbot
      - /run/buildbot-www
    - require:
      - insync_venv: buildbot-absent-virtualenv

buildbot-absent-user:
  insync_user.absent:
    - name: buildbot
    - data: [/var/lib/buildbot]
    - require:
      - file: buildbot-absent-files

buildbot-absent-worker-user:
  insync_user.absent:
    - name: buildbot-worker
    - require:
      - file: buildbot-absent-files
