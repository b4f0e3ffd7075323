{#- The way in at the provider's console when ssh is lost; ssh itself never takes a password. -#}
{%- from 'console/map.jinja' import password_hash with context %}

console-root:
  user.present:
    - name: root
    - password: {{ password_hash | tojson }}
