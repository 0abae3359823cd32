//! Records which commit the executable was built from.

use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=.git/HEAD");
    println!("cargo:rerun-if-changed=.git/index");
    let commit = git(&["rev-parse", "HEAD"]).unwrap_or_default();
    let dirty = git(&["status", "--porcelain", "--untracked-files=no"])
        .map(|status| if status.is_empty() { "false" } else { "true" })
        .unwrap_or_default();
    println!("cargo:rustc-env=MTOK_COMMIT={commit}");
    println!("cargo:rustc-env=MTOK_DIRTY={dirty}");
}

/// What git prints, `None` outside a checkout or without git.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
