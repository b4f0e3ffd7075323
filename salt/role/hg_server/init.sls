# hg.insynchq.com: the Mercurial repositories, by https and by ssh.
include:
  - hg
