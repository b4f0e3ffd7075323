{#- The commands of old, each of which runs a verb as a recorded job of the operator who types it; and what TAB offers. -#}
{%- from 'operator_commands/map.jinja' import commands, hosts, runners, verbs with context %}

operator-commands-completion-package:
  pkg.installed:
    - pkgs: [bash-completion]

{%- for name, program in commands | dictsort %}

operator-commands-{{ name }}:
  file.managed:
    - name: /usr/local/bin/{{ name }}
    - source: salt://operator_commands/files/command
    - template: jinja
    - user: root
    - group: root
    - mode: '0755'
    - context: {verb: {{ name | replace('.sh', '') }}, program: {{ program }}}
{%- endfor %}

operator-commands-completion:
  file.managed:
    - name: /etc/bash_completion.d/insync
    - source: salt://operator_commands/files/completion
    - template: jinja
    - user: root
    - group: root
    - mode: '0644'
    - makedirs: True
    - dir_mode: '0755'
    - check_cmd: bash -n
    - require:
      - pkg: operator-commands-completion-package
    - context:
        hosts: {{ hosts | tojson }}
        verbs: {{ verbs | tojson }}
        runners: {{ runners | tojson }}
        commands: {{ commands | list | tojson }}
