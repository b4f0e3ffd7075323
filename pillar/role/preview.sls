# Who may look at what is not for everybody: those who know this name, and the secret password of which the hash is kept.
preview:
  user: insync
  # Of one address; who guesses more of them in a minute is not even asked until that is over.
  wrong_passwords: 20

backup:
  preview: {none: it keeps nothing}
