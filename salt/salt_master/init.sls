{#- The salt-master: an unprivileged user that sees the deployed checkout, the site folder and its own keys, nothing else. -#}
{%- from 'salt_master/map.jinja' import address, checkout, master, name, pools, records, site with context %}
include:
  - salt_release

salt-master-packages:
  pkg.installed:
    - pkgs: [gnupg, openssh-client]

salt-master-user:
  user.present:
    - name: salt
    - system: True
    - usergroup: True
    - home: /var/lib/salt
    - shell: /usr/sbin/nologin

{%- for directory in ['/etc/salt/pki/master', '/etc/salt/bootstrap', '/var/cache/salt/master', '/var/log/salt', '/var/run/salt/master'] %}

salt-master-directory-{{ directory }}:
  file.directory:
    - name: {{ directory }}
    - user: salt
    - group: salt
    - mode: '0750'
    - makedirs: True
    - require:
      - user: salt-master-user
{%- endfor %}

{#- Where the release verbs record who did what when. #}
{%- for record in records %}

salt-master-records-{{ record }}:
  file.directory:
    - name: /var/lib/insync/{{ record }}
    - user: salt
    - group: salt
    - mode: '0755'
    - makedirs: True
    - require:
      - user: salt-master-user
{%- endfor %}

salt-master-config:
  file.managed:
    - name: /etc/salt/master
    - source: salt://salt_master/files/master.j2
    - template: jinja
    - user: root
    - group: salt
    - mode: '0640'
    - context:
        master: {{ master | tojson }}
        address: {{ address }}
        checkout: {{ checkout }}
        name: {{ name }}
        site: {{ site }}
    - require:
      - user: salt-master-user

salt-master-logrotate:
  file.managed:
    - name: /etc/logrotate.d/salt-master
    - source: salt://salt_master/files/logrotate
    - user: root
    - group: root
    - mode: '0644'

salt-master-runtime-directory:
  file.managed:
    - name: /etc/tmpfiles.d/salt-master.conf
    - contents: d /run/salt/master 0750 salt salt
    - user: root
    - group: root
    - mode: '0644'

salt-master-unit:
  file.managed:
    - name: /etc/systemd/system/salt-master.service
    - source: salt://salt_master/files/salt-master.service.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - context:
        pools: {{ pools | list | tojson }}
    {%- if pools %}
    - require:
      {%- for pool in pools %}
      - file: salt-master-records-{{ pool }}
      {%- endfor %}
    {%- endif %}

salt-master-restart:
  insync_salt.restarted_when_idle:
    - name: salt-master
    - require:
      - file: salt-restart-command
      - file: salt-restart-unit
    - watch:
      - insync_salt: salt-release
      - file: salt-master-config
      - file: salt-master-unit

salt-master-service:
  service.running:
    - name: salt-master
    - enable: True
    - require:
      - insync_salt: salt-master-restart
