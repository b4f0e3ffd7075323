{#- The certificate of the public names: self-signed until the CA has issued one, then renewed by a timer. Whoever serves it
    puts a hook into renewal-hooks/deploy/ and is up before acme-certificate. -#}
{%- from 'acme/map.jinja' import certificate, directory, email, folder, names, port with context %}

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

acme-renewal:
  service.running:
    - name: certbot.timer
    - enable: True
    - require:
      - pkg: acme-package
