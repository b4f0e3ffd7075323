{#- The package index is elsewhere. The packages stay in /var/lib/devpi, with the user that owns them. -#}
include:
  - uv_cache.absent

devpi-absent-unit:
  insync_unit.absent:
    - name: devpi

devpi-absent-virtualenv:
  insync_venv.absent:
    - name: /opt/devpi
    - require:
      - insync_unit: devpi-absent-unit

devpi-absent-plugin:
  file.absent:
    - name: /usr/local/lib/insync-devpi
    - require:
      - insync_unit: devpi-absent-unit

devpi-absent-user:
  insync_user.absent:
    - name: devpi
    - data: [/var/lib/devpi]
    - require:
      - insync_unit: devpi-absent-unit
