-- What a shop's export says, one table a thing. Amounts are whole cents, times are Unix seconds.
-- Lists that nothing is looked up by (tags, options, tracking numbers) are JSON in one column.

CREATE TABLE customers (
    id             TEXT PRIMARY KEY NOT NULL,
    email          TEXT NOT NULL,
    -- The address in lower case: what senders are looked up by.
    email_key      TEXT NOT NULL UNIQUE,
    first_name     TEXT NOT NULL,
    last_name      TEXT NOT NULL,
    line1          TEXT NOT NULL,
    line2          TEXT,
    city           TEXT NOT NULL,
    region         TEXT,
    postal_code    TEXT NOT NULL,
    country        TEXT NOT NULL,
    phone          TEXT,
    loyalty_tier   TEXT,
    loyalty_points INTEGER,
    tags           TEXT NOT NULL
) STRICT;

CREATE TABLE payment_methods (
    customer_id   TEXT NOT NULL REFERENCES customers (id) ON DELETE CASCADE,
    position      INTEGER NOT NULL,
    id            TEXT NOT NULL,
    type          TEXT NOT NULL,
    brand         TEXT,
    last4         TEXT,
    balance_cents INTEGER,
    PRIMARY KEY (customer_id, position),
    UNIQUE (customer_id, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE orders (
    -- Grows in the order of import; places orders that carry no date.
    sequence       INTEGER PRIMARY KEY,
    -- Upper case, no '#': what orders are looked up by.
    id             TEXT NOT NULL UNIQUE,
    -- As the customer sees it.
    display_id     TEXT NOT NULL,
    -- Deferred, so that an import can rewrite a customer whose orders stay.
    customer_id    TEXT NOT NULL REFERENCES customers (id) DEFERRABLE INITIALLY DEFERRED,
    status         TEXT NOT NULL,
    currency       TEXT NOT NULL,
    -- The shipping address.
    line1          TEXT NOT NULL,
    line2          TEXT,
    city           TEXT NOT NULL,
    region         TEXT,
    postal_code    TEXT NOT NULL,
    country        TEXT NOT NULL,
    placed_at_s    INTEGER,
    delivered_at_s INTEGER,
    cancelled_at_s INTEGER
) STRICT;

CREATE INDEX orders_by_customer ON orders (customer_id, placed_at_s DESC);

CREATE TABLE order_items (
    order_id         TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    position         INTEGER NOT NULL,
    item_id          TEXT NOT NULL,
    product_id       TEXT NOT NULL,
    name             TEXT NOT NULL,
    options          TEXT NOT NULL,
    unit_price_cents INTEGER NOT NULL,
    quantity         INTEGER NOT NULL,
    PRIMARY KEY (order_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE shipments (
    order_id         TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    position         INTEGER NOT NULL,
    tracking_numbers TEXT NOT NULL,
    item_ids         TEXT NOT NULL,
    carrier          TEXT,
    status           TEXT,
    PRIMARY KEY (order_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE payments (
    order_id          TEXT NOT NULL REFERENCES orders (id) ON DELETE CASCADE,
    position          INTEGER NOT NULL,
    kind              TEXT NOT NULL CHECK (kind IN ('payment', 'refund')),
    amount_cents      INTEGER NOT NULL,
    -- No reference: a customer may have removed the method since.
    payment_method_id TEXT NOT NULL,
    PRIMARY KEY (order_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE products (
    id          TEXT PRIMARY KEY NOT NULL,
    name        TEXT NOT NULL,
    description TEXT
) STRICT;

CREATE TABLE variants (
    product_id  TEXT NOT NULL REFERENCES products (id) ON DELETE CASCADE,
    position    INTEGER NOT NULL,
    item_id     TEXT NOT NULL,
    options     TEXT NOT NULL,
    price_cents INTEGER NOT NULL,
    available   INTEGER NOT NULL CHECK (available IN (0, 1)),
    PRIMARY KEY (product_id, position),
    UNIQUE (product_id, item_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE articles (
    id    TEXT PRIMARY KEY NOT NULL,
    title TEXT NOT NULL,
    text  TEXT NOT NULL
) STRICT;
