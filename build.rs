//! Records which commit a release executable was built from.
//!
//! Development builds leave it out: every commit would compile the whole crate again.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let (mut commit, mut dirty) = (None, None);
    if std::env::var_os("PROFILE").is_some_and(|profile| profile == "release") {
        println!("cargo:rerun-if-changed=.git/HEAD");
        println!("cargo:rerun-if-changed=.git/index");
        commit = git(&["rev-parse", "HEAD"]);
        dirty = git(&["status", "--porcelain", "--untracked-files=no"])
            .map(|status| (!status.is_empty()).to_string());
    }
    println!("cargo:rustc-env=MTOK_COMMIT={}", commit.unwrap_or_default());
    println!("cargo:rustc-env=MTOK_DIRTY={}", dirty.unwrap_or_default());
}

/// What git prints, `None` outside a checkout or without git.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
