{#- The token with which everything on the conf server may be read and written. What it told stays in /var/lib/insync. -#}

conf-absent-files:
  file.absent:
    - name: /etc/insync/jt
