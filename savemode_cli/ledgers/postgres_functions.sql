-- One step of a ledger on PostgreSQL, with the arguments and the answer of `redis_step.lua`. SCHEMA is replaced by the name of the
-- ledger's own schema.
--
-- Rule of this file: amounts are bigint, which is exact and raises an error where it would not be. A step locks the balances of its
-- keys in their order, so that two steps never wait for each other.
CREATE OR REPLACE FUNCTION SCHEMA.balance(k text, at bigint, gone bigint) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  b SCHEMA.balances;
  expired bigint := 0;
  left_charges bigint := 0;
  left_holds bigint := 0;
BEGIN
  SELECT * INTO b FROM SCHEMA.balances WHERE key = k;
  IF b.opened > 0 THEN
    SELECT coalesce(sum(ask), 0) INTO expired FROM SCHEMA.open_holds WHERE key = k AND expires <= at;
  END IF;
  IF gone IS NOT NULL THEN
    SELECT coalesce(sum(nusd), 0) INTO left_charges FROM SCHEMA.rolling_charges WHERE key = k AND settled_at <= gone;
    SELECT coalesce(sum(ask), 0) INTO left_holds FROM SCHEMA.open_holds WHERE key = k AND expires <= gone;
  END IF;
  RETURN jsonb_build_array(
    CASE WHEN b.charged THEN b.settled::text ELSE '' END, coalesce(b.held, 0)::text, 'expired', jsonb_build_array(expired::text),
    jsonb_build_array(left_charges::text), jsonb_build_array(left_holds::text), coalesce(b.opened, 0)::text
  );
END $$;

CREATE OR REPLACE FUNCTION SCHEMA.stop_counting(h SCHEMA.holds) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  IF h.released <> '' THEN RETURN; END IF;
  UPDATE SCHEMA.balances SET held = held - h.ask, opened = opened - 1 WHERE key = ANY (h.keys);
  DELETE FROM SCHEMA.open_holds WHERE key = ANY (h.keys) AND expires = h.expires AND id = h.id;
END $$;

CREATE OR REPLACE FUNCTION SCHEMA.settle(s jsonb, step_name text, before text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  h SCHEMA.holds;
  done text;
  k text;
BEGIN
  SELECT c.step INTO done FROM SCHEMA.charges c WHERE c.id = s->>0;
  IF done IS NOT NULL THEN
    IF before = '' OR done <> before THEN RETURN 'repeated'; END IF;
    UPDATE SCHEMA.charges c SET step = step_name WHERE c.id = s->>0;
    RETURN 'charged';
  END IF;
  SELECT * INTO h FROM SCHEMA.holds WHERE id = s->>0;
  IF FOUND THEN
    PERFORM SCHEMA.stop_counting(h);
    DELETE FROM SCHEMA.holds WHERE id = h.id;
  ELSIF jsonb_array_length(s->6) = 0 THEN
    RETURN 'unknown';
  ELSE
    h.keys := ARRAY(SELECT jsonb_array_elements_text(s->6));
    h.model := s->>4;
    h.override := s->>5;
  END IF;
  INSERT INTO SCHEMA.balances (key, settled, charged) SELECT one, (s->>1)::bigint, true FROM unnest(h.keys) one
    ON CONFLICT (key) DO UPDATE SET settled = balances.settled + excluded.settled, charged = true;
  FOREACH k IN ARRAY h.keys LOOP
    IF left(k, 1) = 'r' THEN
      INSERT INTO SCHEMA.rolling_charges VALUES (k, (s->>3)::bigint, s->>0, (s->>1)::bigint);
    END IF;
  END LOOP;
  INSERT INTO SCHEMA.charges (id, keys, nusd, basis, model, settled_at, override, step)
    VALUES (s->>0, h.keys, (s->>1)::bigint, s->>2, h.model, (s->>3)::bigint, h.override, step_name);
  RETURN 'charged';
END $$;

CREATE OR REPLACE FUNCTION SCHEMA.reserve(r jsonb, step_name text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  at bigint := (r->>5)::bigint;
  fits boolean := true;
  standings jsonb := '[]';
  l jsonb;
  gone bigint;
  dropped bigint;
  standing jsonb;
  used bigint;
  leaving jsonb;
  new_keys text[] := ARRAY(SELECT jsonb_array_elements_text(r->6));
BEGIN
  FOR l IN SELECT * FROM jsonb_array_elements(r->7) LOOP
    gone := nullif(l->>2, '')::bigint;
    IF gone IS NOT NULL THEN
      WITH old AS (DELETE FROM SCHEMA.rolling_charges WHERE key = l->>0 AND settled_at <= gone RETURNING nusd)
        SELECT coalesce(sum(nusd), 0) INTO dropped FROM old;
      IF dropped <> 0 THEN UPDATE SCHEMA.balances SET settled = settled - dropped WHERE key = l->>0; END IF;
    END IF;
  END LOOP;
  FOR l IN SELECT * FROM jsonb_array_elements(r->7) LOOP
    gone := nullif(l->>2, '')::bigint;
    standing := SCHEMA.balance(l->>0, at, gone);
    leaving := '[]';
    used := coalesce(nullif(standing->>0, '')::bigint, 0) + (standing->>1)::bigint - (standing->5->>0)::bigint;
    IF l->>1 <> '' AND used > (l->>1)::bigint THEN
      fits := false;
      IF gone IS NOT NULL THEN
        SELECT coalesce(jsonb_agg(word ORDER BY n), '[]') INTO leaving FROM (
          SELECT word, row_number() OVER (ORDER BY settled_at, id, place) n FROM (
            SELECT * FROM SCHEMA.rolling_charges WHERE key = l->>0 AND settled_at > gone ORDER BY settled_at, id LIMIT 100
          ) c, LATERAL (VALUES (1, c.nusd::text), (2, c.settled_at::text)) both_words (place, word)
        ) words;
      END IF;
    END IF;
    standings := standings || jsonb_build_array(standing || jsonb_build_array(leaving));
  END LOOP;
  IF fits THEN
    INSERT INTO SCHEMA.holds VALUES (r->>0, new_keys, (r->>1)::bigint, (r->>2)::bigint, r->>3, r->>4, step_name);
    INSERT INTO SCHEMA.open_holds SELECT k, (r->>2)::bigint, r->>0, (r->>1)::bigint FROM unnest(new_keys) k;
    INSERT INTO SCHEMA.balances (key, held, opened) SELECT k, (r->>1)::bigint, 1 FROM unnest(new_keys) k
      ON CONFLICT (key) DO UPDATE SET held = balances.held + excluded.held, opened = balances.opened + 1;
  END IF;
  RETURN jsonb_build_array(CASE WHEN fits THEN '1' ELSE '0' END, standings);
END $$;

CREATE OR REPLACE FUNCTION SCHEMA.now_parts() RETURNS jsonb LANGUAGE sql VOLATILE AS $$
  SELECT jsonb_build_array(
    floor(extract(epoch FROM clock_timestamp()))::bigint::text,
    (floor(extract(microseconds FROM clock_timestamp()))::bigint % 1000000)::text
  )
$$;

-- One step. settles: [id, nusd, basis, now, model, override, keys]; wanted: [key, now, left]; reserves: [id, ask, expires, model,
-- override, now, keys, [[key, threshold, left], ...], brought]. Every amount and time is a text.
CREATE OR REPLACE FUNCTION SCHEMA.step(
  step_name text, before text, terms_version text, must_write text, settles jsonb, wanted jsonb, reserves jsonb
) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  one jsonb;
  touched text[];
  settled jsonb := '[]';
  found jsonb := '[]';
  decisions jsonb := '[]';
BEGIN
  -- A client that gives this step up waits for its end.
  PERFORM pg_advisory_xact_lock(hashtextextended(step_name, 0));
  IF EXISTS (SELECT FROM SCHEMA.fences f WHERE f.step = step_name) THEN RETURN '["fenced"]'; END IF;
  IF terms_version <> '*' AND NOT EXISTS (SELECT FROM SCHEMA.terms t WHERE t.version = terms_version) THEN RETURN '["terms"]'; END IF;
  IF must_write = '1' THEN DELETE FROM SCHEMA.checked; INSERT INTO SCHEMA.checked VALUES (now()); END IF;
  -- Every key of the step, those of the holds on record too: the rows are made and locked in one order.
  touched := ARRAY(
    SELECT DISTINCT k FROM (
      SELECT unnest(h.keys) k FROM SCHEMA.holds h WHERE h.id IN (SELECT e->>0 FROM jsonb_array_elements(settles) e)
      UNION ALL SELECT jsonb_array_elements_text(e->6) FROM jsonb_array_elements(settles) e
      UNION ALL SELECT jsonb_array_elements_text(e->6) FROM jsonb_array_elements(reserves) e
    ) keys ORDER BY k
  );
  IF cardinality(touched) > 0 THEN
    INSERT INTO SCHEMA.balances (key) SELECT k FROM unnest(touched) k ORDER BY k ON CONFLICT DO NOTHING;
    PERFORM FROM SCHEMA.balances WHERE key = ANY (touched) ORDER BY key FOR UPDATE;
  END IF;
  FOR one IN SELECT * FROM jsonb_array_elements(reserves) LOOP
    IF one->>8 = '1' OR EXISTS (SELECT FROM SCHEMA.holds h WHERE h.id = one->>0)
      OR EXISTS (SELECT FROM SCHEMA.charges c WHERE c.id = one->>0) THEN
      RETURN jsonb_build_array('used', one->>0);
    END IF;
  END LOOP;
  FOR one IN SELECT * FROM jsonb_array_elements(settles) LOOP
    settled := settled || to_jsonb(SCHEMA.settle(one, step_name, before));
  END LOOP;
  FOR one IN SELECT * FROM jsonb_array_elements(wanted) LOOP
    found := found || jsonb_build_array(SCHEMA.balance(one->>0, (one->>1)::bigint, nullif(one->>2, '')::bigint));
  END LOOP;
  FOR one IN SELECT * FROM jsonb_array_elements(reserves) LOOP
    decisions := decisions || jsonb_build_array(SCHEMA.reserve(one, step_name));
  END LOOP;
  RETURN jsonb_build_array('ok', SCHEMA.now_parts(), settled, found, decisions);
END $$;

-- Take back the holds of steps that were given up, and refuse these steps. steps: [[name, [id, ...]], ...].
CREATE OR REPLACE FUNCTION SCHEMA.undo(steps jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
  one jsonb;
  h SCHEMA.holds;
BEGIN
  FOR one IN SELECT * FROM jsonb_array_elements(steps) LOOP
    PERFORM pg_advisory_xact_lock(hashtextextended(one->>0, 0));
    INSERT INTO SCHEMA.fences (step) VALUES (one->>0) ON CONFLICT DO NOTHING;
    PERFORM FROM SCHEMA.balances WHERE key IN (
      SELECT unnest(o.keys) FROM SCHEMA.holds o WHERE o.id IN (SELECT jsonb_array_elements_text(one->1)) AND o.step = one->>0
    ) ORDER BY key FOR UPDATE;
    FOR h IN SELECT * FROM SCHEMA.holds o WHERE o.id IN (SELECT jsonb_array_elements_text(one->1)) AND o.step = one->>0 LOOP
      PERFORM SCHEMA.stop_counting(h);
      DELETE FROM SCHEMA.holds WHERE id = h.id;
    END LOOP;
  END LOOP;
  DELETE FROM SCHEMA.fences WHERE made < now() - interval '1 day';
  RETURN jsonb_build_array('ok', SCHEMA.now_parts());
END $$;

CREATE OR REPLACE FUNCTION SCHEMA.release(hold_id text, call_id text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  h SCHEMA.holds;
BEGIN
  PERFORM FROM SCHEMA.balances WHERE key IN (SELECT unnest(o.keys) FROM SCHEMA.holds o WHERE o.id = hold_id) ORDER BY key FOR UPDATE;
  SELECT * INTO h FROM SCHEMA.holds WHERE id = hold_id;
  IF NOT FOUND THEN RETURN '0'; END IF;
  IF h.released <> '' THEN RETURN CASE WHEN h.released = call_id THEN '1' ELSE '0' END; END IF;
  PERFORM SCHEMA.stop_counting(h);
  UPDATE SCHEMA.holds SET released = call_id WHERE id = hold_id;
  RETURN '1';
END $$;
