-- The checkpoints of the audit in PostgreSQL (`checkpoint_database` of aizen.yaml).
--
-- Run it once in a database of its own, on a server of its own if there is one, as a role that neither the service nor
-- the owner of the audit can become, such as the superuser who looks after that server:
--
--   createdb aizen_checkpoints
--   psql --single-transaction --set ON_ERROR_STOP=1 --file checkpoints.sql aizen_checkpoints
--   psql --command '\password aizen_checkpoints' aizen_checkpoints
--
-- The role that runs it owns the table; `aizen_checkpoints` can read and insert rows, and nothing else.

CREATE ROLE aizen_checkpoints LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;

CREATE SCHEMA aizen_checkpoints;
REVOKE ALL ON SCHEMA aizen_checkpoints FROM PUBLIC;

-- One signed checkpoint a row. Replicas that write at the same moment exclude each other by the key.
CREATE TABLE aizen_checkpoints.checkpoints (
    position bigint PRIMARY KEY CHECK (position > 0),
    line text NOT NULL CHECK (line <> '' AND position(E'\n' IN line) = 0)
);
REVOKE ALL ON aizen_checkpoints.checkpoints FROM PUBLIC;

GRANT USAGE ON SCHEMA aizen_checkpoints TO aizen_checkpoints;
GRANT SELECT, INSERT ON aizen_checkpoints.checkpoints TO aizen_checkpoints;
