//! Records into rows: an import in one transaction.

use std::collections::HashSet;

use serde::Serialize;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Sqlite, SqliteConnection, query, query_scalar};

use super::{SqliteStore, read};
use crate::import::{Batch, CUSTOMERS_FILE, ImportError, ImportSummary, Located, Rejections, Tally};
use crate::{
    Address, Article, Customer, CustomerId, Order, OrderItem, Payment, PaymentMethod, Product, Shipment,
    StoreError, Variant,
};

type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// How a record compares to the one of its id in the store.
pub(super) enum Change {
    Added,
    Changed,
    Unchanged,
}

impl Change {
    fn between<T: PartialEq>(old: Option<&T>, new: &T) -> Self {
        match old {
            None => Self::Added,
            Some(old) if old == new => Self::Unchanged,
            Some(_) => Self::Changed,
        }
    }

    fn count(&self, tally: &mut Tally) {
        match self {
            Self::Added => tally.added += 1,
            Self::Changed => tally.changed += 1,
            Self::Unchanged => tally.unchanged += 1,
        }
    }
}

impl SqliteStore {
    /// Adds the batch's records to the store and replaces those that differ. All of it or nothing.
    pub(crate) async fn merge(&self, batch: &Batch) -> Result<ImportSummary, ImportError> {
        // Takes the write lock at once: a reader that becomes a writer could not wait for it.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(StoreError::from)?;
        let taken = addresses_of_others(&mut transaction, &batch.customers).await?;
        if !taken.is_empty() {
            return Err(ImportError::Rejected(taken));
        }
        let summary = merge_all(&mut transaction, batch).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(summary)
    }
}

async fn merge_all(db: &mut SqliteConnection, batch: &Batch) -> Result<ImportSummary, StoreError> {
    let mut summary =
        ImportSummary { customers: merge_customers(db, &batch.customers).await?, ..ImportSummary::default() };
    for order in &batch.orders {
        let change = merge_order(db, &order.record).await?;
        change.count(&mut summary.orders);
    }
    for product in &batch.products {
        let change = merge_product(db, &product.record).await?;
        change.count(&mut summary.products);
    }
    for article in &batch.articles {
        let change = merge_article(db, article).await?;
        change.count(&mut summary.articles);
    }
    Ok(summary)
}

/// Customers whose address belongs to a customer of the store whom the batch leaves as they are.
async fn addresses_of_others(
    db: &mut SqliteConnection,
    customers: &[Located<Customer>],
) -> Result<Rejections, StoreError> {
    let rewritten: HashSet<&CustomerId> = customers.iter().map(|line| &line.record.id).collect();
    let mut rejections = Rejections::default();
    for Located { line, record } in customers {
        let owner: Option<CustomerId> = query_scalar("SELECT id FROM customers WHERE email_key = ?")
            .bind(record.email.key())
            .fetch_optional(&mut *db)
            .await?;
        if let Some(owner) = owner.filter(|owner| !rewritten.contains(owner)) {
            rejections.add(
                CUSTOMERS_FILE,
                *line,
                format!(
                    "the e-mail address {} already belongs to the customer {owner} in the store",
                    record.email
                ),
            );
        }
    }
    Ok(rejections)
}

/// Two customers may have exchanged their addresses, so all that change go before any comes back.
async fn merge_customers(
    db: &mut SqliteConnection,
    customers: &[Located<Customer>],
) -> Result<Tally, StoreError> {
    let mut tally = Tally::default();
    let mut written = Vec::new();
    for Located { record, .. } in customers {
        let change = Change::between(read::customer(db, &record.id).await?.as_ref(), record);
        if !matches!(change, Change::Unchanged) {
            written.push(record);
        }
        change.count(&mut tally);
    }
    for customer in &written {
        delete_customer(db, customer).await?;
    }
    for customer in written {
        insert_customer(db, customer).await?;
    }
    Ok(tally)
}

/// Writes a customer of the store anew.
pub(super) async fn replace_customer(
    db: &mut SqliteConnection,
    customer: &Customer,
) -> Result<(), StoreError> {
    delete_customer(db, customer).await?;
    insert_customer(db, customer).await
}

async fn delete_customer(db: &mut SqliteConnection, customer: &Customer) -> Result<(), StoreError> {
    query("DELETE FROM customers WHERE id = ?").bind(&customer.id).execute(db).await?;
    Ok(())
}

async fn insert_customer(db: &mut SqliteConnection, customer: &Customer) -> Result<(), StoreError> {
    let insert = query(
        "INSERT INTO customers (id, email, email_key, first_name, last_name, phone, loyalty_tier,
             loyalty_points, tags, line1, line2, city, region, postal_code, country)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(&customer.id)
    .bind(&customer.email)
    .bind(customer.email.key())
    .bind(&customer.first_name)
    .bind(&customer.last_name)
    .bind(&customer.phone)
    .bind(customer.loyalty.as_ref().map(|loyalty| &loyalty.tier))
    .bind(customer.loyalty.as_ref().map(|loyalty| loyalty.points))
    .bind(json(&customer.tags)?);
    bind_address(insert, &customer.address).execute(&mut *db).await?;
    for (position, method) in (0_i64..).zip(&customer.payment_methods) {
        insert_payment_method(db, &customer.id, position, method).await?;
    }
    Ok(())
}

async fn insert_payment_method(
    db: &mut SqliteConnection,
    customer: &CustomerId,
    position: i64,
    method: &PaymentMethod,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO payment_methods (customer_id, position, id, type, brand, last4, balance_cents)
         VALUES (?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(customer)
    .bind(position)
    .bind(&method.id)
    .bind(method.kind.as_str())
    .bind(&method.brand)
    .bind(&method.last4)
    .bind(method.balance)
    .execute(db)
    .await?;
    Ok(())
}

/// Adds an order, or writes it anew where it differs.
pub(super) async fn merge_order(db: &mut SqliteConnection, order: &Order) -> Result<Change, StoreError> {
    let old = read::order_of_anyone(db, &order.id).await?;
    // Ids compare by their canonical form; a new spelling is to be shown, so it is a change.
    let respelled = old.as_ref().is_some_and(|old| old.id.as_str() != order.id.as_str());
    let change = match Change::between(old.as_ref(), order) {
        Change::Unchanged if respelled => Change::Changed,
        change => change,
    };
    match change {
        Change::Unchanged => return Ok(change),
        Change::Changed => delete_parts_of(db, order).await?,
        Change::Added => {}
    }
    upsert_order(db, order).await?;
    for (position, item) in (0_i64..).zip(&order.items) {
        insert_item(db, order, position, item).await?;
    }
    for (position, shipment) in (0_i64..).zip(&order.shipments) {
        insert_shipment(db, order, position, shipment).await?;
    }
    for (position, payment) in (0_i64..).zip(&order.payments) {
        insert_payment(db, order, position, payment).await?;
    }
    Ok(change)
}

async fn delete_parts_of(db: &mut SqliteConnection, order: &Order) -> Result<(), StoreError> {
    for delete in [
        "DELETE FROM order_items WHERE order_id = ?",
        "DELETE FROM shipments WHERE order_id = ?",
        "DELETE FROM payments WHERE order_id = ?",
    ] {
        query(delete).bind(order.id.canonical()).execute(&mut *db).await?;
    }
    Ok(())
}

/// Updates in place, so that an order keeps its sequence.
async fn upsert_order(db: &mut SqliteConnection, order: &Order) -> Result<(), StoreError> {
    let upsert = query(
        "INSERT INTO orders (id, display_id, customer_id, status, currency, placed_at_s,
             delivered_at_s, cancelled_at_s, line1, line2, city, region, postal_code, country)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (id) DO UPDATE SET
             display_id = excluded.display_id, customer_id = excluded.customer_id,
             status = excluded.status, currency = excluded.currency,
             placed_at_s = excluded.placed_at_s, delivered_at_s = excluded.delivered_at_s,
             cancelled_at_s = excluded.cancelled_at_s, line1 = excluded.line1,
             line2 = excluded.line2, city = excluded.city, region = excluded.region,
             postal_code = excluded.postal_code, country = excluded.country",
    )
    .bind(order.id.canonical())
    .bind(order.id.as_str())
    .bind(&order.customer_id)
    .bind(&order.status)
    .bind(&order.currency)
    .bind(order.placed_at.map(|time| time.timestamp()))
    .bind(order.delivered_at.map(|time| time.timestamp()))
    .bind(order.cancelled_at.map(|time| time.timestamp()));
    bind_address(upsert, &order.shipping_address).execute(db).await?;
    Ok(())
}

async fn insert_item(
    db: &mut SqliteConnection,
    order: &Order,
    position: i64,
    item: &OrderItem,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO order_items
             (order_id, position, item_id, product_id, name, options, unit_price_cents, quantity)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(order.id.canonical())
    .bind(position)
    .bind(&item.item_id)
    .bind(&item.product_id)
    .bind(&item.name)
    .bind(json(&item.options)?)
    .bind(item.unit_price)
    .bind(item.quantity)
    .execute(db)
    .await?;
    Ok(())
}

async fn insert_shipment(
    db: &mut SqliteConnection,
    order: &Order,
    position: i64,
    shipment: &Shipment,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO shipments (order_id, position, tracking_numbers, item_ids, carrier, status)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(order.id.canonical())
    .bind(position)
    .bind(json(&shipment.tracking_numbers)?)
    .bind(json(&shipment.item_ids)?)
    .bind(&shipment.carrier)
    .bind(&shipment.status)
    .execute(db)
    .await?;
    Ok(())
}

async fn insert_payment(
    db: &mut SqliteConnection,
    order: &Order,
    position: i64,
    payment: &Payment,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO payments (order_id, position, kind, amount_cents, payment_method_id)
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(order.id.canonical())
    .bind(position)
    .bind(payment.kind)
    .bind(payment.amount)
    .bind(&payment.payment_method_id)
    .execute(db)
    .await?;
    Ok(())
}

async fn merge_product(db: &mut SqliteConnection, product: &Product) -> Result<Change, StoreError> {
    let change = Change::between(read::product(db, &product.id).await?.as_ref(), product);
    if matches!(change, Change::Unchanged) {
        return Ok(change);
    }
    query("DELETE FROM products WHERE id = ?").bind(&product.id).execute(&mut *db).await?;
    query("INSERT INTO products (id, name, description) VALUES (?, ?, ?)")
        .bind(&product.id)
        .bind(&product.name)
        .bind(&product.description)
        .execute(&mut *db)
        .await?;
    for (position, variant) in (0_i64..).zip(&product.variants) {
        insert_variant(db, product, position, variant).await?;
    }
    Ok(change)
}

async fn insert_variant(
    db: &mut SqliteConnection,
    product: &Product,
    position: i64,
    variant: &Variant,
) -> Result<(), StoreError> {
    query(
        "INSERT INTO variants (product_id, position, item_id, options, price_cents, available)
         VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(&product.id)
    .bind(position)
    .bind(&variant.item_id)
    .bind(json(&variant.options)?)
    .bind(variant.price)
    .bind(variant.available)
    .execute(db)
    .await?;
    Ok(())
}

async fn merge_article(db: &mut SqliteConnection, article: &Article) -> Result<Change, StoreError> {
    let change = Change::between(read::article(db, &article.id).await?.as_ref(), article);
    if matches!(change, Change::Unchanged) {
        return Ok(change);
    }
    query("INSERT OR REPLACE INTO articles (id, title, text) VALUES (?, ?, ?)")
        .bind(&article.id)
        .bind(&article.title)
        .bind(&article.text)
        .execute(db)
        .await?;
    Ok(change)
}

/// Binds the last six columns of customers and orders.
fn bind_address<'q>(query: Query<'q>, address: &Address) -> Query<'q> {
    query
        .bind(&address.line1)
        .bind(&address.line2)
        .bind(&address.city)
        .bind(&address.region)
        .bind(&address.postal_code)
        .bind(&address.country)
}

pub(super) fn json<T: Serialize>(list: &T) -> Result<String, StoreError> {
    serde_json::to_string(list).map_err(|error| StoreError::Database(sqlx::Error::Encode(error.into())))
}
