# Makes the apt and yum repositories of the desktop client, and publishes them to S3.
include:
  - repos
