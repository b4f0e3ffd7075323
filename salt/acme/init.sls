{#- The certificates of the public names: self-signed until the CA has issued one, then renewed by a timer. Whoever serves them
    puts a hook into renewal-hooks/deploy/ and is up before acme-certificate and acme-wildcard-certificate. -#}
{%- from 'acme/map.jinja' import certificate, directory, dns, dns_credentials, email, folder, names, port with context %}
{%- from 'acme/map.jinja' import wildcard_certificate, wildcard_names with context %}

acme-package:
  pkg.installed:
    - pkgs: [certbot]

acme-certificates:
  file.directory:
    - name: {{ folder }}
    - user: root
    - group: root
    - mode: '0755'
    - makedirs: True
{%- if names %}

acme-self-signed:
  insync_certificate.self_signed:
    - name: {{ certificate }}
    - domains: {{ names | tojson }}
    - require:
      - file: acme-certificates

acme-certificate:
  insync_certificate.issued:
    - name: {{ certificate }}
    - domains: {{ names | tojson }}
    - directory: '{{ directory }}'
    - email: '{{ email }}'
    - port: {{ port }}
    - require:
      - pkg: acme-package
      - insync_certificate: acme-self-signed
{%- endif %}
{%- if wildcard_names %}

{#- The CA wants the names below a wildcard to be proven by a record in their zone. #}
acme-dns-package:
  pkg.installed:
    - pkgs: [python3-certbot-dns-{{ dns.provider }}]

acme-dns-credentials:
  file.managed:
    - name: {{ dns_credentials }}
    - source: salt://acme/files/dns-challenge.ini.j2
    - template: jinja
    - user: root
    - group: root
    - mode: '0600'
    - show_changes: False
    - backup: none
    - require:
      - file: acme-certificates

acme-wildcard-self-signed:
  insync_certificate.self_signed:
    - name: {{ wildcard_certificate }}
    - domains: {{ wildcard_names | tojson }}
    - require:
      - file: acme-certificates

acme-wildcard-certificate:
  insync_certificate.issued:
    - name: {{ wildcard_certificate }}
    - domains: {{ wildcard_names | tojson }}
    - directory: '{{ directory }}'
    - email: '{{ email }}'
    - dns:
        provider: {{ dns.provider }}
        credentials: {{ dns_credentials }}
        propagation_seconds: {{ dns.propagation_seconds }}
    - require:
      - pkg: acme-package
      - pkg: acme-dns-package
      - file: acme-dns-credentials
      - insync_certificate: acme-wildcard-self-signed
{%- endif %}

acme-renewal:
  service.running:
    - name: certbot.timer
    - enable: True
    - require:
      - pkg: acme-package
