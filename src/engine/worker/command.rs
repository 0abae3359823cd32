//! How a worker is started: which program, with which arguments and which environment.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Variables that a worker may see, by name.
const ALLOWED: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR"];

/// Variables that a worker may see, by the start of their name.
const ALLOWED_PREFIXES: [&str; 4] = ["CUDA_", "NVIDIA_", "RAYON_", "CANDLE_"];

/// How a worker is started.
///
/// The environment is cut down to what an engine needs, so that tokens and keys of the user's shell
/// never reach a process that reads files from strangers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCommand {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl WorkerCommand {
    /// A command from the program, its arguments, and an environment of which only what is allowed is
    /// kept.
    pub fn new(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env: env.into_iter().filter(|(name, _)| allowed(name)).collect(),
        }
    }

    /// The same as the system's own command, with an environment that holds nothing else.
    pub(super) fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The program, for messages.
    pub(super) fn program(&self) -> std::path::Display<'_> {
        self.program.display()
    }
}

fn allowed(name: &OsStr) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    ALLOWED.contains(&name)
        || ALLOWED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_engine_needs_is_handed_on() {
        let env = [
            "PATH",
            "CUDA_VISIBLE_DEVICES",
            "HF_TOKEN",
            "HOME",
            "LANGUAGE",
        ]
        .map(|name| (OsString::from(name), OsString::from("x")));
        let command = WorkerCommand::new("/bin/true", ["worker"], env);
        let names: Vec<&str> = command
            .env
            .iter()
            .map(|(name, _)| name.to_str().unwrap())
            .collect();
        assert_eq!(names, ["PATH", "CUDA_VISIBLE_DEVICES"]);
    }
}
