{#- The repositories are elsewhere. What was in them stays in /srv/hg, with the user that owns them. -#}

hg-absent-unit:
  insync_unit.absent:
    - name: hgweb

hg-absent-socket:
  insync_unit.absent:
    - name: hgweb.socket
    - require:
      - insync_unit: hg-absent-unit

hg-absent-files:
  file.absent:
    - names:
      - /etc/hg
      - /etc/mercurial/hgrc.d/insync.rc
      - /usr/local/lib/insync-hg
    - require:
      - insync_unit: hg-absent-socket

{#- Part of sshd's settings: as with those, a change is tried, and taken back if it lets nobody in. #}
hg-absent-sshd:
  insync_sshd.absent:
    - name: /etc/ssh/sshd_config.d/hg.conf
    - require:
      - file: sshd-rollback-timer
      - file: sshd-rollback-at-boot
    - watch_in:
      - insync_unit: sshd-service
      - insync_sshd: sshd-confirmed

hg-absent-packages:
  insync_package.absent:
    - pkgs: [gunicorn, mercurial, mercurial-common, python3-gunicorn]
    - require:
      - insync_unit: hg-absent-socket

hg-absent-user:
  insync_user.absent:
    - name: hg
    - data: [/srv/hg]
    - require:
      - insync_unit: hg-absent-socket
