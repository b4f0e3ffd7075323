{#- The certificate and the CA's account of a server that has no public name any more. -#}
{%- from 'acme/map.jinja' import folder, names with context %}
{%- if not names %}

acme-absent-timer:
  insync_unit.absent:
    - name: certbot.timer

acme-absent-package:
  pkg.removed:
    - pkgs: [certbot, python3-certbot]
    - require:
      - insync_unit: acme-absent-timer

{#- Keys: a certificate is ordered anew. #}
acme-absent-keys:
  file.absent:
    - names:
      - {{ folder }}
      - /etc/letsencrypt/accounts
      - /etc/letsencrypt/archive
      - /etc/letsencrypt/keys
      - /etc/letsencrypt/live
      - /etc/letsencrypt/renewal
    - require:
      - pkg: acme-absent-package
{%- endif %}
