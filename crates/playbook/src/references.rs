//! What a CEL expression mentions: the facts, the words it compares them with, the functions.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};

/// Everything that an expression mentions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct References {
    /// Paths of facts.
    pub(super) fields: BTreeSet<String>,
    /// Paths with the text that each is compared with by `==`, `!=` or `in`.
    pub(super) compared: BTreeSet<(String, String)>,
    /// Functions called by name; operators are none.
    pub(super) functions: BTreeSet<String>,
}

impl References {
    /// Reads an expression.
    pub(super) fn of(expression: &IdedExpr) -> Self {
        let mut walk = Walk { found: Self::default(), bound: Vec::new() };
        walk.expression(expression);
        walk.found
    }
}

struct Walk {
    found: References,
    /// Names that a comprehension such as `all(item, …)` has bound; they are no facts.
    bound: Vec<String>,
}

impl Walk {
    fn expression(&mut self, expression: &IdedExpr) {
        if let Some(path) = self.path(expression) {
            self.found.fields.insert(path);
            return;
        }
        match &expression.expr {
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => list.elements.iter().for_each(|element| self.expression(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Struct(made) => made.entries.iter().for_each(|entry| self.entry(&entry.expr)),
            Expr::Select(select) => self.expression(&select.operand),
            Expr::Ident(_) | Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn call(&mut self, call: &CallExpr) {
        if call.func_name.starts_with(|first: char| first.is_ascii_alphabetic()) {
            self.found.functions.insert(call.func_name.clone());
        }
        if let ("_==_" | "_!=_" | "@in", [left, right]) = (call.func_name.as_str(), call.args.as_slice()) {
            self.comparison(left, right);
            self.comparison(right, left);
        }
        call.target.iter().for_each(|target| self.expression(target));
        call.args.iter().for_each(|argument| self.expression(argument));
    }

    fn comparison(&mut self, side: &IdedExpr, other: &IdedExpr) {
        let Some(path) = self.path(side) else { return };
        let texts = match &other.expr {
            Expr::List(list) => list.elements.iter().filter_map(text).collect(),
            _ => text(other).into_iter().collect::<Vec<_>>(),
        };
        self.found.compared.extend(texts.into_iter().map(|text| (path.clone(), text.to_owned())));
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) {
        self.expression(&comprehension.iter_range);
        self.expression(&comprehension.accu_init);
        let n_bound = self.bound.len();
        self.bound.extend([comprehension.iter_var.clone(), comprehension.accu_var.clone()]);
        self.bound.extend(comprehension.iter_var2.clone());
        for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
            self.expression(part);
        }
        self.bound.truncate(n_bound);
    }

    fn entry(&mut self, entry: &EntryExpr) {
        match entry {
            EntryExpr::MapEntry(entry) => {
                self.expression(&entry.key);
                self.expression(&entry.value);
            }
            EntryExpr::StructField(field) => self.expression(&field.value),
        }
    }

    /// `order.payment.kind`, where the expression is such a path and nothing has bound its root.
    fn path(&self, expression: &IdedExpr) -> Option<String> {
        match &expression.expr {
            Expr::Ident(name) if !self.bound.contains(name) => Some(name.clone()),
            Expr::Select(select) => Some(format!("{}.{}", self.path(&select.operand)?, select.field)),
            _ => None,
        }
    }
}

fn text(expression: &IdedExpr) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn of(source: &str) -> References {
        References::of(cel::Program::compile(source).unwrap().expression())
    }

    #[rstest]
    #[case("order.status == 'pending'", &["order.status"])]
    #[case("order.payment.kind in ['a'] && slots.items != null", &["order.payment.kind", "slots.items"])]
    #[case("has(order.address) ? 1 : order.total + 2.0", &["order.address", "order.total"])]
    #[case("order.items.all(item, item.price < slots.limit)", &["order.items", "slots.limit"])]
    #[case("order.items[0].name.startsWith(customer.name)", &["customer.name", "order.items"])]
    #[case("{'city': slots.address.city, 'ids': [order.id]}", &["order.id", "slots.address.city"])]
    #[case("1 < 2", &[])]
    fn every_fact_is_found_and_no_bound_name(#[case] source: &str, #[case] fields: &[&str]) {
        assert_eq!(of(source).fields.iter().map(String::as_str).collect::<Vec<_>>(), fields);
    }

    #[test]
    fn words_are_found_on_either_side_and_in_lists() {
        let compared = of("a.b == 'x' || 'y' != a.c || a.d in ['z', 'w'] || a.e == 3").compared;
        let expected = [("a.b", "x"), ("a.c", "y"), ("a.d", "w"), ("a.d", "z")];
        assert_eq!(compared, expected.map(|(path, text)| (path.to_owned(), text.to_owned())).into());
    }

    #[test]
    fn functions_are_found_and_operators_are_not() {
        let functions = of("size(a.b) > 1 && a.c.startsWith('x') && !a.d").functions;
        assert_eq!(functions, ["size", "startsWith"].map(str::to_owned).into());
    }
}
