{#- What the verbs that make and publish repositories need; the packages themselves come by `insync.update_apt_repo`. -#}
{%- from 'repos/map.jinja' import home with context %}

repos-packages:
  pkg.installed:
    - pkgs: [apt-utils, createrepo-c, dnf, dpkg, gpg, gpg-agent, gpgv, rpm]

repos-home:
  file.directory:
    - name: {{ home }}
    - user: root
    - group: root
    - mode: '0755'
