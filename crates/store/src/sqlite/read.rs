//! Rows into records.

use chrono::{DateTime, Utc};
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection, query, query_scalar};

use crate::{
    Address, Article, ArticleId, Counts, Currency, Customer, CustomerId, EmailAddress, Loyalty, Order,
    OrderId, OrderItem, Payment, PaymentMethod, PaymentMethodKind, Product, ProductId, Shipment, StoreError,
    Variant,
};

pub(super) async fn customer(
    db: &mut SqliteConnection,
    id: &CustomerId,
) -> Result<Option<Customer>, StoreError> {
    let row = query("SELECT * FROM customers WHERE id = ?").bind(id).fetch_optional(&mut *db).await?;
    customer_from(db, row).await
}

pub(super) async fn customer_by_email(
    db: &mut SqliteConnection,
    email: &EmailAddress,
) -> Result<Option<Customer>, StoreError> {
    let row = query("SELECT * FROM customers WHERE email_key = ?")
        .bind(email.key())
        .fetch_optional(&mut *db)
        .await?;
    customer_from(db, row).await
}

async fn customer_from(
    db: &mut SqliteConnection,
    row: Option<SqliteRow>,
) -> Result<Option<Customer>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    let id: CustomerId = row.try_get("id")?;
    Ok(Some(Customer {
        email: row.try_get("email")?,
        first_name: row.try_get("first_name")?,
        last_name: row.try_get("last_name")?,
        address: address(&row)?,
        payment_methods: payment_methods(db, &id).await?,
        phone: row.try_get("phone")?,
        loyalty: loyalty(&row)?,
        tags: json(&row, "tags", "customers.tags")?,
        id,
    }))
}

fn address(row: &SqliteRow) -> Result<Address, StoreError> {
    Ok(Address {
        line1: row.try_get("line1")?,
        line2: row.try_get("line2")?,
        city: row.try_get("city")?,
        region: row.try_get("region")?,
        postal_code: row.try_get("postal_code")?,
        country: row.try_get("country")?,
    })
}

fn loyalty(row: &SqliteRow) -> Result<Option<Loyalty>, StoreError> {
    let tier: Option<String> = row.try_get("loyalty_tier")?;
    let points: Option<i64> = row.try_get("loyalty_points")?;
    Ok(tier.zip(points).map(|(tier, points)| Loyalty { tier, points }))
}

async fn payment_methods(
    db: &mut SqliteConnection,
    customer: &CustomerId,
) -> Result<Vec<PaymentMethod>, StoreError> {
    let rows = query("SELECT * FROM payment_methods WHERE customer_id = ? ORDER BY position")
        .bind(customer)
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(PaymentMethod {
                id: row.try_get("id")?,
                kind: PaymentMethodKind::from(row.try_get::<String, _>("type")?),
                brand: row.try_get("brand")?,
                last4: row.try_get("last4")?,
                balance: row.try_get("balance_cents")?,
            })
        })
        .collect()
}

pub(super) async fn orders_of(
    db: &mut SqliteConnection,
    customer: &CustomerId,
) -> Result<Vec<Order>, StoreError> {
    let rows = query(
        "SELECT * FROM orders WHERE customer_id = ?
         ORDER BY placed_at_s DESC NULLS LAST, sequence",
    )
    .bind(customer)
    .fetch_all(&mut *db)
    .await?;
    let mut orders = Vec::with_capacity(rows.len());
    for row in &rows {
        orders.push(order_from(db, row).await?);
    }
    Ok(orders)
}

pub(super) async fn order_of(
    db: &mut SqliteConnection,
    customer: &CustomerId,
    id: &OrderId,
) -> Result<Option<Order>, StoreError> {
    let row = query("SELECT * FROM orders WHERE id = ? AND customer_id = ?")
        .bind(id.canonical())
        .bind(customer)
        .fetch_optional(&mut *db)
        .await?;
    match row {
        Some(row) => Ok(Some(order_from(db, &row).await?)),
        None => Ok(None),
    }
}

/// An order of whichever customer. For imports only: questions come with a customer.
pub(super) async fn order_of_anyone(
    db: &mut SqliteConnection,
    id: &OrderId,
) -> Result<Option<Order>, StoreError> {
    let row =
        query("SELECT * FROM orders WHERE id = ?").bind(id.canonical()).fetch_optional(&mut *db).await?;
    match row {
        Some(row) => Ok(Some(order_from(db, &row).await?)),
        None => Ok(None),
    }
}

async fn order_from(db: &mut SqliteConnection, row: &SqliteRow) -> Result<Order, StoreError> {
    let display_id: String = row.try_get("display_id")?;
    let id = OrderId::parse(&display_id)
        .map_err(|error| StoreError::Corrupt { column: "orders.display_id", reason: error.to_string() })?;
    Ok(Order {
        customer_id: row.try_get("customer_id")?,
        status: row.try_get("status")?,
        currency: row.try_get("currency")?,
        shipping_address: address(row)?,
        items: order_items(db, &id).await?,
        shipments: shipments(db, &id).await?,
        payments: payments(db, &id).await?,
        placed_at: time(row, "placed_at_s", "orders.placed_at_s")?,
        delivered_at: time(row, "delivered_at_s", "orders.delivered_at_s")?,
        cancelled_at: time(row, "cancelled_at_s", "orders.cancelled_at_s")?,
        id,
    })
}

async fn order_items(db: &mut SqliteConnection, order: &OrderId) -> Result<Vec<OrderItem>, StoreError> {
    let rows = query("SELECT * FROM order_items WHERE order_id = ? ORDER BY position")
        .bind(order.canonical())
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(OrderItem {
                item_id: row.try_get("item_id")?,
                product_id: row.try_get("product_id")?,
                name: row.try_get("name")?,
                options: json(row, "options", "order_items.options")?,
                unit_price: row.try_get("unit_price_cents")?,
                quantity: row.try_get("quantity")?,
            })
        })
        .collect()
}

async fn shipments(db: &mut SqliteConnection, order: &OrderId) -> Result<Vec<Shipment>, StoreError> {
    let rows = query("SELECT * FROM shipments WHERE order_id = ? ORDER BY position")
        .bind(order.canonical())
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Shipment {
                tracking_numbers: json(row, "tracking_numbers", "shipments.tracking_numbers")?,
                item_ids: json(row, "item_ids", "shipments.item_ids")?,
                carrier: row.try_get("carrier")?,
                status: row.try_get("status")?,
            })
        })
        .collect()
}

async fn payments(db: &mut SqliteConnection, order: &OrderId) -> Result<Vec<Payment>, StoreError> {
    let rows = query("SELECT * FROM payments WHERE order_id = ? ORDER BY position")
        .bind(order.canonical())
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Payment {
                kind: row.try_get("kind")?,
                amount: row.try_get("amount_cents")?,
                payment_method_id: row.try_get("payment_method_id")?,
            })
        })
        .collect()
}

/// Ids and names of all products, by name.
pub(super) async fn product_names(db: &mut SqliteConnection) -> Result<Vec<(ProductId, String)>, StoreError> {
    let rows = query("SELECT id, name FROM products ORDER BY name, id").fetch_all(db).await?;
    rows.iter().map(|row| Ok((row.try_get("id")?, row.try_get("name")?))).collect()
}

pub(super) async fn products_by_id(
    db: &mut SqliteConnection,
    ids: impl Iterator<Item = &ProductId> + Send,
) -> Result<Vec<Product>, StoreError> {
    let mut products = Vec::new();
    for id in ids {
        products.extend(product(db, id).await?);
    }
    Ok(products)
}

pub(super) async fn product(
    db: &mut SqliteConnection,
    id: &ProductId,
) -> Result<Option<Product>, StoreError> {
    let row = query("SELECT * FROM products WHERE id = ?").bind(id).fetch_optional(&mut *db).await?;
    let Some(row) = row else { return Ok(None) };
    Ok(Some(Product {
        id: id.clone(),
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        variants: variants(db, id).await?,
    }))
}

async fn variants(db: &mut SqliteConnection, product: &ProductId) -> Result<Vec<Variant>, StoreError> {
    let rows = query("SELECT * FROM variants WHERE product_id = ? ORDER BY position")
        .bind(product)
        .fetch_all(db)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Variant {
                item_id: row.try_get("item_id")?,
                options: json(row, "options", "variants.options")?,
                price: row.try_get("price_cents")?,
                available: row.try_get("available")?,
            })
        })
        .collect()
}

pub(super) async fn articles(db: &mut SqliteConnection) -> Result<Vec<Article>, StoreError> {
    let rows = query("SELECT * FROM articles ORDER BY id").fetch_all(db).await?;
    rows.iter().map(article_from).collect()
}

pub(super) async fn article(
    db: &mut SqliteConnection,
    id: &ArticleId,
) -> Result<Option<Article>, StoreError> {
    let row = query("SELECT * FROM articles WHERE id = ?").bind(id).fetch_optional(db).await?;
    row.as_ref().map(article_from).transpose()
}

fn article_from(row: &SqliteRow) -> Result<Article, StoreError> {
    Ok(Article { id: row.try_get("id")?, title: row.try_get("title")?, text: row.try_get("text")? })
}

pub(super) async fn most_used_currency(db: &mut SqliteConnection) -> Result<Option<Currency>, StoreError> {
    let currency = query_scalar(
        "SELECT currency FROM orders GROUP BY currency ORDER BY count(*) DESC, currency LIMIT 1",
    )
    .fetch_optional(db)
    .await?;
    Ok(currency)
}

pub(super) async fn counts(db: &mut SqliteConnection) -> Result<Counts, StoreError> {
    let row = query(
        "SELECT (SELECT count(*) FROM customers) AS customers,
                (SELECT count(*) FROM orders) AS orders,
                (SELECT count(*) FROM products) AS products,
                (SELECT count(*) FROM variants) AS variants,
                (SELECT count(*) FROM articles) AS articles",
    )
    .fetch_one(db)
    .await?;
    let count = |column| row.try_get::<i64, _>(column).map(i64::unsigned_abs);
    Ok(Counts {
        customers: count("customers")?,
        orders: count("orders")?,
        products: count("products")?,
        variants: count("variants")?,
        articles: count("articles")?,
    })
}

/// A column that holds JSON; `full_name` is for the error.
pub(super) fn json<T: DeserializeOwned>(
    row: &SqliteRow,
    column: &str,
    full_name: &'static str,
) -> Result<T, StoreError> {
    let text: &str = row.try_get(column)?;
    serde_json::from_str(text)
        .map_err(|error| StoreError::Corrupt { column: full_name, reason: error.to_string() })
}

/// A column that may hold Unix seconds; `full_name` is for the error.
pub(super) fn time(
    row: &SqliteRow,
    column: &str,
    full_name: &'static str,
) -> Result<Option<DateTime<Utc>>, StoreError> {
    let seconds: Option<i64> = row.try_get(column)?;
    seconds.map(|seconds| moment(seconds, full_name)).transpose()
}

/// The moment of these Unix seconds; `full_name` is for the error.
pub(super) fn moment(seconds: i64, full_name: &'static str) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp(seconds, 0).ok_or_else(|| StoreError::Corrupt {
        column: full_name,
        reason: format!("{seconds} is outside the calendar"),
    })
}
