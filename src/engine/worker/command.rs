//! How a worker is started: which program, with which arguments and which environment.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

/// Variables that a worker may see, by name.
const ALLOWED: [&str; 4] = ["PATH", "LD_LIBRARY_PATH", "LANG", "TMPDIR"];

/// Variables that a worker may see, by the start of their name.
const ALLOWED_PREFIXES: [&str; 4] = ["CUDA_", "NVIDIA_", "RAYON_", "CANDLE_"];

/// How many threads candle and rayon take.
const THREADS: &str = "RAYON_NUM_THREADS";

/// Where the driver keeps the kernels that it has compiled, and where it does so below the home folder when
/// nobody says. A worker has no home folder and would compile them again every time, for many seconds.
const COMPILED: &str = "CUDA_CACHE_PATH";
const COMPILED_AT_HOME: &str = ".nv/ComputeCache";

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
    /// kept. The driver's folder of compiled kernels is named where it would be found by `HOME`.
    pub fn new(
        program: impl Into<PathBuf>,
        args: impl IntoIterator<Item = impl Into<OsString>>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        let (mut env, others): (Vec<_>, Vec<_>) =
            env.into_iter().partition(|(name, _)| allowed(name));
        let home = others
            .into_iter()
            .find(|(name, value)| name == "HOME" && !value.is_empty());
        if let Some((_, home)) = home
            && !env.iter().any(|(name, _)| name == COMPILED)
        {
            let folder = PathBuf::from(home).join(COMPILED_AT_HOME);
            env.push((COMPILED.into(), folder.into_os_string()));
        }
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            env,
        }
    }

    /// The same as the system's own command, with an environment that holds nothing else.
    pub(super) fn command(&self) -> std::process::Command {
        let mut command = std::process::Command::new(&self.program);
        command.args(&self.args).env_clear();
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command.envs(self.fewer_threads().map(|threads| (THREADS, threads)));
        command
    }

    /// As many threads as this process may use, where the user says nothing: candle counts those of the whole
    /// machine, of which a mask or a quota may allow fewer.
    fn fewer_threads(&self) -> Option<String> {
        let said = self.env.iter().any(|(name, _)| name == THREADS);
        let allowed = std::thread::available_parallelism().ok()?;
        fewer(candle_core::utils::get_num_threads(), allowed.get())
            .filter(|_| !said)
            .map(|threads| threads.to_string())
    }

    /// The program, for messages.
    pub(super) fn program(&self) -> std::path::Display<'_> {
        self.program.display()
    }
}

/// The threads that are allowed, where these are more.
fn fewer(threads: usize, allowed: usize) -> Option<usize> {
    (allowed < threads).then_some(allowed)
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

    /// What a worker sees of these variables.
    fn seen(env: &[(&str, &str)]) -> Vec<(String, String)> {
        let env = env.iter().map(|(name, value)| (name.into(), value.into()));
        let command = WorkerCommand::new("/bin/true", ["worker"], env);
        let text = |text: OsString| text.into_string().unwrap();
        let env = command.env.into_iter();
        env.map(|(name, value)| (text(name), text(value))).collect()
    }

    #[test]
    fn only_what_an_engine_needs_is_handed_on() {
        let names = [
            "PATH",
            "CUDA_VISIBLE_DEVICES",
            "HF_TOKEN",
            "LANGUAGE",
            "LD_PRELOAD",
        ];
        let seen = seen(&names.map(|name| (name, "x")));
        let names: Vec<&str> = seen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["PATH", "CUDA_VISIBLE_DEVICES"]);
    }

    #[test]
    fn a_worker_has_no_more_threads_than_are_allowed() {
        assert_eq!(fewer(8, 2), Some(2));
        assert_eq!(fewer(2, 2), None);
        // A machine of eight threads on four cores, of which candle takes the cores.
        assert_eq!(fewer(4, 8), None);
        let said = [(THREADS.into(), "64".into())];
        let command = WorkerCommand::new("/bin/true", ["worker"], said);
        assert_eq!(command.fewer_threads(), None);
    }

    #[test]
    fn compiled_kernels_are_kept_where_the_driver_would_keep_them() {
        let at = |path: &str| vec![("CUDA_CACHE_PATH".to_owned(), path.to_owned())];
        assert_eq!(seen(&[("HOME", "/home/a")]), at("/home/a/.nv/ComputeCache"));
        let both = [("HOME", "/home/a"), ("CUDA_CACHE_PATH", "/tmp/k")];
        assert_eq!(seen(&both), at("/tmp/k"));
        assert!(seen(&[("HOME", "")]).is_empty());
    }
}
