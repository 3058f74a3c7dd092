//! Statements about products: prices, variants, stock.

use minijinja::context;
use tier0_store::{Currency, Product, Variant};
use tier0_text::{mentions, words};

use super::{
    brief::Statement,
    statements::{StatementWriter, price},
    templates::Template,
};
use crate::support::{
    SupportError,
    texts::English,
    understand::product_match::{fits, named_options, values},
};

/// Variants that one reply lists.
const MAX_LISTED: usize = 8;

impl StatementWriter<'_> {
    /// What a product costs and which of its variants can be had: those that `question` names, or
    /// all.
    pub(in crate::support) fn product(
        &self,
        product: &Product,
        currency: &Currency,
        question: &English,
    ) -> Result<Vec<Statement>, SupportError> {
        let said = words(question.as_str());
        let (name, variants) = (&product.name, &product.variants);
        let named = named_options(variants, &said);
        let meant: Vec<&Variant> = variants.iter().filter(|v| fits(&v.options, &named)).collect();
        let available: Vec<&Variant> = meant.iter().copied().filter(|v| v.available).collect();
        if mentions(&said, &["how many"]) && named.is_empty() {
            return self.count(product, available.len()).map(|statement| vec![statement]);
        }
        match (meant.as_slice(), available.as_slice()) {
            ([], _) => {
                let text = self.render(Template::NoSuchVariant, &context! { name })?;
                let mut statements = vec![Statement::requiring(text, [name.clone()])];
                let others: Vec<&Variant> = variants.iter().filter(|v| v.available).collect();
                statements.extend(self.list(&others)?);
                Ok(statements)
            }
            ([only], _) if !named.is_empty() || variants.len() == 1 => {
                self.variant(product, only, currency).map(|statement| vec![statement])
            }
            (_, []) => Ok(vec![Statement::requiring(
                self.render(Template::SoldOut, &context! { name })?,
                [name.clone()],
            )]),
            (_, available) => {
                let mut statements = vec![self.price_range(product, available, currency)?];
                statements.extend(self.list(available)?);
                Ok(statements)
            }
        }
    }

    fn count(&self, product: &Product, n_available: usize) -> Result<Statement, SupportError> {
        let (name, n_variants) = (&product.name, product.variants.len());
        let said = self.render(Template::VariantCount, &context! { name, n_available, n_variants })?;
        Ok(Statement::requiring(said, [name.clone(), n_available.to_string()]))
    }

    fn variant(
        &self,
        product: &Product,
        variant: &Variant,
        currency: &Currency,
    ) -> Result<Statement, SupportError> {
        let (name, price) = (&product.name, price(variant.price, currency));
        let available = variant.available;
        let options = values(variant);
        let said = self.render(Template::Variant, &context! { name, options, price => &price, available })?;
        let stock = if available { "in stock" } else { "out of stock" };
        Ok(Statement::requiring(said, [name.clone(), price, stock.to_owned()]))
    }

    fn price_range(
        &self,
        product: &Product,
        available: &[&Variant],
        currency: &Currency,
    ) -> Result<Statement, SupportError> {
        let name = &product.name;
        let prices = || available.iter().map(|v| v.price);
        let low = prices().min().map(|p| price(p, currency)).unwrap_or_default();
        let high = prices().max().map(|p| price(p, currency)).filter(|high| *high != low);
        let said = self.render(Template::ProductPrice, &context! { name, low => &low, high => &high })?;
        Ok(Statement::requiring(said, [name.clone(), low].into_iter().chain(high)))
    }

    /// The variants by name, where they are few enough to read.
    fn list(&self, available: &[&Variant]) -> Result<Option<Statement>, SupportError> {
        let options: Vec<String> = available.iter().map(|v| values(v)).filter(|o| !o.is_empty()).collect();
        if options.is_empty() || options.len() > MAX_LISTED {
            return Ok(None);
        }
        Ok(Some(Statement::plain(self.render(Template::VariantList, &context! { options })?)))
    }
}
