#!/bin/sh
# Run by PostgreSQL's image when its volume is empty: a database and a role for each service, and none sees the other's.
set -eu
make() {
    psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres -v name="$1" -v password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name" ENCODING 'UTF8' TEMPLATE template0;
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
}
make registry "$SIDEGATE_REGISTRY_PASSWORD"
make endpoint "$SIDEGATE_ENDPOINT_PASSWORD"
