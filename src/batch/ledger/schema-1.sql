-- Times are milliseconds since 1970 in UTC.

CREATE TABLE places (
    id INTEGER PRIMARY KEY,
    stack TEXT NOT NULL,
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    UNIQUE (stack, account, region, endpoint)
) STRICT;

CREATE TABLE batches (
    id INTEGER PRIMARY KEY,
    place INTEGER NOT NULL REFERENCES places,
    name TEXT NOT NULL,
    created INTEGER NOT NULL,
    ours INTEGER NOT NULL,          -- submitted from this machine
    removed INTEGER,                -- when the stack's buckets went
    UNIQUE (place, name)
) STRICT;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    batch INTEGER NOT NULL REFERENCES batches,
    input_key TEXT NOT NULL,
    name TEXT NOT NULL,             -- OriginalFileName as messages carry it
    location TEXT NOT NULL,         -- OriginalLocation, '' for none
    preset TEXT NOT NULL,           -- '' for none
    size INTEGER NOT NULL,
    created INTEGER NOT NULL,
    queue_made INTEGER NOT NULL,    -- which queue of that name the message went to
    sent INTEGER,
    status TEXT,                    -- converted, failed, dead; NULL while outstanding
    error TEXT,
    server TEXT,
    host TEXT,
    instance TEXT,
    service_read INTEGER,
    service_write INTEGER,
    message TEXT,                   -- the whole status message
    UNIQUE (batch, input_key, name, location, preset)
) STRICT;

CREATE TABLE outputs (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    bucket TEXT NOT NULL,
    key TEXT NOT NULL,
    mime TEXT NOT NULL,
    size INTEGER,                   -- known once fetched
    PRIMARY KEY (job, ordinal)
) STRICT;

CREATE TABLE fetched (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    folder TEXT NOT NULL,           -- absolute
    file TEXT NOT NULL,             -- below the folder
    PRIMARY KEY (job, ordinal, folder)
) STRICT;

CREATE TABLE counters (
    batch INTEGER NOT NULL REFERENCES batches,
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (batch, name)
) STRICT;

CREATE TABLE strays (
    place INTEGER NOT NULL REFERENCES places,
    queue TEXT NOT NULL,
    message TEXT NOT NULL,          -- SQS's id of it
    body TEXT NOT NULL,
    reason TEXT NOT NULL,
    received INTEGER NOT NULL,
    PRIMARY KEY (place, queue, message)
) STRICT;

CREATE TABLE instances (
    place INTEGER NOT NULL REFERENCES places,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,             -- worker, builder
    type TEXT NOT NULL,
    launched INTEGER NOT NULL,
    seen INTEGER NOT NULL,          -- last seen alive
    ended INTEGER,                  -- when it ended, if that is known
    gone INTEGER NOT NULL DEFAULT 0, -- listed no more, or as terminated
    volume_gib INTEGER NOT NULL,
    public_ip INTEGER NOT NULL,
    PRIMARY KEY (place, id)
) STRICT;
