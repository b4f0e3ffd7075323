{#- Who keeps trying names and keys at the gateway is shut out of its ssh, in a table of nftables that is fail2ban's own. -#}
{%- from 'fail2ban/map.jinja' import fail2ban, fleet, port with context %}

{#- Debian's own settings read a log file that only rsyslog writes; the journal is read through python3-systemd. #}
fail2ban-package:
  pkg.installed:
    - pkgs: [fail2ban, nftables, python3-systemd]

fail2ban-check:
  file.managed:
    - name: /usr/local/sbin/insync-fail2ban-check
    - source: salt://fail2ban/files/check
    - user: root
    - group: root
    - mode: '0755'

fail2ban-jail:
  file.managed:
    - name: /etc/fail2ban/jail.d/insync.local
    - source: salt://fail2ban/files/jail.local.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: /usr/local/sbin/insync-fail2ban-check jail.d/insync.local
    - context:
        fail2ban: {{ fail2ban | tojson }}
        fleet: {{ fleet | tojson }}
        port: {{ port }}
    - require:
      - pkg: fail2ban-package
      - file: fail2ban-check

{#- Before that the whole would not pass the check: see above. #}
fail2ban-config:
  file.managed:
    - name: /etc/fail2ban/fail2ban.d/insync.local
    - source: salt://fail2ban/files/fail2ban.local.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - check_cmd: /usr/local/sbin/insync-fail2ban-check fail2ban.d/insync.local
    - context:
        fail2ban: {{ fail2ban | tojson }}
    - require:
      - pkg: fail2ban-package
      - file: fail2ban-check
      - file: fail2ban-jail

fail2ban-unit:
  file.managed:
    - name: /etc/systemd/system/fail2ban.service.d/insync.conf
    - source: salt://fail2ban/files/unit.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - context:
        fail2ban: {{ fail2ban | tojson }}

{#- It remembers whom it has shut out; a restart lets nobody in. #}
fail2ban-service:
  insync_unit.running:
    - name: fail2ban
    - watch:
      - file: fail2ban-config
      - file: fail2ban-jail
      - file: fail2ban-unit
