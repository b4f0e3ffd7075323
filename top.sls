{#- Every server plays base; the inventory says what else, and what it has left. Unknown ids have no roles and fail to render. -#}
base:
  '*':
    {%- for role in pillar['roles'] %}
    - role.{{ role }}
    {%- endfor %}
    {%- for role in pillar['retired'] %}
    - role.{{ role }}.absent
    {%- endfor %}
