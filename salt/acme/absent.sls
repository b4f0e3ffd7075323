{#- What a server without public names has no use for: the certificates, the CA's account, the key to the DNS. -#}
{%- from 'acme/map.jinja' import certificate, dns_credentials, folder, names, wildcard_certificate, wildcard_names with context %}
{#- One that is not served is not to be renewed either. #}
{%- for path, domains in [(certificate, names), (wildcard_certificate, wildcard_names)] if not domains %}
{%- set name = path.split('/')[-1].removesuffix('.pem') %}

acme-absent-{{ name }}:
  file.absent:
    - names:
      - {{ path }}
      - /etc/letsencrypt/archive/{{ name }}
      - /etc/letsencrypt/live/{{ name }}
      - /etc/letsencrypt/renewal/{{ name }}.conf
{%- endfor %}
{%- if not wildcard_names %}

acme-absent-dns-credentials:
  file.absent:
    - name: {{ dns_credentials }}

acme-absent-dns-packages:
  insync_package.absent:
    - pkgs:
      - python3-certbot-dns-digitalocean
      - python3-certbot-dns-rfc2136
{%- endif %}
{%- if not names and not wildcard_names %}

acme-absent-timer:
  insync_unit.absent:
    - name: certbot.timer

acme-absent-package:
  insync_package.absent:
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
      - /etc/letsencrypt/aside
      - /etc/letsencrypt/csr
      - /etc/letsencrypt/keys
      - /etc/letsencrypt/live
      - /etc/letsencrypt/renewal
    - require:
      - insync_package: acme-absent-package
{%- for folder in ['/etc/letsencrypt', '/var/log/letsencrypt'] %}

acme-absent-{{ folder }}:
  insync_data.kept:
    - name: {{ folder }}
    - package: certbot
{%- endfor %}
{%- endif %}
