//! Invalid values of flags, and outputs that cannot be written: one line each, before any work.

use std::fs;

use crate::common::{Done, Sandbox};
use crate::fid::sandbox;

/// Outputs are checked before any work.
#[test]
fn an_output_that_cannot_be_written_is_an_error_at_once() {
    let sandbox = sandbox();
    sandbox.write("file", "x");
    fs::create_dir(sandbox.path("folder.npz")).unwrap();
    // No images and no weights are read before.
    for (line, wanted) in [
        ("--save-stats nowhere no/s.npz", "no: no such folder: make it first (mkdir -p no)"),
        ("--save-stats nowhere no/such/s.npz", "no/such: no such folder: make it first (mkdir -p no/such)"),
        ("--save-stats nowhere file/s.npz", "file/s.npz: file is not a folder"),
        ("--save-stats nowhere folder.npz", "folder.npz: is a folder: name a file"),
        ("--merge no/s.npz a.npz b.npz", "no: no such folder: make it first (mkdir -p no)"),
        ("--convert-weights nowhere no/w.safetensors", "no: no such folder: make it first (mkdir -p no)"),
        ("--convert-weights nowhere file/in/w.safetensors", "file/in/w.safetensors: file is not a folder"),
        ("nowhere real", "nowhere: No such file or folder: check the name"),
        ("no/such real", "no/such: No such file or folder: there is no folder no"),
        ("file/in real", "file/in: file is not a folder"),
        ("real real --weights folder.npz", "folder.npz"),
    ] {
        let done = sandbox.run(&format!("fid {line}"));
        let line = done.failure(1);
        assert!(line.starts_with(wanted) && !line.contains("os error") && !line.contains(".part"), "{line}");
    }
}

/// Each error names the flag and the range.
#[test]
fn numbers_out_of_range_name_their_flag() {
    let sandbox = Sandbox::new();
    for (flag, value, wanted) in [
        ("--batch-size", "0", "--batch-size 0: not a whole number from 1 to 4096"),
        ("--batch-size", "-1", "--batch-size -1: not a whole number from 1 to 4096"),
        ("--batch-size", "1e3", "--batch-size 1e3: not a whole number from 1 to 4096"),
        ("--dims", "-64", "--dims -64: not a whole number from 1 to 16384"),
        ("--kid-subset-size", "1", "--kid-subset-size 1: not a whole number from 2 to 1000000"),
        ("--threads", "0", "--threads 0: not a whole number from 1 to 1024"),
        ("--threads", "-inf", "--threads -inf: not a whole number from 1 to 1024"),
        ("--threads", "", "--threads \"\": not a whole number from 1 to 1024"),
        ("--part", "0/3", "--part 0/3: name a part as K/N, such as 3/16, K being 1 to N"),
    ] {
        let done: Done = sandbox.command("fid a b").args([flag, value]).output().unwrap().into();
        assert_eq!(done.failure(2), wanted);
    }
}

#[test]
fn numbers_of_a_recipe_name_their_flag() {
    let sandbox = Sandbox::new();
    for (flag, wanted) in [
        ("--seed -1", "--seed -1: not a whole number from 0 to 9223372036854775807"),
        (
            "--seed 9223372036854775808",
            "--seed 9223372036854775808: not a whole number from 0 to 9223372036854775807",
        ),
        ("--epochs -1", "--epochs -1: not a whole number from 1 to 1000000"),
        ("--epochs 0", "--epochs 0: not a whole number from 1 to 1000000"),
        ("--epochs 2.5", "--epochs 2.5: not a whole number from 1 to 1000000"),
        ("--steps -5", "--steps -5: not a whole number from 1 to 1000000000"),
        ("--batch-size 0", "--batch-size 0: not a whole number from 1 to 65536"),
        ("--batch-size 64px", "--batch-size 64px: not a whole number from 1 to 65536"),
        ("--nz -1", "--nz -1: not a whole number from 1 to 4096"),
        ("--snapshot-epochs 0", "--snapshot-epochs 0: not a whole number from 1 to 1000000"),
        ("--snapshot-epochs 1,-2", "--snapshot-epochs -2: not a whole number from 1 to 1000000"),
        ("--sample-every -1", "--sample-every -1: not a whole number from 0 to 1000000000"),
        ("--score-every nan", "--score-every nan: not a whole number from 0 to 1000000"),
        ("--save-every 0", "--save-every 0: not a whole number from 1 to 10000"),
        ("--threads -1", "--threads -1: not a whole number from 1 to 1024"),
        ("--lr-g much", "--lr-g much: not a number above 0 and at most 1"),
        ("--lr-d -1e-3x", "--lr-d -1e-3x: not a number above 0 and at most 1"),
        ("--lr-g NaN", "--lr-g NaN: not a number above 0 and at most 1"),
        ("--lr-d 1e400", "--lr-d 1e400: not a number above 0 and at most 1"),
        ("--lr-d -inf", "--lr-d -inf: not a number above 0 and at most 1"),
        ("--beta1 half", "--beta1 half: not a number of at least 0 and below 1"),
    ] {
        assert_eq!(sandbox.run(&format!("train faces-32.safetensors {flag}")).failure(2), wanted);
    }
    for (flag, wanted) in [
        ("--lr-g -1", "--lr-g: -1 is not above 0 and at most 1"),
        ("--beta1 -0.5", "--beta1: -0.5 is not at least 0 and below 1"),
        ("--beta2 1", "--beta2: 1 is not at least 0 and below 1"),
    ] {
        assert_eq!(sandbox.run(&format!("train faces-32.safetensors {flag}")).failure(1), wanted);
    }
}
