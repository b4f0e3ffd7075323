{#- CI is elsewhere. What Drone knows of builds stays in /var/lib/drone, with the user that owns it. -#}

drone-absent-unit:
  insync_unit.absent:
    - name: drone

drone-absent-files:
  file.absent:
    - names:
      - /etc/drone
      - /usr/local/bin/drone-server
    - require:
      - insync_unit: drone-absent-unit

drone-absent-user:
  insync_user.absent:
    - name: drone
    - data: [/var/lib/drone]
    - require:
      - file: drone-absent-files
