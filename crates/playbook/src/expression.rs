//! CEL: conditions and the arguments of actions.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, Program};
use serde_json::Value;

use super::error::{Place, PlaybookError};
use super::facts::Facts;
use super::references::References;

/// Functions that an expression may call, beside the macros `all`, `exists`, `exists_one`, `map`,
/// `filter` and `has`. CEL itself would notice another one only when it gets there.
const FUNCTIONS: [&str; 9] =
    ["contains", "double", "endsWith", "int", "matches", "size", "startsWith", "string", "type"];

/// CEL's own functions; building them anew for every case would cost more than the case.
static ENV: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled expression, with where and how it was written.
#[derive(Debug)]
pub(super) struct Expression {
    source: String,
    place: Place,
    program: Program,
    references: References,
}

impl Expression {
    /// # Errors
    /// When the text is not CEL, or calls a function that there is not.
    pub(super) fn compile(source: &str, place: Place) -> Result<Self, PlaybookError> {
        let program = ENV.compile(source).map_err(|e| PlaybookError::Expression {
            place: place.clone(),
            expression: source.to_owned(),
            source: e,
        })?;
        let references = References::of(program.expression());
        if let Some(unknown) = references.functions.iter().find(|name| !FUNCTIONS.contains(&name.as_str())) {
            let known = FUNCTIONS.join(", ");
            let problem = format!("`{source}` calls {unknown:?}, which is no function; there are {known}");
            return Err(PlaybookError::Invalid { place, problem });
        }
        Ok(Self { source: source.to_owned(), place, program, references })
    }

    /// As it is written in the file.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// Where it stands.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// What it mentions.
    pub(super) fn references(&self) -> &References {
        &self.references
    }

    /// Whether it is true.
    ///
    /// # Errors
    /// When it cannot be evaluated or is neither true nor false. There is no silent falsehood.
    pub(super) fn is_true(&self, bound: &Bound) -> Result<bool, PlaybookError> {
        match self.evaluate(bound)? {
            cel::Value::Bool(is_true) => Ok(is_true),
            other => Err(self.wrong_type(&other, "true or false")),
        }
    }

    /// What it comes to, as JSON.
    ///
    /// # Errors
    /// When it cannot be evaluated or has no JSON form.
    pub(super) fn value(&self, bound: &Bound) -> Result<Value, PlaybookError> {
        let value = self.evaluate(bound)?;
        to_json(&value).ok_or_else(|| self.wrong_type(&value, "text, a number, a list or an object"))
    }

    fn evaluate(&self, bound: &Bound) -> Result<cel::Value, PlaybookError> {
        self.program.execute(&bound.0).map_err(|source| PlaybookError::Evaluation {
            place: self.place.clone(),
            expression: self.source.clone(),
            source: Box::new(source),
        })
    }

    fn wrong_type(&self, value: &cel::Value, wanted: &'static str) -> PlaybookError {
        let (place, expression) = (self.place.clone(), self.source.clone());
        PlaybookError::WrongType { place, expression, value: format!("{value:?}"), wanted }
    }
}

/// Facts made ready for any number of expressions.
pub(super) struct Bound(Context<'static, 'static>);

impl Bound {
    pub(super) fn new(facts: &Facts) -> Self {
        let mut context = Context::with_env(ENV.clone());
        for (name, value) in facts.as_json() {
            context.add_variable_from_value(name.as_str(), to_cel(value));
        }
        Self(context)
    }
}

/// Whole numbers become CEL's signed ones: left to serde they would be unsigned, and CEL adds no
/// signed number to an unsigned one.
fn to_cel(value: &Value) -> cel::Value {
    match value {
        Value::Null => cel::Value::Null,
        Value::Bool(b) => cel::Value::Bool(*b),
        Value::Number(number) => {
            let whole = number.as_i64().map(cel::Value::Int);
            whole.unwrap_or_else(|| cel::Value::Float(number.as_f64().unwrap_or(f64::NAN)))
        }
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => values.iter().map(to_cel).collect::<Vec<_>>().into(),
        Value::Object(members) => {
            let members: HashMap<String, cel::Value> =
                members.iter().map(|(name, value)| (name.clone(), to_cel(value))).collect();
            members.into()
        }
    }
}

/// None for what JSON cannot say: durations, functions, numbers that are none.
fn to_json(value: &cel::Value) -> Option<Value> {
    Some(match value {
        cel::Value::Null => Value::Null,
        cel::Value::Bool(b) => Value::Bool(*b),
        cel::Value::Int(i) => (*i).into(),
        cel::Value::UInt(u) => (*u).into(),
        cel::Value::Float(f) => serde_json::Number::from_f64(*f)?.into(),
        cel::Value::String(text) => text.as_str().into(),
        cel::Value::List(values) => Value::Array(values.iter().map(to_json).collect::<Option<_>>()?),
        cel::Value::Map(map) => {
            let mut members: Vec<(String, Value)> = map
                .map
                .iter()
                .map(|(name, value)| Some((name.to_string(), to_json(value)?)))
                .collect::<Option<_>>()?;
            // CEL's maps have no order; without one the same case would not give the same bytes.
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn compile(source: &str) -> Result<Expression, PlaybookError> {
        Expression::compile(source, Place::in_rule("r", "when"))
    }

    fn bound() -> Bound {
        let order =
            json!({"status": "pending", "total": 500, "price": 12.5, "days": null, "items": [{"id": "a"}]});
        Bound::new(&Facts::from(json!({"order": order})))
    }

    #[rstest]
    #[case("order.total <= 500.0", true)]
    #[case("order.total == 500", true)]
    #[case("order.total + 1 == 501", true)]
    #[case("order.price > 12", true)]
    #[case("order.days == null", true)]
    #[case("order.days != null && order.days > 30", false)]
    #[case("order.status in ['processed', 'shipped']", false)]
    #[case("order.items.exists(item, item.id == 'a') && size(order.items) == 1", true)]
    fn conditions_are_true_or_false(#[case] source: &str, #[case] expected: bool) {
        assert_eq!(compile(source).unwrap().is_true(&bound()).unwrap(), expected);
    }

    #[rstest]
    #[case::null_is_not_less_than_anything("order.days < 30")]
    #[case::null_has_no_members("order.days.text == 'x'")]
    #[case::missing_is_not_null("order.tax == null")]
    #[case::no_such_root("customer.tier == 'x'")]
    #[case::neither_true_nor_false("order.status")]
    #[case::null_is_not_false("order.days ? true : false")]
    #[case::fractions_and_whole_numbers_do_not_add("order.price + order.total > 1.0")]
    fn what_cannot_be_evaluated_is_an_error_that_names_the_rule(#[case] source: &str) {
        let message = compile(source).unwrap().is_true(&bound()).unwrap_err().to_string();
        assert!(message.starts_with("rule \"r\", when: "), "{message}");
        assert!(message.contains(source), "{message}");
    }

    #[rstest]
    #[case("order.status = 'x'", "not a valid CEL expression")]
    #[case("order.status ==", "not a valid CEL expression")]
    #[case("is_empty(order.items)", "\"is_empty\", which is no function")]
    fn bad_expressions_do_not_compile(#[case] source: &str, #[case] why: &str) {
        let message = compile(source).unwrap_err().to_string();
        assert!(message.starts_with("rule \"r\", when: ") && message.contains(why), "{message}");
    }

    #[test]
    fn what_json_cannot_write_is_no_argument() {
        let message = compile("1.0 / 0.0").unwrap().value(&bound()).unwrap_err().to_string();
        assert!(message.contains("text, a number, a list or an object is needed"), "{message}");
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e6..1e6).prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_goes_through_cel_unchanged(value in json_value()) {
            let bound = Bound::new(&Facts::from(json!({"x": value})));
            prop_assert_eq!(compile("x").unwrap().value(&bound).unwrap(), value);
        }

        #[test]
        fn no_text_makes_the_compiler_panic(source in "[a-z.'()<=&|! 0-9\\[\\]{}:?]{0,24}") {
            let _ = compile(&source).map(|expression| expression.is_true(&bound()));
        }
    }
}
