//! A file of prompts: one per line, or JSON Lines.

use std::path::Path;

use serde::{Deserialize, Serialize};

/// Prompts of a file at most.
const MOST: usize = 100_000;

/// One prompt of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Where it stands, from 1.
    pub(crate) number: usize,
    /// What it is.
    pub(crate) prompt: Prompt,
}

/// What a prompt is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Prompt {
    /// A text.
    Text(String),
    /// A conversation, the last message of which is the user's.
    Messages(Vec<Message>),
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Who speaks: `system`, `user`, `assistant`.
    pub(crate) role: String,
    /// What is said.
    pub(crate) content: String,
}

/// A line of JSON; data sets carry other keys too.
#[derive(Deserialize)]
struct Written {
    prompt: Option<String>,
    messages: Option<Vec<Message>>,
}

/// Reads the prompts of a file; `name` decides whether it is JSON Lines, and the first line where the
/// name does not.
pub(crate) fn read(text: &str, name: &str) -> Result<Vec<Line>, String> {
    let filled = || {
        let numbered = (1..).zip(text.lines());
        numbered.filter(|(_, line)| !line.trim().is_empty())
    };
    let named = Path::new(name).extension();
    let json = named.is_some_and(|extension| extension.eq_ignore_ascii_case("jsonl"))
        || filled().next().is_some_and(|(_, line)| looks_json(line));
    let mut lines = Vec::new();
    for (number, line) in filled() {
        if lines.len() == MOST {
            return Err(format!("line {number}: more than {MOST} prompts"));
        }
        let prompt = if json {
            parse(line).map_err(|reason| format!("line {number}: {reason}"))?
        } else {
            Prompt::Text(line.to_owned())
        };
        lines.push(Line { number, prompt });
    }
    if lines.is_empty() {
        return Err("holds no prompt".to_owned());
    }
    Ok(lines)
}

fn looks_json(line: &str) -> bool {
    serde_json::from_str::<Written>(line)
        .is_ok_and(|line| line.prompt.is_some() || line.messages.is_some())
}

fn parse(line: &str) -> Result<Prompt, String> {
    let line: Written = serde_json::from_str(line).map_err(|error| error.to_string())?;
    match (line.prompt, line.messages) {
        (Some(text), None) => Ok(Prompt::Text(text)),
        (None, Some(messages)) => up_to_the_user(messages).map(Prompt::Messages),
        (Some(_), Some(_)) => Err("has both \"prompt\" and \"messages\"".to_owned()),
        (None, None) => Err("has neither \"prompt\" nor \"messages\"".to_owned()),
    }
}

/// A conversation up to the last message of the user: what a server would be asked to answer.
fn up_to_the_user(mut messages: Vec<Message>) -> Result<Vec<Message>, String> {
    let last = messages.iter().rposition(|message| message.role == "user");
    let Some(last) = last else {
        return Err("has no message of the role \"user\"".to_owned());
    };
    messages.truncate(last + 1);
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_file_has_a_prompt_per_line() {
        let lines = read("first\n\n  second one \r\n", "prompts.txt").unwrap();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1].number, 3);
        assert_eq!(lines[1].prompt, Prompt::Text("  second one ".to_owned()));
    }

    #[test]
    fn json_lines_are_known_by_name_or_by_sight() {
        let text = "{\"prompt\": \"a\", \"id\": 7}\n{\"prompt\": \"b\"}\n";
        for name in ["prompts.jsonl", "prompts"] {
            let lines = read(text, name).unwrap();
            assert_eq!(lines[1].prompt, Prompt::Text("b".to_owned()), "{name}");
        }
        let braces = read("{not json}\n", "prompts.txt").unwrap();
        assert_eq!(braces[0].prompt, Prompt::Text("{not json}".to_owned()));
    }

    #[test]
    fn a_conversation_ends_with_the_user() {
        let text = r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}"#;
        let lines = read(text, "x.jsonl").unwrap();
        let Prompt::Messages(messages) = &lines[0].prompt else {
            panic!("messages are a conversation")
        };
        assert_eq!(messages.len(), 1);
    }

    #[track_caller]
    fn refused(text: &str, reason: &str) {
        let message = read(text, "x.jsonl").unwrap_err();
        assert!(message.contains(reason), "{message}");
    }

    #[test]
    fn a_line_that_is_no_prompt_is_refused_by_its_number() {
        refused("\n\n", "holds no prompt");
        refused("{\"prompt\": \"a\"}\n{", "line 2: EOF");
        refused("{\"text\": 1}", "line 1: has neither");
        refused("{\"prompt\": \"a\", \"messages\": []}", "has both");
        refused("{\"messages\": []}", "no message of the role");
        refused("{\"prompt\": 3}", "line 1: invalid type");
    }
}
