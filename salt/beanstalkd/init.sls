{#- The work queue: every job is on disk before it is acknowledged. -#}
{%- from 'beanstalkd/map.jinja' import beanstalkd, listen with context %}

beanstalkd-package:
  pkg.installed:
    - pkgs: [beanstalkd]

beanstalkd-directory:
  file.directory:
    - name: /var/lib/beanstalkd
    - user: beanstalkd
    - group: beanstalkd
    - mode: '0700'
    - require:
      - pkg: beanstalkd-package

{#- Not checked by beanstalkd itself, which has no such mode; what kind its numbers are is checked in the site's settings. #}
beanstalkd-config:
  file.managed:
    - name: /etc/default/beanstalkd
    - source: salt://beanstalkd/files/beanstalkd.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        beanstalkd: {{ beanstalkd | tojson }}
        listen: {{ listen | tojson }}
    - require:
      - pkg: beanstalkd-package

beanstalkd-unit:
  file.managed:
    - name: /etc/systemd/system/beanstalkd.service.d/insync.conf
    - source: salt://beanstalkd/files/unit.conf.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - context:
        beanstalkd: {{ beanstalkd | tojson }}

beanstalkd-service:
  insync_unit.running:
    - name: beanstalkd
    - require:
      - file: beanstalkd-directory
    - watch:
      - file: beanstalkd-config
      - file: beanstalkd-unit

{#- Red before a full disk is: then no job is taken, and beanstalkd would not start again. #}
beanstalkd-space:
  insync_queue.roomy:
    - name: /var/lib/beanstalkd
    - free_min: {{ beanstalkd.free_min }}
    - binlog_max: {{ beanstalkd.binlog_max }}
    - require:
      - file: beanstalkd-directory
