#!/bin/bash
# What the official image's documentation promises, as far as docker-compose.yml uses it: an empty volume is filled with
# the password of POSTGRES_PASSWORD and by /docker-entrypoint-initdb.d, and then the server runs as user postgres.
set -euo pipefail

if [ "$(id -u)" = 0 ]; then
    chown postgres "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb --username=postgres --pwfile=<(echo "${POSTGRES_PASSWORD:?}") --auth-local=trust --auth-host=scram-sha-256 >/dev/null
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    pg_ctl -w start -o "-c listen_addresses=''" >/dev/null
    for script in /docker-entrypoint-initdb.d/*.sh; do
        POSTGRES_USER=postgres "$script"
    done
    pg_ctl -m fast -w stop >/dev/null
fi
exec "$@" -c "listen_addresses=*"
