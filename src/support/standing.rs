//! What a customer has with the store: points, tier, the balance of gift cards.

use minijinja::context;
use tier0_store::{Currency, Customer, PaymentMethodKind};

use super::{
    SupportError,
    brief::Point,
    phrases::Phrase,
    statements::{Stater, price},
    words::{mentions, words},
};

/// How customers speak of what is their own.
const OWN: [&str; 7] = ["my", "i have", "have i", "do i have", "i got", "am i", "is left"];
/// How they ask for its amount, rather than for a rule about it.
const AMOUNT: [&str; 9] = [
    "how many",
    "point balance",
    "balance",
    "how much",
    "which tier",
    "what tier",
    "tier am i",
    "loyalty status",
    "member status",
];

/// What makes it a question about a rule after all.
const RULE: [&str; 4] = ["have to", "need", "expire", "worth"];

/// What a message asks to be told of the customer's own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Points and tier of the loyalty program.
    Loyalty,
    /// What is left on gift cards.
    GiftCards,
}

impl Standing {
    /// What `text` asks for; `None` where it asks for a rule, or for something else.
    pub(super) fn asked(text: &str) -> Option<Self> {
        let said = words(text);
        if !mentions(&said, &OWN) || !mentions(&said, &AMOUNT) || mentions(&said, &RULE) {
            return None;
        }
        match (mentions(&said, &["gift card"]), mentions(&said, &["point", "tier", "loyalty", "member"])) {
            (true, false) => Some(Self::GiftCards),
            (false, true) => Some(Self::Loyalty),
            _ => None,
        }
    }

    /// What the customer's record says of it.
    ///
    /// # Errors
    /// When a sentence cannot be made.
    pub(super) fn points(
        self,
        stater: Stater<'_>,
        customer: &Customer,
        currency: &Currency,
    ) -> Result<Vec<Point>, SupportError> {
        match (self, &customer.loyalty) {
            (Self::Loyalty, Some(loyalty)) => {
                let values = context! { points => loyalty.points, tier => &loyalty.tier };
                let must = [loyalty.points.to_string(), loyalty.tier.clone()];
                Ok(vec![stater.stating(Phrase::Loyalty, &values, must)?])
            }
            (Self::Loyalty, None) => Ok(vec![Point::plain(stater.say(Phrase::NoLoyalty, &context! {})?)]),
            (Self::GiftCards, _) => {
                let cards = customer.payment_methods.iter();
                let balances =
                    cards.filter(|m| m.kind == PaymentMethodKind::GiftCard).filter_map(|m| m.balance);
                let balances: Vec<String> = balances.map(|balance| price(balance, currency)).collect();
                let phrase = if balances.is_empty() { Phrase::NoGiftCard } else { Phrase::GiftCards };
                Ok(vec![stater.stating(phrase, &context! { balances => &balances }, balances)?])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("How many points do I have?", Some(Standing::Loyalty))]
    #[case("How many loyalty points do I have?", Some(Standing::Loyalty))]
    #[case("How many points do I have to collect for free shipping?", None)]
    #[case("which tier am I in", Some(Standing::Loyalty))]
    #[case("What is the balance of my gift card?", Some(Standing::GiftCards))]
    #[case("How much is left on my gift card?", Some(Standing::GiftCards))]
    #[case("When do my points expire?", None)]
    #[case("How many points are worth a dollar?", None)]
    #[case("Can I pay with my gift card?", None)]
    fn an_amount_is_asked_for_or_a_rule(#[case] text: &str, #[case] asked: Option<Standing>) {
        assert_eq!(Standing::asked(text), asked);
    }
}
