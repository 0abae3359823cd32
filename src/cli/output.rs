//! Data to stdout, talk to stderr.

use std::io::{ErrorKind, Write as _};

use super::exit::{CliError, Exit};
use crate::report::escape::harmless;

/// Writes data to stdout. A reader that went away (`| head`) is no error: what is left to do is done, and
/// the exit code is that of the work.
pub(super) fn data(text: &str) -> Result<(), CliError> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::new(
            Exit::Storage,
            anyhow::Error::new(error).context("standard output"),
        )),
    }
}

/// Writes one JSON document to stdout.
pub(super) fn json<T: serde::Serialize>(value: &T) -> Result<(), CliError> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| CliError::new(Exit::Failure, error))?;
    data(&(text + "\n"))
}

/// Says something on stderr; that nobody listens is no error.
pub(super) fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(text));
}

/// Text without characters that a hostile name could use to rewrite the terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c == '\n' || c == '\t' {
                c
            } else {
                harmless(c)
            }
        })
        .collect()
}

/// Characters of an error; names and values in it come from files and may be as long as those.
const LONGEST_ERROR: usize = 1_000;

/// Text as one line of bounded length.
fn one_line(text: &str) -> String {
    let mut line: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST_ERROR)
        .collect();
    if line.len() < text.len() {
        line.push('…');
    }
    line
}

/// The one error line, and the remedy on the next.
pub(super) fn complain(error: &CliError) {
    say(&format!("error: {}", one_line(&with_causes(&error.error))));
    if let Some(hint) = &error.hint {
        say(&format!("hint: {hint}"));
    }
}

/// An error and its causes in one line; one that its effect has told already is not told again.
pub(super) fn with_causes(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for told in error.chain().map(ToString::to_string) {
        if text.is_empty() {
            text = told;
        } else if !text.ends_with(&told) {
            text += &format!(": {told}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let missing = Path::new("/nowhere/run.jsonl");
        let error = crate::record::store::read(missing).unwrap_err();
        let told = "/nowhere/run.jsonl: No such file or directory (os error 2)";
        assert_eq!(with_causes(&error.into()), told);
        let error = std::io::Error::other("too deep");
        let error = anyhow::Error::new(error).context("failed to dig");
        assert_eq!(with_causes(&error), "failed to dig: too deep");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(printable("a\u{1b}[2Jb\n"), "a\u{fffd}[2Jb\n");
        assert_eq!(printable("3\u{202e}5\t1"), "3\u{fffd}5\t1");
    }

    #[test]
    fn an_error_is_one_line_however_long_the_names_in_it_are() {
        assert_eq!(one_line("tensor a\nb: twice"), "tensor a b: twice");
        let long = one_line(&"é".repeat(2_000));
        assert_eq!(long.chars().count(), LONGEST_ERROR + 1);
        assert!(long.ends_with('…'));
    }
}
