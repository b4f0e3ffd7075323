{#- The server is no redis any more. What the instances have stored stays in /var/lib/redis, with the user redis whose it is. -#}
redis-absent-instances:
  insync_redis.absent:
    - name: redis-server@*.service

redis-absent-package:
  insync_package.absent:
    - pkgs: [redis-server, redis-tools]
    - require:
      - insync_redis: redis-absent-instances

redis-absent-files:
  file.absent:
    - names:
      - /etc/redis/tls.pem
      - /etc/sysctl.d/60-redis.conf
      - /usr/local/sbin/insync-redis-begin-append-only
      - /usr/local/sbin/insync-redis-check
    - require:
      - insync_redis: redis-absent-instances

redis-absent-user:
  insync_user.absent:
    - name: redis
    - data: [/var/lib/redis]
    - package: redis-server
    - require:
      - insync_package: redis-absent-package
