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

DO $$
BEGIN
    -- What follows shuts every other role out of the database, the service too.
    IF to_regclass('public.audit') IS NOT NULL THEN
        RAISE EXCEPTION '% is the database of the audit: the checkpoints need a database of their own', current_database();
    END IF;
END $$;

CREATE ROLE aizen_checkpoints LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;

-- PostgreSQL lets every role enter every database, create temporary tables there, and before version 15 also others.
DO $$
BEGIN
    EXECUTE format('REVOKE CONNECT, TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO aizen_checkpoints', current_database());
END $$;
REVOKE ALL ON SCHEMA public FROM PUBLIC;

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
