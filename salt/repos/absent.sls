{#- The programs that make repositories. The packages and what is known of them stay in /srv/repos and /var/lib/insync/repos. -#}

repos-absent-packages:
  insync_package.absent:
    - pkgs: [apt-utils, createrepo-c, dnf, rpm]
{%- for folder in ['/srv/repos', '/var/lib/insync/repos'] %}

repos-absent-{{ folder }}:
  insync_data.kept:
    - name: {{ folder }}
{%- endfor %}
