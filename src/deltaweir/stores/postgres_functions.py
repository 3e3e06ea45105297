"""What the server does by itself with the records of keys' budgets and rates.

As functions, whose statements it plans once for each of its sessions: said anew each time they
would take as much again. They take one JSON document, and lock in the order of names, so that
nobody waits for another in a circle.
"""

from __future__ import annotations


def functions(schema: str) -> tuple[str, ...]:
    """Return the statements that make them.

    Args:
        schema: Where the tables are.
    """
    return tuple(text.replace("{schema}", schema) for text in (_COMMIT, _HOLD))


# Writes records, if each is of the version that was seen, else returns all as they are. Without
# `waits`, whoever holds something already, what is held by others is not waited for.
_COMMIT = """CREATE FUNCTION {schema}.key_commit(
    told jsonb, OUT held boolean, OUT at double precision, OUT records jsonb
) LANGUAGE plpgsql AS $$
DECLARE
    wanted record;
    there record;
BEGIN
    PERFORM set_config('lock_timeout', told ->> 'patience', true);
    IF NOT (told -> 'durable')::boolean THEN
        PERFORM set_config('synchronous_commit', 'off', true);
    END IF;
    held := true;
    records := '{}';
    FOR wanted IN SELECT * FROM jsonb_to_recordset(told -> 'records')
        AS one (name text, seen text) ORDER BY name COLLATE "C"
    LOOP
        IF wanted.seen = '' THEN
            INSERT INTO {schema}.key_books (name) VALUES (wanted.name) ON CONFLICT DO NOTHING;
        END IF;
        IF (told -> 'waits')::boolean THEN
            SELECT version, fields INTO there FROM {schema}.key_books
                WHERE name = wanted.name FOR UPDATE;
        ELSE
            SELECT version, fields INTO there FROM {schema}.key_books
                WHERE name = wanted.name FOR UPDATE NOWAIT;
        END IF;
        held := held AND coalesce(there.version, '') = wanted.seen;
        IF there.version IS NOT NULL THEN
            records := records
                || jsonb_build_object(wanted.name, jsonb_build_array(there.version, there.fields));
        END IF;
    END LOOP;
    IF held THEN
        records := NULL;
        FOR wanted IN SELECT * FROM jsonb_to_recordset(told -> 'records')
            AS one (name text, fields jsonb, lasts_s bigint) WHERE fields IS NOT NULL
        LOOP
            UPDATE {schema}.key_books SET version = told ->> 'commit', fields = wanted.fields,
                expires = now() + wanted.lasts_s * interval '1 second'
                WHERE name = wanted.name;
        END LOOP;
    END IF;
    at := extract(epoch FROM clock_timestamp());
END $$"""

# Locks records until the transaction ends, and returns them. Should whoever asked fall silent,
# the server ends it.
_HOLD = """CREATE FUNCTION {schema}.key_hold(told jsonb, OUT records jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    wanted record;
    there record;
BEGIN
    PERFORM set_config('lock_timeout', told ->> 'patience', true);
    PERFORM set_config('idle_in_transaction_session_timeout', told ->> 'silence', true);
    records := '{}';
    FOR wanted IN SELECT name FROM jsonb_array_elements_text(told -> 'names')
        AS one (name) ORDER BY name COLLATE "C"
    LOOP
        SELECT version, fields INTO there FROM {schema}.key_books
            WHERE name = wanted.name FOR UPDATE;
        IF there.version IS NOT NULL THEN
            records := records
                || jsonb_build_object(wanted.name, jsonb_build_array(there.version, there.fields));
        END IF;
    END LOOP;
END $$"""
