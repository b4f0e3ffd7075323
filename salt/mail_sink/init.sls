{#- A relay that hands on nothing: mail that comes by STARTTLS and with a password is kept in a Maildir. -#}
{%- from 'mail_sink/map.jinja' import folder, listen, sink, tls with context %}

mail-sink-package:
  pkg.installed:
    - pkgs: [python3-aiosmtpd]

mail-sink-program:
  file.managed:
    - name: /usr/local/sbin/insync-mail-sink
    - source: salt://mail_sink/files/mail-sink
    - user: root
    - group: root
    - mode: '0755'

mail-sink-folder:
  file.directory:
    - name: {{ folder }}
    - user: root
    - group: root
    - mode: '0700'
    - makedirs: True

mail-sink-certificate:
  file.managed:
    - name: {{ folder }}/certificate
    - contents: {{ tls.certificate | tojson }}
    - user: root
    - group: root
    - mode: '0644'
    - require:
      - file: mail-sink-folder
{%- for name in ('key', 'password') %}

mail-sink-{{ name }}:
  file.managed:
    - name: {{ folder }}/{{ name }}
    - source: salt://mail_sink/files/{{ name }}.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - show_changes: False
    - backup: none
    - require:
      - file: mail-sink-folder
    - watch_in:
      - insync_unit: mail-sink-service
{%- endfor %}

{#- Whoever sends mail checks the relay's certificate against the authorities that this server knows. #}
mail-sink-authority:
  file.managed:
    - name: /usr/local/share/ca-certificates/insync-fleet.crt
    - contents: {{ tls.ca | tojson }}
    - user: root
    - group: root
    - mode: '0644'

mail-sink-authority-known:
  cmd.run:
    - name: update-ca-certificates
    - onchanges:
      - file: mail-sink-authority

mail-sink-age:
  file.managed:
    - name: /etc/tmpfiles.d/insync-mail-sink.conf
    - contents: e /var/lib/private/mail-sink/mail/new - - - {{ sink.max_age }}
    - user: root
    - group: root
    - mode: '0644'

mail-sink-unit:
  file.managed:
    - name: /etc/systemd/system/mail-sink.service
    - source: salt://mail_sink/files/mail-sink.service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        folder: {{ folder }}
        listen: {{ listen | tojson }}
        sink: {{ sink | tojson }}

mail-sink-service:
  insync_unit.running:
    - name: mail-sink
    - require:
      - pkg: mail-sink-package
    - watch:
      - file: mail-sink-certificate
      - file: mail-sink-program
      - file: mail-sink-unit
