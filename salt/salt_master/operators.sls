{#- Operators run Salt as the master's user; sudo records who, and Salt records who for each job. -#}
salt-master-sudo:
  file.managed:
    - name: /etc/sudoers.d/salt
    - source: salt://salt_master/files/sudoers
    - user: root
    - group: root
    - mode: '0440'
    - check_cmd: visudo -cf
    - require:
      - pkg: operators-packages
