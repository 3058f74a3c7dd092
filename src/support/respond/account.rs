//! Statements about the customer's own account: points, tier, the balance of gift cards.

use minijinja::context;
use tier0_store::{Currency, Customer, PaymentMethodKind};

use super::{
    brief::Statement,
    statements::{StatementWriter, price},
    templates::Template,
};
use crate::support::{SupportError, understand::account_query::AccountQuery};

impl StatementWriter<'_> {
    /// What the customer's record says to a question about the account.
    ///
    /// # Errors
    /// When a sentence cannot be made.
    pub(in crate::support) fn account(
        &self,
        query: AccountQuery,
        customer: &Customer,
        currency: &Currency,
    ) -> Result<Vec<Statement>, SupportError> {
        match (query, &customer.loyalty) {
            (AccountQuery::Loyalty, Some(loyalty)) => {
                let values = context! { points => loyalty.points, tier => &loyalty.tier };
                let must = [loyalty.points.to_string(), loyalty.tier.clone()];
                Ok(vec![self.requiring(Template::Loyalty, &values, must)?])
            }
            (AccountQuery::Loyalty, None) => {
                Ok(vec![Statement::plain(self.render(Template::NoLoyalty, &context! {})?)])
            }
            (AccountQuery::GiftCards, _) => {
                let cards = customer.payment_methods.iter();
                let balances =
                    cards.filter(|m| m.kind == PaymentMethodKind::GiftCard).filter_map(|m| m.balance);
                let balances: Vec<String> = balances.map(|balance| price(balance, currency)).collect();
                let template = if balances.is_empty() { Template::NoGiftCard } else { Template::GiftCards };
                Ok(vec![self.requiring(template, &context! { balances => &balances }, balances)?])
            }
        }
    }
}
