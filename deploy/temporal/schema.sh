#!/bin/sh
# Make Temporal's two databases in Postgres, or bring them to the schema of this version. Where there is
# nothing to do, nothing is done.
#
# Environment: SQL_PLUGIN SQL_HOST SQL_PORT SQL_USER SQL_PASSWORD_FILE, the databases' names DBNAME and
# VISIBILITY_DBNAME. Needs temporal-sql-tool.
set -eu

SQL_PASSWORD=$(cat "$SQL_PASSWORD_FILE")
export SQL_PASSWORD

prepare() { # database, schema
    # An existing database is no fault; whatever else is wrong, the next command says.
    temporal-sql-tool --database "$1" create >/dev/null 2>&1 || true
    temporal-sql-tool --database "$1" setup-schema -v 0.0
    temporal-sql-tool --database "$1" update-schema --schema-name "$2"
}

prepare "$DBNAME" postgresql/v12/temporal
prepare "$VISIBILITY_DBNAME" postgresql/v12/visibility
