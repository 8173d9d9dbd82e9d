//! Known inputs of the fuzz targets: the seeds, and every input that once found a bug.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::targets::seeds::{dictionary, root};
use crate::targets::{TARGETS, Target, find};

/// Whether it got all the way; a broken promise fails the test with the input's name.
fn run(target: &Target, name: &str, input: &[u8]) -> bool {
    let result = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    result.unwrap_or_else(|_| panic!("{}: {name} breaks a promise (above)", target.name))
}

fn check_seeds(name: &str) {
    let target = find(name).unwrap();
    let seeds = (target.seeds)();
    let run = |(index, seed): &(usize, &Vec<u8>)| run(target, &format!("seed {index}"), seed);
    let reached = seeds.iter().enumerate().filter(run).count();
    assert!(reached * 20 >= seeds.len(), "{name}: only {reached} of {} seeds get anywhere", seeds.len());
    assert!(dictionary(&seeds).lines().count() > 20, "{name}: hardly any words");
}

#[test]
fn request_bodies_of_the_fixtures_keep_every_promise() {
    check_seeds("request_body");
}

#[test]
fn header_fields_keep_every_promise() {
    check_seeds("header_fields");
}

#[test]
fn the_reference_configuration_keeps_every_promise() {
    check_seeds("configuration");
}

#[test]
fn answers_of_the_fixtures_keep_every_promise() {
    for provider in imcast::providers::REGISTRY {
        check_seeds(provider.name);
    }
}

#[test]
fn inputs_that_once_found_a_bug_keep_every_promise() {
    let folder = root().join("fuzz/regressions");
    let mut count = 0;
    for target in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = target.file_name().unwrap().to_str().unwrap();
        let known = find(name).unwrap_or_else(|| panic!("{name} is no target"));
        for file in std::fs::read_dir(&target).unwrap().map(|entry| entry.unwrap().path()) {
            run(known, &file.display().to_string(), &std::fs::read(&file).unwrap());
            count += 1;
        }
    }
    assert!(count > 0, "no regression was found");
}

#[test]
fn every_target_has_a_name_of_its_own() {
    let mut names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), 8);
}
