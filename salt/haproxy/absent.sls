{#- The public address is elsewhere. Which servers were drained stays in /var/lib/insync/lb. -#}
include:
  - acme.absent

haproxy-absent-unit:
  insync_unit.absent:
    - name: haproxy

{#- Not purged: a package that is configured again does not bring back the files that were removed from its own. #}
haproxy-absent-package:
  insync_package.absent:
    - pkgs: [haproxy, socat]
    - require:
      - insync_unit: haproxy-absent-unit

haproxy-absent-files:
  file.absent:
    - names:
      - /etc/haproxy/active.map
      - /etc/haproxy/errors/insync-503.http
      - /etc/haproxy/haproxy.cfg
      - /etc/letsencrypt/renewal-hooks/deploy/haproxy
      - /usr/local/sbin/insync-keep-maintenance
      - /usr/local/sbin/insync-save-servers
      - /var/lib/haproxy
    - require:
      - insync_package: haproxy-absent-package

haproxy-absent-user:
  insync_user.absent:
    - name: haproxy
    - require:
      - file: haproxy-absent-files

haproxy-absent-data:
  insync_data.kept:
    - name: /var/lib/insync/lb
