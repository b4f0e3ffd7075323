{#- The work queue is elsewhere. Jobs that were not done stay in /var/lib/beanstalkd, with the user that owns them. -#}

beanstalkd-absent-unit:
  insync_unit.absent:
    - name: beanstalkd

beanstalkd-absent-socket:
  insync_unit.absent:
    - name: beanstalkd.socket

{#- Not purged: that would take the jobs too. #}
beanstalkd-absent-package:
  insync_package.absent:
    - pkgs: [beanstalkd]
    - require:
      - insync_unit: beanstalkd-absent-unit
      - insync_unit: beanstalkd-absent-socket

beanstalkd-absent-config:
  file.absent:
    - name: /etc/default/beanstalkd
    - require:
      - insync_package: beanstalkd-absent-package

beanstalkd-absent-user:
  insync_user.absent:
    - name: beanstalkd
    - data: [/var/lib/beanstalkd]
    - require:
      - insync_package: beanstalkd-absent-package
