{#- Which pillar a server gets follows from its authenticated id and the inventory, never from its grains. -#}
{%- import_yaml 'inventory/hosts.yaml' as hosts %}
{%- set masters = [] %}
{%- for name, host in hosts.items() if 'salt_master' in host.roles %}{% do masters.append(name ~ '_master') %}{% endfor %}
{%- if opts.id not in hosts and opts.id not in masters %}
{{ raise("pillar/inventory/hosts.yaml: there is no server '" ~ opts.id ~ "'") }}
{%- endif %}
base:
  {%- if opts.id in hosts %}
  '{{ opts.id }}':
    - inventory
    - release
    - operators
    - hg
    - secrets
    - tls
    - first_releases
    {#- A replica is configured as its primary is, which it may have to replace: see insync_inventory.tuned_as. #}
    {%- if 'mysql_replica' in hosts[opts.id].roles %}
    - role.mysql_primary
    {%- endif %}
    {%- for role in ['base'] + hosts[opts.id].roles %}
    - role.{{ role }}
    {%- endfor %}
    - settings
    {%- if hosts[opts.id].environment is defined %}
    - environment.{{ hosts[opts.id].environment }}
    {%- endif %}
  {%- else %}
  {}
  {%- endif %}
