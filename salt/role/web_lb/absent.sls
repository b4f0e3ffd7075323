# Is not the public address of www.insynchq.com any more.
include:
  - haproxy.absent
