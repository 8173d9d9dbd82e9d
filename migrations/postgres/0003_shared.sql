-- What replicas share of an account at a provider: its budgets and its token.

-- One bucket of each account and kind, in its virtual-scheduling form (GCRA), as in `src/dispatch/pace.rs`.
CREATE TABLE budgets (
    account TEXT COLLATE "C" NOT NULL,
    -- calls or messages
    kind    TEXT COLLATE "C" NOT NULL,
    -- When the bucket will be full again, in seconds since 1970 by the database's clock.
    full_at DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (account, kind)
);

-- How many calls of the same cost, at most `most`, have their time within `horizon` seconds from `now`: the first
-- waits until `full_at` less what may be saved up, each other one for `cost / rate` more.
CREATE FUNCTION budget_portion(
    full_at DOUBLE PRECISION, now DOUBLE PRECISION, rate DOUBLE PRECISION, burst DOUBLE PRECISION,
    cost DOUBLE PRECISION, most DOUBLE PRECISION, horizon DOUBLE PRECISION
) RETURNS DOUBLE PRECISION LANGUAGE sql IMMUTABLE AS $$
    SELECT least(most, greatest(0,
        floor((horizon + (burst - least(cost, burst)) / rate - greatest(full_at - now, 0)) / (cost / rate)) + 1))
$$;

CREATE TABLE tokens (
    account     TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- Grows with each token; 0 = there was none yet.
    version     BIGINT NOT NULL,
    -- The token, sealed with a key of the channel's own secret: src/store/sealed.rs.
    sealed      BYTEA,
    issued_at   TIMESTAMPTZ,
    -- NULL = until the provider refuses it.
    expires_at  TIMESTAMPTZ,
    -- Until then somebody is fetching the next one, or nobody shall.
    fetch_until TIMESTAMPTZ NOT NULL
);
