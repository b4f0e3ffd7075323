# The public address of www.insynchq.com: TLS, and the way to the backends.
include:
  - acme
  - haproxy
