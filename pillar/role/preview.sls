# Who may look at what is not for everybody: those who know this name, and the secret password of which the hash is kept.
preview:
  user: insync

backup:
  preview: {none: it keeps nothing}
