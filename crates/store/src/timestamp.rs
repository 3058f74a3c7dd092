//! How points in time are written in the import format. Kept to the second, in UTC.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, SecondsFormat, SubsecRound, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Reads `2026-11-20T14:05:00Z` (or with another offset), `2026-11-20T14:05:00`,
/// `2026-11-20 14:05:00` and `2026-11-20`; without an offset it is UTC.
fn parse(text: &str) -> Option<DateTime<Utc>> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc().trunc_subsecs(0));
    }
    ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .or_else(|| Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN)))
        .map(|time| time.and_utc().trunc_subsecs(0))
}

pub(super) fn deserialize<'de, D>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error>
where
    D: Deserializer<'de>,
{
    let Some(text) = Option::<String>::deserialize(deserializer)? else {
        return Ok(None);
    };
    parse(&text).map(Some).ok_or_else(|| {
        de::Error::custom(format!("{text:?} is not a time such as 2026-11-20T14:05:00Z or 2026-11-20"))
    })
}

pub(super) fn serialize<S: Serializer>(
    time: &Option<DateTime<Utc>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Secs, true)).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("2026-11-20T14:05:00Z")]
    #[case("2026-11-20T16:05:00.750+02:00")]
    #[case("2026-11-20T14:05:00")]
    #[case(" 2026-11-20 14:05:00.25")]
    fn one_moment_has_many_spellings(#[case] text: &str) {
        let moment = parse(text).unwrap();
        assert_eq!(moment.to_rfc3339(), "2026-11-20T14:05:00+00:00");
    }

    #[rstest]
    #[case("")]
    #[case("yesterday")]
    #[case("2026-13-01")]
    #[case("20.11.2026")]
    fn what_is_no_time_is_refused(#[case] text: &str) {
        assert_eq!(parse(text), None);
    }

    #[test]
    fn a_date_alone_is_its_first_second() {
        let moment = parse("2026-11-20").unwrap();
        assert_eq!(moment.to_rfc3339(), "2026-11-20T00:00:00+00:00");
    }
}
