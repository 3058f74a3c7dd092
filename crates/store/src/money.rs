//! Amounts of money, exact to the cent.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, Mul, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::InvalidText;

/// The largest number that an import may hold: far above any order, and small enough for an `f64`
/// to tell its cents apart.
const MAX_UNITS: f64 = 1e12;

/// A number of hundredths of a currency's unit. Sums stop at the ends of `i64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, sqlx::Type)]
#[sqlx(transparent)]
pub struct Amount(i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount of this many hundredths.
    #[must_use]
    pub const fn from_cents(cents: i64) -> Self {
        Self(cents)
    }

    /// The number of hundredths.
    #[must_use]
    pub const fn cents(self) -> i64 {
        self.0
    }

    /// The amount that a JSON number such as `47.84` stands for.
    ///
    /// # Errors
    /// [`InvalidAmount`] when it has fractions of a cent, or is too large for them to show.
    pub fn from_number(number: f64) -> Result<Self, InvalidAmount> {
        if !number.is_finite() || number.abs() > MAX_UNITS {
            return Err(InvalidAmount::OutOfRange { number });
        }
        let cents = number * 100.0;
        // An `f64` near a large amount is itself off by more than a millionth of a cent.
        let tolerance = (cents.abs() * 4.0 * f64::EPSILON).max(1e-6);
        if (cents - cents.round()).abs() > tolerance {
            return Err(InvalidAmount::FractionOfCent { number });
        }
        // Whole and at most 1e14: the cast is exact.
        Ok(Self(cents.round() as i64))
    }

    /// The amount in units of the currency: to be compared, not to be added up.
    #[must_use]
    pub fn units(self) -> f64 {
        self.0 as f64 / 100.0
    }

    /// Below nothing.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// The amount with its currency, ready to be shown.
    #[must_use]
    pub fn in_currency(self, currency: &Currency) -> Money {
        Money { amount: self, currency: currency.clone() }
    }
}

impl Add for Amount {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Mul<u32> for Amount {
    type Output = Self;

    fn mul(self, times: u32) -> Self {
        Self(self.0.saturating_mul(i64::from(times)))
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// The bare number with two decimals, such as `47.84`.
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative() { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        write!(f, "{sign}{}.{:02}", cents / 100, cents % 100)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Correctly rounded, so that the shortest text of the number has the two decimals again.
        serializer.serialize_f64(self.0 as f64 / 100.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_number(f64::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Why a number is no amount of money.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidAmount {
    /// More than two decimals.
    #[error("the amount {number} has fractions of a cent")]
    FractionOfCent {
        /// The number.
        number: f64,
    },
    /// Too large.
    #[error("the amount {number} is out of range")]
    OutOfRange {
        /// The number.
        number: f64,
    },
}

/// A currency's ISO 4217 code, such as `USD`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(try_from = "String")]
#[sqlx(transparent)]
pub struct Currency(String);

impl Currency {
    /// Reads a code of three letters, in either case.
    ///
    /// # Errors
    /// [`InvalidText::Form`] when it is anything else.
    pub fn parse(code: &str) -> Result<Self, InvalidText> {
        if code.len() != 3 || !code.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Err(InvalidText::Form {
                kind: "a currency code of three letters, such as USD",
                text: code.to_owned(),
            });
        }
        Ok(Self(code.to_ascii_uppercase()))
    }

    /// US dollars.
    #[must_use]
    pub fn usd() -> Self {
        Self("USD".to_owned())
    }

    /// The code, in upper case.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Currency {
    type Error = InvalidText;

    fn try_from(code: String) -> Result<Self, Self::Error> {
        Self::parse(&code)
    }
}

/// An amount in a currency. Shown as customers read it: `$47.84`, `€47.84`, `47.84 CHF`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Money {
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub currency: Currency,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = match self.currency.code() {
            "USD" => "$",
            "EUR" => "€",
            code => return write!(f, "{} {code}", self.amount),
        };
        let number = self.amount.to_string();
        match number.strip_prefix('-') {
            Some(number) => write!(f, "-{symbol}{number}"),
            None => write!(f, "{symbol}{number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("47.84", "USD", "$47.84")]
    #[case("51.0", "USD", "$51.00")]
    #[case("0.05", "EUR", "€0.05")]
    #[case("-5", "USD", "-$5.00")]
    #[case("1234567.8", "CHF", "1234567.80 CHF")]
    #[case("47.839999999999996", "USD", "$47.84")]
    fn money_is_shown_as_customers_read_it(#[case] json: &str, #[case] currency: &str, #[case] shown: &str) {
        let amount: Amount = serde_json::from_str(json).unwrap();
        let money = amount.in_currency(&Currency::parse(currency).unwrap());
        assert_eq!(money.to_string(), shown);
    }

    #[rstest]
    #[case("0.001", "fractions of a cent")]
    #[case("47.845", "fractions of a cent")]
    #[case("1e13", "out of range")]
    #[case("\"47.84\"", "invalid type: string")]
    fn what_is_no_amount_is_refused(#[case] json: &str, #[case] reason: &str) {
        let error = serde_json::from_str::<Amount>(json).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }

    #[rstest]
    #[case("US")]
    #[case("U$D")]
    #[case("€uro")]
    fn what_is_no_currency_is_refused(#[case] code: &str) {
        assert!(Currency::parse(code).is_err());
    }

    proptest! {
        #[test]
        fn an_amount_survives_json(cents in -100_000_000_000_000_i64..=100_000_000_000_000) {
            let amount = Amount::from_cents(cents);
            let json = serde_json::to_string(&amount).unwrap();
            prop_assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
        }
    }
}
