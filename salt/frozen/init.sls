{#- What is not used any more stays as it is, until it is known whether it may go: no job of somebody's installs or upgrades a
    package, but for security updates. Mails it cannot send: see the firewall. -#}
{%- from 'frozen/map.jinja' import frozen with context %}
{%- if frozen %}

frozen-packages:
  file.managed:
    - name: /etc/apt/preferences.d/insync-frozen
    - source: salt://frozen/files/preferences
    - user: root
    - group: root
    - mode: '0644'
    # What base needs comes first.
    - order: last
{%- else %}

frozen-packages:
  file.absent:
    - name: /etc/apt/preferences.d/insync-frozen
    # What base needs comes afterwards.
    - order: first
{%- endif %}
