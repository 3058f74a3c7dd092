//! Escalation triggers: signs that a person has to take a message, whatever it asks for (legal threats,
//! injury, fraud, anger, the press).

use tier0_text::{mentions, words};

/// Triggers of one kind, in the words of every language of the replies.
struct Trigger {
    reason: &'static str,
    phrases: &'static [&'static str],
}

const TRIGGERS: [Trigger; 5] = [
    Trigger {
        reason: "the message speaks of legal steps",
        phrases: &[
            "lawyer",
            "attorney",
            "solicitor",
            "sue you",
            "legal action",
            "in court",
            "to court",
            "lawsuit",
            "small claims",
            "consumer protection",
            "trading standards",
            "chargeback",
            "ombudsman",
            "anwalt",
            "rechtsanwalt",
            "klage",
            "gericht",
            "verbraucherschutz",
            "abogado",
            "demanda",
            "tribunal",
            "denunciar",
            "avocat",
            "plainte",
            "poursuites",
        ],
    },
    Trigger {
        reason: "the message speaks of an injury or a danger",
        phrases: &[
            "injured",
            "injury",
            "hospital",
            "burned me",
            "burnt my",
            "electric shock",
            "caught fire",
            "on fire",
            "exploded",
            "smoke came",
            "bleeding",
            "allergic",
            "allergy",
            "poison",
            "choked",
            "verletzt",
            "krankenhaus",
            "explodiert",
            "herido",
            "incendio",
            "blessé",
            "incendie",
            "explosé",
        ],
    },
    Trigger {
        reason: "the message speaks of fraud or a stolen account",
        phrases: &[
            "hacked",
            "hacker",
            "fraud",
            "scam",
            "unauthorized",
            "unauthorised",
            "identity theft",
            "stolen card",
            "someone else used",
            "orders i never made",
            "did not place",
            "didnt place",
            "gehackt",
            "betrug",
            "estafa",
            "fraude",
            "pirater",
            "piraté",
            "arnaque",
        ],
    },
    Trigger {
        reason: "the customer is very angry",
        phrases: &[
            "furious",
            "disgusting",
            "disgusted",
            "outrageous",
            "unacceptable",
            "worst company",
            "never again",
            "ruined",
            "livid",
            "appalling",
            "appalled",
            "disgrace",
            "wütend",
            "unverschämt",
            "frechheit",
            "vergüenza",
            "indignante",
            "scandaleux",
            "inadmissible",
            "furieux",
        ],
    },
    Trigger {
        reason: "the message comes from the press or an authority",
        phrases: &[
            "journalist",
            "press enquiry",
            "press inquiry",
            "newspaper",
            "police officer",
            "tax authority",
            "data protection officer",
            "gdpr request",
            "periodista",
            "policía",
            "polizei",
            "journaliste",
        ],
    },
];

/// Why a person has to take the message, if a trigger stands in it.
pub(in crate::support) fn trigger(message: &str) -> Option<&'static str> {
    let said = words(message);
    TRIGGERS.iter().find(|trigger| mentions(&said, trigger.phrases)).map(|trigger| trigger.reason)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("I'll see you in court", true)]
    #[case("The kettle burned me and I had to go to hospital", true)]
    #[case("Somebody hacked my account", true)]
    #[case("This is UNACCEPTABLE", true)]
    #[case("Mein Anwalt wird sich melden", true)]
    #[case("Where is my order? It is late.", false)]
    #[case("I pressed the wrong button, please cancel", false)]
    fn a_sign_calls_for_a_person(#[case] message: &str, #[case] expected: bool) {
        assert_eq!(trigger(message).is_some(), expected);
    }
}
