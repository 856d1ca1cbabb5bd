-- Runs of `muck run`, one a stack, so that one that was cut short can be gone on with.
CREATE TABLE runs (
    place INTEGER PRIMARY KEY REFERENCES places,
    started INTEGER NOT NULL,
    batch TEXT NOT NULL,
    request TEXT NOT NULL,          -- what was asked for, JSON
    ended INTEGER                   -- when nothing was left of its stack
) STRICT;
