//! What is in the models folder: noticing, checking, showing.

use std::fs;

use super::world::{Manner, World, digest, hub_source, model, serve};
use crate::{Catalog, Manifest, Status, Verdict, render_list, render_verify};

const WEIGHTS: &[u8] = b"the weights of a model";

/// A world whose hub serves the model, already fetched.
fn fetched(manifest: &Manifest) -> World {
    let world = World::with_hub(Manner::Serve(WEIGHTS.to_vec()));
    world.hub().fetch(manifest, &world.lines).unwrap();
    world
}

fn from_hub() -> Manifest {
    let mut manifest = model(WEIGHTS);
    manifest.sources = vec![hub_source()];
    manifest
}

fn without_hash() -> Manifest {
    let mut manifest = from_hub();
    manifest.files[0].sha256 = None;
    manifest
}

#[test]
fn a_file_that_changed_is_no_longer_taken_for_the_model() {
    for changed in [&b"cut off"[..], &WEIGHTS.to_ascii_uppercase()] {
        let manifest = from_hub();
        let world = fetched(&manifest);
        assert!(world.hub().local(&manifest).is_some());
        fs::write(world.path("models/m/m.gguf"), changed).unwrap();
        assert!(world.hub().local(&manifest).is_none());

        world.hub().fetch(&manifest, &world.lines).unwrap();
        assert!(world.lines.have("is not the expected file"));
        assert_eq!(world.file(&manifest, "m.gguf"), WEIGHTS);
    }
}

#[test]
fn a_removed_file_is_noticed() {
    let manifest = from_hub();
    let world = fetched(&manifest);
    fs::remove_file(world.path("models/m/m.gguf")).unwrap();
    assert!(world.hub().local(&manifest).is_none());
    let report = world.hub().verify(&manifest, &world.lines).unwrap();
    assert_eq!(report.files, [("m.gguf".to_owned(), Verdict::Missing)]);
    assert!(!report.is_ok());
}

#[test]
fn a_new_hash_in_the_manifest_counts_more_than_the_marker() {
    let mut manifest = from_hub();
    let world = fetched(&manifest);
    manifest.files[0].sha256 = Some(digest(b"a newer file"));
    assert!(world.hub().local(&manifest).is_none());
}

#[test]
fn a_file_put_there_by_hand_is_used_without_any_network() {
    let manifest = from_hub();
    let world = World::new();
    fs::create_dir(world.path("models/m")).unwrap();
    fs::write(world.path("models/m/m.gguf"), WEIGHTS).unwrap();
    let local = world.offline_hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(local.path("m.gguf"), world.path("models/m/m.gguf"));
    assert!(world.hub().local(&manifest).is_some());
}

#[test]
fn a_broken_marker_only_costs_a_new_hash() {
    let manifest = from_hub();
    let world = fetched(&manifest);
    fs::write(world.path("models/m/.fetched.json"), "{ not json").unwrap();
    assert!(world.hub().local(&manifest).is_none());
    world.offline_hub().fetch(&manifest, &world.lines).unwrap();
}

#[test]
fn verify_hashes_again_whatever_the_marker_says() {
    let manifest = from_hub();
    let world = fetched(&manifest);
    assert!(world.hub().verify(&manifest, &world.lines).unwrap().is_ok());

    let path = world.path("models/m/m.gguf");
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    let changed = WEIGHTS.to_ascii_uppercase();
    fs::write(&path, &changed).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(before).unwrap();
    assert!(world.hub().local(&manifest).is_some(), "size and time are as they were");

    let report = world.hub().verify(&manifest, &world.lines).unwrap();
    let wrong = Verdict::Wrong { expected: digest(WEIGHTS), found: digest(&changed) };
    assert_eq!(report.files, [("m.gguf".to_owned(), wrong)]);
    let shown = render_verify(&report);
    assert!(shown.contains(&digest(&changed).to_string()) && shown.contains("WRONG"), "{shown}");
}

#[test]
fn a_hash_not_known_in_advance_is_recorded_said_and_held_to() {
    let manifest = without_hash();
    let mut world = fetched(&manifest);
    assert!(world.lines.have(&format!("SHA-256 {}, not known in advance, recorded", digest(WEIGHTS))));
    let report = world.hub().verify(&manifest, &world.lines).unwrap();
    assert_eq!(report.files, [("m.gguf".to_owned(), Verdict::AsRecorded)]);

    // The file is lost, and the hub has another one of this size by now.
    fs::remove_file(world.path("models/m/m.gguf")).unwrap();
    world.endpoint = serve(Manner::Serve(WEIGHTS.to_ascii_uppercase()));
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    assert!(error.contains(&digest(WEIGHTS).to_string()), "{error}");
}

#[test]
fn a_file_of_unknown_hash_must_have_the_right_size() {
    let manifest = without_hash();
    let world = World::with_hub(Manner::Serve(b"short".to_vec()));
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    assert!(error.contains("5 bytes instead of 22"), "{error}");
}

#[test]
fn the_list_tells_what_is_here_and_what_was_never_run() {
    let here = from_hub();
    let mut elsewhere = from_hub();
    elsewhere.id = "other".to_owned();
    elsewhere.status = Status::NotYetRun { reason: "no machine".to_owned() };
    let world = fetched(&here);
    let models = world.hub().list(&Catalog::new(vec![elsewhere, here]));
    assert_eq!(
        models.iter().map(|m| (m.id.as_str(), m.is_local)).collect::<Vec<_>>(),
        [("m", true), ("other", false)]
    );
    let shown = render_list(&models);
    let lines: Vec<_> = shown.lines().collect();
    assert!(lines[1].starts_with("m ") && lines[1].contains(" yes "), "{shown}");
    assert!(lines[2].ends_with("not yet run: no machine"), "{shown}");
    assert_eq!(lines[1].find("text"), lines[2].find("text"), "columns stand under each other");
}
