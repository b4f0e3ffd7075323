{#- The ssh server: keys only, operators only, on the port that the inventory declares. A change of it that locks people out
    is taken back by a timer: each operator's key is tried against the changed server, and only then is it kept. -#}
{%- from 'sshd/map.jinja' import change, keys, sshd, way_in with context %}

sshd-package:
  pkg.installed:
    - pkgs: [openssh-server]

sshd-change:
  file.managed:
    - name: /usr/local/sbin/insync-sshd-change
    - source: salt://sshd/files/change
    - user: root
    - group: root
    - mode: '0755'

sshd-rollback:
  file.managed:
    - name: /etc/systemd/system/insync-sshd-rollback.service
    - source: salt://sshd/files/rollback.service
    - user: root
    - group: root
    - mode: '0644'

sshd-rollback-timer:
  file.managed:
    - name: /etc/systemd/system/insync-sshd-rollback.timer
    - source: salt://sshd/files/rollback.timer.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        change: {{ change | tojson }}

sshd-rollback-at-boot:
  file.symlink:
    - name: /etc/systemd/system/multi-user.target.wants/insync-sshd-rollback.service
    - target: /etc/systemd/system/insync-sshd-rollback.service
    - require:
      - file: sshd-rollback
      - file: sshd-change

{#- Its check keeps what is there and starts the timer, the moment before it is replaced. The packages come first: nothing that
    takes long may stand between that and the trial. #}
sshd-config:
  file.managed:
    - name: /etc/ssh/sshd_config
    - source: salt://sshd/files/sshd_config.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - check_cmd: /usr/local/sbin/insync-sshd-change begin /etc/ssh/sshd_config
    - context:
        sshd: {{ sshd | tojson }}
    - require:
      - pkg: sshd-package
      - pkg: firewall-package
      - insync_operators: operators-leavers
      - file: sshd-rollback-timer
      - file: sshd-rollback-at-boot

{#- The key that the provider put there lets ct1 in once, for the bootstrap. #}
sshd-no-root-keys:
  file.absent:
    - name: /root/.ssh/authorized_keys

{#- A new port is open before anybody listens there. #}
sshd-service:
  insync_unit.running:
    - name: ssh
    - reload: True
    - require:
      - insync_nftables: firewall-loaded
    - watch:
      - file: sshd-config

sshd-confirmed:
  insync_sshd.confirmed:
    - name: {{ way_in.address }}:{{ sshd.port }}
    - operators: {{ keys | tojson }}
    - require:
      - insync_unit: sshd-service
    - watch:
      - file: sshd-config
