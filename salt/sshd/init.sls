{#- The ssh server: keys only, operators only, on the port that the inventory declares. -#}
{%- from 'sshd/map.jinja' import sshd with context %}

sshd-package:
  pkg.installed:
    - pkgs: [openssh-server]

sshd-config:
  file.managed:
    - name: /etc/ssh/sshd_config
    - source: salt://sshd/files/sshd_config.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - check_cmd: /usr/sbin/sshd -t -f
    - context:
        sshd: {{ sshd | tojson }}
    - require:
      - pkg: sshd-package
      - insync_operators: operators-leavers

{#- The key that the provider put there lets ct1 in once, for the bootstrap. #}
sshd-no-root-keys:
  file.absent:
    - name: /root/.ssh/authorized_keys

sshd-service:
  service.running:
    - name: ssh
    - enable: True
    - watch:
      - file: sshd-config
