//! Imports point downwards: reads every path under `src/` that begins with `crate::`, or with the name of
//! another crate of the workspace. Between those crates Cargo itself keeps the direction.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rstest::rstest;

/// Each room with the rooms that it may import, and the workspace's crates that it may use. A room that
/// is not listed is a mistake.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("config", &[]),
    ("actions", &["tier0_store"]),
    ("ops", &["config", "tier0_kernels"]),
    ("telemetry", &["config"]),
    ("model", &["ops", "tier0_kernels"]),
    ("embed", &["ops", "tier0_kernels"]),
    ("engine", &["model", "ops", "tier0_kernels"]),
    ("intent", &["embed"]),
    ("retrieval", &["embed"]),
    ("support", BELOW_SUPPORT),
    ("api", ABOVE_SUPPORT),
    ("bench", &["embed", "engine", "model", "tier0_client"]),
];

const BELOW_SUPPORT: &[&str] = &[
    "actions",
    "engine",
    "intent",
    "retrieval",
    "model",
    "embed",
    "tier0_playbook",
    "tier0_store",
    "tier0_text",
];

const ABOVE_SUPPORT: &[&str] = &[
    "support",
    "actions",
    "engine",
    "intent",
    "retrieval",
    "model",
    "embed",
    "config",
    "telemetry",
    "tier0_store",
];

/// The wings of `support`, each with those that it may import. What lies beside them in `support` calls them.
const WINGS: &[(&str, &[&str])] = &[
    ("understand", &[]),
    ("respond", &["understand"]),
    ("decide", &["understand", "respond"]),
    ("verify", &["respond"]),
];

/// These wire the rooms together and may import all of them.
const WIRING: &[&str] = &["cli", "lib", "main"];

/// What the crates of the workspace begin with; the program's own is just `tier0`.
const CRATE_PREFIX: &str = "tier0_";

/// The first name of a path into another room or crate, and where it stands.
#[derive(Debug, PartialEq, Eq)]
struct Import {
    line: usize,
    room: String,
}

/// Every room that `source` names after `crate::`, and every crate of the workspace, in code.
fn imports(source: &str) -> Vec<Import> {
    let code = without_comments(source);
    let mut imports = Vec::new();
    for (line, rest) in words_that_begin_with("crate::", &code) {
        let rooms = first_segments(&rest["crate::".len()..]);
        imports.extend(rooms.into_iter().map(|room| Import { line, room }));
    }
    for (line, rest) in words_that_begin_with(CRATE_PREFIX, &code) {
        if let Some((name, _)) = rest.split_once("::")
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
        {
            imports.push(Import { line, room: name.to_owned() });
        }
    }
    imports
}

/// The line of each such place, and the code from there on.
fn words_that_begin_with<'a>(text: &'a str, code: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let in_a_word = |c: char| c.is_alphanumeric() || c == '_';
    let places = code.match_indices(text).map(|(at, _)| at);
    let places = places.filter(move |at| !code[..*at].chars().next_back().is_some_and(in_a_word));
    places.map(|at| (code[..at].matches('\n').count() + 1, &code[at..]))
}

/// Line comments may speak of any room. Cutting one at a `//` inside a string loses nothing
/// that could be an import, and keeps the number of lines.
fn without_comments(source: &str) -> String {
    let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
    source.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// The first names of a path: one, or several in braces as in `{api, engine::{Event, Usage}}`.
fn first_segments(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let is_name = |c: &char| c.is_alphanumeric() || *c == '_';
        text.trim_start().chars().take_while(is_name).collect()
    };
    let Some(group) = path.trim_start().strip_prefix('{') else {
        return vec![name(path)];
    };
    let mut names = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' if depth == 0 => {
                names.push(name(&group[start..at]));
                start = at + 1;
            }
            '}' => {
                names.push(name(&group[start..at]));
                break;
            }
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// What is wrong with the imports of one file, a line for each.
fn faults(file: &Path, source: &str) -> Vec<String> {
    let room = room_of(file);
    if WIRING.contains(&room.as_str()) {
        return Vec::new();
    }
    let shown = file.display();
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
        return vec![format!(
            "{shown}: the room `{room}` has no place yet; add it to MAY_IMPORT in {}",
            file!()
        )];
    };
    imports(source)
        .into_iter()
        .filter(|import| import.room != room && !allowed.contains(&import.room.as_str()))
        .map(|Import { line, room: other }| {
            format!(
                "{shown}:{line}: `{room}` may not import `{other}`; it may import {}",
                if allowed.is_empty() { "no other room".to_owned() } else { allowed.join(", ") }
            )
        })
        .collect()
}

/// What is wrong with the imports between the wings of `support`, a line for each.
fn faults_of_wing(file: &Path, source: &str) -> Vec<String> {
    let below_support = file.strip_prefix("src/support").ok().and_then(|path| path.to_str());
    let wing = |name: &str| WINGS.iter().find(|(wing, _)| *wing == name);
    let Some((name, rest)) = below_support.and_then(|path| path.split_once('/')) else { return Vec::new() };
    let Some((name, allowed)) = wing(name) else {
        return vec![format!("{}: the wing `{name}` has no place yet; add it to WINGS", file.display())];
    };
    let code = without_comments(source);
    // In a wing's own `mod.rs`, `super` is `support`; elsewhere it stays inside the wing.
    let prefixes: &[&str] = if rest == "mod.rs" { &["support::", "super::"] } else { &["support::"] };
    let mut faults = Vec::new();
    for prefix in prefixes {
        for (line, path) in words_that_begin_with(prefix, &code) {
            for other in first_segments(&path[prefix.len()..]) {
                if wing(&other).is_some() && other != *name && !allowed.contains(&other.as_str()) {
                    faults.push(format!("{}:{line}: `{name}` may not import `{other}`", file.display()));
                }
            }
        }
    }
    faults
}

/// `src/api/chat.rs` and `src/api.rs` are both of the room `api`.
fn room_of(file: &Path) -> String {
    let first = file.components().nth(1).expect("a path under src");
    let name = Path::new(first.as_os_str()).file_stem();
    name.expect("a name").to_string_lossy().into_owned()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder that can be read") {
        let path = entry.expect("an entry that can be read").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn imports_point_downwards() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = sources(&root.join("src"));
    assert!(files.len() > MAY_IMPORT.len(), "the sources were not found");
    let faults: Vec<_> = files
        .iter()
        .flat_map(|file| {
            let source = fs::read_to_string(file).expect("a source that can be read");
            let file = file.strip_prefix(root).expect("a path under the root");
            [faults(file, &source), faults_of_wing(file, &source)].concat()
        })
        .collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_room_is_below_those_that_import_it() {
    for (room, allowed) in MAY_IMPORT {
        for other in allowed.iter().filter(|name| !name.starts_with(CRATE_PREFIX)) {
            let (_, back) = MAY_IMPORT.iter().find(|(name, _)| name == other).unwrap();
            assert!(!back.contains(room), "`{room}` and `{other}` import each other");
        }
    }
}

#[rstest]
#[case::upwards("src/engine/worker.rs", "use crate::api::AppState;", "`api`")]
#[case::sideways("src/engine/worker.rs", "use crate::retrieval::Index;", "`retrieval`")]
#[case::from_a_leaf("src/config/mod.rs", "use crate::model::chat::Message;", "`model`")]
#[case::in_a_group("src/support/a.rs", "use crate::{engine::{self, Usage}, api::X};", "`api`")]
#[case::in_an_expression("src/ops/a.rs", "let x = crate::model::f(1);", "`model`")]
#[case::of_a_macro("src/ops/a.rs", "$crate::engine::submit()", "`engine`")]
#[case::of_a_crate("src/api/a.rs", "use tier0_kernels::dense::Path;", "`tier0_kernels`")]
#[case::of_a_crate_in_a_group("src/api/a.rs", "use {tier0_client::Client, std::fmt};", "`tier0_client`")]
fn an_import_that_points_up_is_found(#[case] file: &str, #[case] line: &str, #[case] imported: &str) {
    let source = format!("//! A file.\n\n{line}\n");
    let faults = faults(Path::new(file), &source);
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with(&format!("{file}:3: ")), "{faults:?}");
    assert!(faults[0].contains(&format!("may not import {imported}")), "{faults:?}");
}

#[rstest]
#[case::downwards("src/api/chat.rs", "use crate::support::Ticket;")]
#[case::itself("src/api/chat.rs", "use crate::api::AppState;")]
#[case::another_crate("src/config/a.rs", "use other_crate::api::X;")]
#[case::a_crate_below("src/ops/a.rs", "use tier0_kernels::dense;")]
#[case::the_name_of_a_metric("src/config/a.rs", "let name = \"tier0_requests_total\";")]
#[case::visibility("src/config/a.rs", "pub(crate) fn api() {}")]
#[case::a_comment("src/engine/mod.rs", "/// See [`crate::api`].")]
#[case::wiring("src/cli.rs", "use crate::{api, engine, store};")]
fn an_import_that_points_down_is_not(#[case] file: &str, #[case] line: &str) {
    assert_eq!(faults(Path::new(file), line), Vec::<String>::new());
}

#[rstest]
#[case::upwards("src/support/respond/a.rs", "use crate::support::decide::Resolver;", 1)]
#[case::in_a_group(
    "src/support/understand/a.rs",
    "use crate::{x::Y, support::{texts::English, respond::b}};",
    1
)]
#[case::from_the_wing_itself(
    "src/support/verify/mod.rs",
    "use super::{decide::Resolver, texts::English};",
    1
)]
#[case::a_new_wing("src/support/attic/mod.rs", "", 1)]
#[case::downwards("src/support/decide/mod.rs", "use super::{respond::brief::Brief, understand::triage};", 0)]
#[case::inside("src/support/respond/a.rs", "use super::verify;", 0)]
#[case::beside_the_wings("src/support/pipeline.rs", "use super::{decide::Resolver, verify::Verified};", 0)]
fn wings_of_support_import_downwards(#[case] file: &str, #[case] line: &str, #[case] n_faults: usize) {
    let faults = faults_of_wing(Path::new(file), line);
    assert_eq!(faults.len(), n_faults, "{faults:?}");
}

#[test]
fn a_group_over_several_lines_is_read_whole() {
    let source = "use crate::{\n    engine::{Event, Usage},\n    model::TokenId,\n};\nfn f() {}";
    let rooms: Vec<_> = imports(source).into_iter().map(|i| i.room).collect();
    assert_eq!(rooms, ["engine", "model"]);
}

#[test]
fn a_room_without_a_place_is_found() {
    let faults = faults(Path::new("src/attic/mod.rs"), "");
    assert!(faults[0].contains("`attic`"), "{faults:?}");
}
