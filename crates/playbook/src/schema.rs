//! The declared facts: which there are, and sample values of each.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::facts::Facts;

/// One declared fact.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// Values worth telling apart; never empty.
    pub(super) samples: Vec<Value>,
    /// Whether it may be null.
    pub(super) optional: bool,
}

impl Field {
    /// Every value to be tried: the samples, and null where it may be.
    pub(super) fn values(&self) -> Vec<Value> {
        self.samples.iter().cloned().chain(self.optional.then_some(Value::Null)).collect()
    }

    /// What the field is where nothing is said of it.
    fn default(&self) -> Value {
        if self.optional { Value::Null } else { self.first() }
    }

    /// The first sample.
    pub(super) fn first(&self) -> Value {
        self.samples.first().cloned().unwrap_or(Value::Null)
    }
}

/// All declared facts by their path.
#[derive(Debug, Clone, Default)]
pub(super) struct Schema(BTreeMap<String, Field>);

impl Schema {
    /// Declares a field. Members that some of its samples lack are null in these.
    pub(super) fn declare(&mut self, path: &str, mut field: Field) {
        let members: Map<String, Value> = field
            .samples
            .iter()
            .filter_map(Value::as_object)
            .flatten()
            .map(|(k, _)| (k.clone(), Value::Null))
            .collect();
        for sample in field.samples.iter_mut().filter_map(Value::as_object_mut) {
            add_missing(sample, &members);
        }
        self.0.insert(path.to_owned(), field);
    }

    /// A declared field by its whole path.
    pub(super) fn get(&self, path: &str) -> Option<&Field> {
        self.0.get(path)
    }

    /// All declared fields.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Field)> {
        self.0.iter().map(|(path, field)| (path.as_str(), field))
    }

    /// The declared field that a path lies in, and the members below it:
    /// `order.payment.kind` lies in `order.payment`, at `kind`.
    pub(super) fn field_of<'a>(&self, path: &'a str) -> Option<(&'a str, &'a str, &Field)> {
        let ends = path.match_indices('.').map(|(at, _)| at).chain([path.len()]);
        ends.filter_map(|end| {
            let (field, members) = path.split_at(end);
            Some((field, members.trim_start_matches('.'), self.0.get(field)?))
        })
        .next_back()
    }

    /// Whether a path is a declared field or a member of one.
    pub(super) fn knows(&self, path: &str) -> bool {
        self.field_of(path).is_some_and(|(_, members, field)| {
            members.is_empty() || field.samples.iter().any(|sample| has_member(sample, members))
        })
    }

    /// The values that the samples have at a path.
    pub(super) fn samples_at<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Value> {
        let found = self.field_of(path);
        found.into_iter().flat_map(|(_, members, field)| {
            field.samples.iter().filter_map(move |sample| {
                members.split('.').filter(|m| !m.is_empty()).try_fold(sample, |v, m| v.get(m))
            })
        })
    }

    /// The facts with null for every declared field, and member of one, that they lack.
    pub(super) fn complete(&self, facts: &Facts) -> Facts {
        let mut whole = facts.clone();
        for (path, field) in self.iter() {
            let value = match (facts.get(path), field.first()) {
                (Some(Value::Object(given)), Value::Object(members)) => {
                    let mut given = given.clone();
                    add_missing(&mut given, &members);
                    Value::Object(given)
                }
                (given, _) => given.cloned().unwrap_or(Value::Null),
            };
            whole.set(path, value);
        }
        whole
    }

    /// The facts laid over the defaults: the first sample, or null where a field is optional. An
    /// object is laid over the first sample member by member.
    pub(super) fn lay_over_defaults(&self, facts: &Facts) -> Facts {
        let mut whole = Facts::default();
        for (path, field) in self.iter() {
            let value = match (facts.get(path), field.first()) {
                (Some(Value::Object(given)), Value::Object(mut members)) => {
                    members.extend(given.clone());
                    Value::Object(members)
                }
                (Some(given), _) => given.clone(),
                (None, _) => field.default(),
            };
            whole.set(path, value);
        }
        whole
    }

    /// Paths in `facts` that are not declared.
    pub(super) fn undeclared(&self, facts: &Facts) -> Vec<String> {
        let mut unknown = Vec::new();
        self.collect_undeclared(facts.as_json(), "", &mut unknown);
        unknown
    }

    fn collect_undeclared(&self, object: &Map<String, Value>, parent: &str, unknown: &mut Vec<String>) {
        for (name, value) in object {
            let path = if parent.is_empty() { name.clone() } else { format!("{parent}.{name}") };
            match value {
                _ if self.knows(&path) && !value.is_object() => {}
                Value::Object(inner) if !inner.is_empty() => self.collect_undeclared(inner, &path, unknown),
                _ => unknown.push(path),
            }
        }
    }
}

/// Gives `object` null for each member of `wanted` that it lacks.
fn add_missing(object: &mut Map<String, Value>, wanted: &Map<String, Value>) {
    for name in wanted.keys() {
        object.entry(name).or_insert(Value::Null);
    }
}

fn has_member(value: &Value, members: &str) -> bool {
    members.split('.').try_fold(value, |value, member| value.get(member)).is_some()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn schema() -> Schema {
        let mut schema = Schema::default();
        let mut declare = |path: &str, samples: Value, optional: bool| {
            let samples = samples.as_array().unwrap().clone();
            schema.declare(path, Field { samples, optional });
        };
        declare("order.status", json!(["pending", "shipped"]), false);
        declare("order.days", json!([3]), true);
        declare("order.payment", json!([{"kind": "card", "last4": "4242"}, {"kind": "cash"}]), false);
        declare("slots.items", json!([{"n": 2}]), true);
        schema
    }

    #[rstest]
    #[case("order.status", true)]
    #[case("order.payment", true)]
    #[case("order.payment.last4", true)]
    #[case("order.payment.iban", false)]
    #[case("order.status.word", false)]
    #[case("order", false)]
    #[case("order.stat", false)]
    #[case("customer.tier", false)]
    fn fields_and_their_members_are_known_and_parents_are_not(#[case] path: &str, #[case] is_known: bool) {
        assert_eq!(schema().knows(path), is_known);
    }

    #[test]
    fn a_member_that_a_sample_lacks_is_null_in_it() {
        assert_eq!(schema().get("order.payment").unwrap().samples[1], json!({"kind": "cash", "last4": null}));
        let schema = schema();
        let kinds: Vec<_> = schema.samples_at("order.payment.kind").collect();
        assert_eq!(kinds, ["card", "cash"]);
    }

    #[test]
    fn what_is_declared_and_not_given_is_null() {
        let given =
            json!({"order": {"status": "lost", "payment": {"kind": "cash"}, "note": "x"}, "slots": null});
        let whole = schema().complete(&given.into());
        let order =
            json!({"status": "lost", "days": null, "payment": {"kind": "cash", "last4": null}, "note": "x"});
        assert_eq!(whole, json!({"order": order, "slots": {"items": null}}).into());
    }

    #[test]
    fn examples_are_laid_over_the_first_samples() {
        let given = json!({"order": {"payment": {"kind": "cash"}}, "slots": {"items": {}}});
        let whole = schema().lay_over_defaults(&given.into());
        let order = json!({"status": "pending", "days": null, "payment": {"kind": "cash", "last4": "4242"}});
        assert_eq!(whole, json!({"order": order, "slots": {"items": {"n": 2}}}).into());
    }

    #[test]
    fn undeclared_paths_are_named() {
        let given =
            json!({"order": {"status": "x", "payment": {"iban": "y"}, "tax": {"rate": 1}}, "today": "z"});
        assert_eq!(schema().undeclared(&given.into()), ["order.payment.iban", "order.tax.rate", "today"]);
    }
}
