//! Customers, orders, products and articles. A leaf: every order query is bound to a verified customer.
