-- The tables of a ledger on PostgreSQL, version 1. SCHEMA is replaced by the name of the ledger's own schema.
CREATE TABLE SCHEMA.format (version bigint NOT NULL);
INSERT INTO SCHEMA.format VALUES (1);
CREATE TABLE SCHEMA.terms (
  one boolean PRIMARY KEY DEFAULT true CHECK (one), version text NOT NULL, budgets text NOT NULL, limits text NOT NULL,
  allowances text NOT NULL
);
INSERT INTO SCHEMA.terms VALUES (true, '', '[]', '[]', '[]');
-- Sums by key, in nano-USD. `charged` says that there was a charge, `opened` counts the open holds. A row is locked by each step
-- that changes it.
CREATE TABLE SCHEMA.balances (
  key text PRIMARY KEY, settled bigint NOT NULL DEFAULT 0, held bigint NOT NULL DEFAULT 0, charged boolean NOT NULL DEFAULT false,
  opened bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
-- Holds that are not settled. Times are microseconds since 1970.
CREATE TABLE SCHEMA.holds (
  id text PRIMARY KEY, keys text[] NOT NULL, ask bigint NOT NULL, expires bigint NOT NULL, model text NOT NULL,
  override text NOT NULL, step text NOT NULL, released text NOT NULL DEFAULT ''
);
CREATE TABLE SCHEMA.open_holds (
  key text NOT NULL, expires bigint NOT NULL, id text NOT NULL, ask bigint NOT NULL, PRIMARY KEY (key, expires, id)
);
CREATE TABLE SCHEMA.charges (
  number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL UNIQUE, keys text[] NOT NULL,
  nusd bigint NOT NULL CHECK (nusd >= 0), basis text NOT NULL, model text NOT NULL, settled_at bigint NOT NULL,
  override text NOT NULL, step text NOT NULL
);
-- The charges that may be in a rolling window yet.
CREATE TABLE SCHEMA.rolling_charges (
  key text NOT NULL, settled_at bigint NOT NULL, id text NOT NULL, nusd bigint NOT NULL, PRIMARY KEY (key, settled_at, id)
);
-- Steps that their client has given up.
CREATE TABLE SCHEMA.fences (step text PRIMARY KEY, made timestamptz NOT NULL DEFAULT now());
CREATE TABLE SCHEMA.checked (made timestamptz NOT NULL);
