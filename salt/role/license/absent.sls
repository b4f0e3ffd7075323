# Serves /license no more. What the application wrote stays.
include:
  - app.absent
