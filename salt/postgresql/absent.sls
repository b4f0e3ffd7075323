{#- The server keeps nothing in PostgreSQL any more. The cluster stays in /var/lib/postgresql, with its settings in
    /etc/postgresql and the user postgres whose it is. -#}

postgresql-absent-unit:
  insync_unit.absent:
    - name: postgresql@15-main

postgresql-absent-package:
  insync_package.absent:
    - pkgs:
      - postgresql-15
      - postgresql-client-15
      - postgresql-client-common
      - postgresql-common
    - require:
      - insync_unit: postgresql-absent-unit

postgresql-absent-files:
  file.absent:
    - names:
      - /etc/postgresql/15/main/conf.d/insync.conf
      - /etc/postgresql-common/createcluster.d/insync.conf
    - require:
      - insync_package: postgresql-absent-package

postgresql-absent-user:
  insync_user.absent:
    - name: postgres
    - data: [/etc/postgresql, /var/lib/postgresql]
    - require:
      - file: postgresql-absent-files
