//! What is known about a case: JSON, read by paths such as `order.payment.kind`.

use serde_json::{Map, Value};

/// The facts of one case.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Facts(Map<String, Value>);

impl Facts {
    /// The value at a path; none where nothing stands.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Value> {
        let mut names = path.split('.');
        let first = self.0.get(names.next()?);
        names.fold(first, |value, name| value?.get(name))
    }

    /// The facts as JSON.
    #[must_use]
    pub fn as_json(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Puts a value at a path. What stands in its way and is no object gives place to one.
    pub(super) fn set(&mut self, path: &str, value: Value) {
        let (parents, last) =
            path.rsplit_once('.').map_or((None, path), |(parents, last)| (Some(parents), last));
        let mut object = &mut self.0;
        for name in parents.into_iter().flat_map(|parents| parents.split('.')) {
            let entry = object.entry(name).or_insert(Value::Null);
            if !entry.is_object() {
                *entry = Value::Object(Map::new());
            }
            match entry {
                Value::Object(inner) => object = inner,
                _ => return,
            }
        }
        object.insert(last.to_owned(), value);
    }
}

impl From<Map<String, Value>> for Facts {
    fn from(object: Map<String, Value>) -> Self {
        Self(object)
    }
}

impl From<Value> for Facts {
    /// A value that is no object holds no facts.
    fn from(value: Value) -> Self {
        match value {
            Value::Object(object) => Self(object),
            _ => Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_reads_through_objects_only() {
        let facts = Facts::from(
            json!({"order": {"payment": {"kind": "paypal"}, "total": null}, "today": "2026-11-22"}),
        );
        assert_eq!(facts.get("order.payment.kind"), Some(&json!("paypal")));
        assert_eq!(facts.get("order.total"), Some(&Value::Null));
        assert_eq!(facts.get("today"), Some(&json!("2026-11-22")));
        for missing in ["order.total.cents", "order.tax", "today.year", "customer", ""] {
            assert_eq!(facts.get(missing), None, "{missing}");
        }
    }

    #[test]
    fn an_object_takes_the_place_of_what_is_in_the_way() {
        let mut facts = Facts::from(json!({"order": null, "today": "2026-11-22"}));
        facts.set("order.id", json!("#1"));
        assert_eq!(Value::Object(facts.0), json!({"order": {"id": "#1"}, "today": "2026-11-22"}));
    }

    proptest! {
        #[test]
        fn what_was_set_last_is_read(paths in prop::collection::vec("[ab](\\.[ab]){0,3}", 1..8)) {
            let mut facts = Facts::default();
            for (i, path) in paths.iter().enumerate() {
                facts.set(path, json!(i));
                prop_assert_eq!(facts.get(path), Some(&json!(i)));
            }
        }
    }
}
