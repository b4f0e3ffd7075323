{#- Every server plays base; the inventory says what else. Unknown ids have no roles and fail to render. -#}
base:
  '*':
    {%- for role in pillar['roles'] %}
    - role.{{ role }}
    {%- endfor %}
