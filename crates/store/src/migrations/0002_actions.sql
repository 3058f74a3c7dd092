-- What customers have confirmed, and what became of it. Never deleted: it is what keeps a confirmation from
-- being carried out twice. Arguments and results are JSON in one column.

CREATE TABLE actions (
    -- The id in the confirmation token.
    id             TEXT PRIMARY KEY NOT NULL,
    -- No reference: the entry outlives the customer.
    customer_id    TEXT NOT NULL,
    name           TEXT NOT NULL,
    arguments      TEXT NOT NULL,
    state          TEXT NOT NULL CHECK (state IN ('running', 'done', 'failed')),
    -- What was done, or why it failed; null while it runs.
    result         TEXT NOT NULL,
    confirmed_at_s INTEGER NOT NULL,
    finished_at_s  INTEGER
) STRICT;
