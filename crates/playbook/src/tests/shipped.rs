//! The playbooks that come with the project: nothing to find in them, and all examples right.

use rstest::rstest;

use super::super::{Finding, Playbook};

const DEMO_STORE: &str = include_str!("../../../../examples/demo-store/playbook.toml");
const RETAIL: &str = include_str!("../../../../examples/retail/playbook.toml");

fn lines(findings: &[Finding]) -> String {
    findings.iter().map(|finding| format!("- {finding}\n")).collect()
}

#[rstest]
#[case::demo_store(DEMO_STORE)]
#[case::retail(RETAIL)]
fn nothing_is_found_in_them(#[case] text: &str) {
    let findings = Playbook::parse(text).unwrap().check();
    assert!(findings.is_empty(), "{}", lines(&findings));
}

#[rstest]
#[case::demo_store(DEMO_STORE)]
#[case::retail(RETAIL)]
fn their_examples_come_out_right(#[case] text: &str) {
    let results = Playbook::parse(text).unwrap().test();
    let wrong: Vec<_> = results.iter().filter(|result| !result.problems.is_empty()).collect();
    assert!(results.len() >= 25 && wrong.is_empty(), "{wrong:#?}");
}
