# Tunables of a replica of the database, beyond those of mysql_primary, which it has too: there are none.
mariadb: {}
