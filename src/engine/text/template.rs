//! The chat template of a model: Jinja from a stranger, rendered with bounded fuel.

use std::path::Path;

use minijinja::syntax::SyntaxConfig;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value, context};
use serde::Deserialize;

use super::lines::Message;
use crate::engine::gguf::{GgufFile, StoredTemplate};
use crate::engine::tokenizer::TokenizerOf;
use crate::engine::weights::files;
use crate::engine::{EngineError, tiny};

/// A template in a file of its own, as transformers writes it since 4.52.
const OWN_FILE: &str = "chat_template.jinja";
/// The file that holds it otherwise, and the texts of special tokens.
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
/// Largest `tokenizer_config.json` that is read: those with many added tokens have about 1 MB.
const CONFIG_LIMIT: u64 = 8 << 20;
/// Largest template that is read; published ones stay below 20 KiB.
const TEMPLATE_LIMIT: u64 = 1 << 20;
/// An instruction costs one, as do 64 bytes of text: published templates take a few thousand for one
/// message, and a hostile one ends after a fraction of a second with 64 MB at most.
const FUEL: u64 = 1_000_000;
/// Nested calls; each takes several KiB of stack.
const RECURSION: usize = 100;
/// Stands for the text of a prompt while the template is rendered: a private character on each side, so
/// that no template says it by itself.
const MARK: &str = "\u{f8f0}text\u{f8f1}";

/// A chat template and what it is called with.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    /// Where it was read.
    pub(crate) place: String,
    /// Its text.
    pub(crate) source: String,
    bos: String,
    eos: String,
}

/// A rendered conversation around the text of its last message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Before the text.
    pub(crate) head: String,
    /// After it.
    pub(crate) tail: String,
}

#[derive(Default, Deserialize)]
struct ConfigFile {
    chat_template: Option<Templates>,
    bos_token: Option<SpecialToken>,
    eos_token: Option<SpecialToken>,
}

/// One template, or several by name of which `default` is used.
enum Templates {
    One(String),
    Named(Vec<NamedTemplate>),
}

#[derive(Deserialize)]
struct NamedTemplate {
    name: String,
    template: String,
}

/// The text of a special token, bare or within a description.
struct SpecialToken(String);

impl<'de> Deserialize<'de> for Templates {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let read = match value {
            serde_json::Value::String(template) => Ok(Self::One(template)),
            other => serde_json::from_value(other).map(Self::Named),
        };
        read.map_err(serde::de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for SpecialToken {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let text = value
            .as_str()
            .or_else(|| value.get("content").and_then(serde_json::Value::as_str));
        text.map(|text| Self(text.to_owned()))
            .ok_or_else(|| serde::de::Error::custom("a special token is a text or has \"content\""))
    }
}

impl ChatTemplate {
    /// The template that comes with a tokenizer.
    pub(crate) fn read(tokenizer: &TokenizerOf) -> Result<Self, EngineError> {
        match tokenizer {
            TokenizerOf::File { path, .. } => {
                Self::of_folder(path.parent().unwrap_or(Path::new("")))
            }
            TokenizerOf::Gguf { path } => Self::of_gguf(path),
            TokenizerOf::Tiny => Err(none(tiny::NAME)),
        }
    }

    /// The template in the metadata of a GGUF file.
    fn of_gguf(path: &Path) -> Result<Self, EngineError> {
        let stored = GgufFile::open(path)?.chat_template()?;
        let StoredTemplate { source, bos, eos } = stored.ok_or_else(|| none(path.display()))?;
        if source.len() as u64 > TEMPLATE_LIMIT {
            let reason = format!("chat template of {} bytes; leave out --chat", source.len());
            return Err(EngineError::model(path.display(), reason));
        }
        Ok(Self {
            place: path.display().to_string(),
            source,
            bos,
            eos,
        })
    }

    /// The template of the model whose files lie in `folder`.
    fn of_folder(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(TOKENIZER_CONFIG);
        let config = if path.exists() {
            let bytes = files::read(&path, CONFIG_LIMIT)?;
            serde_json::from_slice(&bytes)
                .map_err(|error| EngineError::model(path.display(), error.to_string()))?
        } else {
            ConfigFile::default()
        };
        let own = folder.join(OWN_FILE);
        let (path, source) = if own.exists() {
            let bytes = files::read(&own, TEMPLATE_LIMIT)?;
            let text = String::from_utf8(bytes)
                .map_err(|_| EngineError::model(own.display(), "not UTF-8"))?;
            (own, text)
        } else {
            let source = config.chat_template.and_then(Templates::chosen);
            (path, source.ok_or_else(|| none(folder.display()))?)
        };
        let text = |token: Option<SpecialToken>| token.map_or(String::new(), |token| token.0);
        Ok(Self {
            place: path.display().to_string(),
            source,
            bos: text(config.bos_token),
            eos: text(config.eos_token),
        })
    }

    /// Renders a conversation with its last message left open.
    pub(crate) fn frame(&self, messages: &[Message]) -> Result<Frame, EngineError> {
        let refuse = |reason: String| {
            let reason = format!("chat template: {reason}; leave out --chat to go without it");
            EngineError::model(&self.place, reason)
        };
        let mut marked = messages.to_vec();
        if let Some(last) = marked.last_mut() {
            MARK.clone_into(&mut last.content);
        }
        let text = self
            .render(&marked)
            .map_err(|error| refuse(words(&error)))?;
        match text.split(MARK).collect::<Vec<_>>().as_slice() {
            [head, tail] => Ok(Frame {
                head: (*head).to_owned(),
                tail: (*tail).to_owned(),
            }),
            parts => Err(refuse(format!(
                "shows the user's message {} times instead of once",
                parts.len() - 1
            ))),
        }
    }

    /// What a server would make of the messages, ready for the answer.
    fn render(&self, messages: &[Message]) -> Result<String, Error> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?;
        environment.set_syntax(syntax);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function(
            "raise_exception",
            |message: String| -> Result<String, Error> {
                Err(Error::new(ErrorKind::InvalidOperation, message))
            },
        );
        environment
            .template_from_str(&self.source)?
            .render(context! {
                messages => messages.iter().map(value_of).collect::<Vec<_>>(),
                add_generation_prompt => true,
                bos_token => self.bos.as_str(),
                eos_token => self.eos.as_str(),
            })
    }
}

/// The refusal of a model without a template.
fn none(place: impl std::fmt::Display) -> EngineError {
    EngineError::model(
        place,
        "has no chat template; leave out --chat or use the instruction-tuned model",
    )
}

/// A message as templates see it.
fn value_of(message: &Message) -> Value {
    Value::from_pairs([
        ("role", Value::from(message.role.as_str())),
        ("content", Value::from(message.content.as_str())),
    ])
}

impl Templates {
    fn chosen(self) -> Option<String> {
        match self {
            Self::One(template) => Some(template),
            Self::Named(all) => all
                .into_iter()
                .find(|named| named.name == "default")
                .map(|named| named.template),
        }
    }
}

/// An error of the template in one line.
fn words(error: &Error) -> String {
    let text = match error.line() {
        Some(line) => format!("line {line}: {error}"),
        None => error.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(source: &str) -> ChatTemplate {
        ChatTemplate {
            place: "tokenizer_config.json".to_owned(),
            source: source.to_owned(),
            bos: "<s>".to_owned(),
            eos: "</s>".to_owned(),
        }
    }

    fn say(role: &str, content: &str) -> Message {
        Message {
            role: role.to_owned(),
            content: content.to_owned(),
        }
    }

    /// The shape of ChatML, as Qwen's templates have it.
    const CHATML: &str = "{%- for message in messages %}\n    {{- '<|im_start|>' + message.role + '\\n' \
        + message.content.strip() + '<|im_end|>' + '\\n' }}\n{%- endfor %}\n{%- if add_generation_prompt \
        %}\n    {{- '<|im_start|>assistant\\n' }}\n{%- endif %}";

    #[test]
    fn a_template_frames_the_last_message() {
        let frame = template(CHATML)
            .frame(&[say("system", " be brief "), say("user", "ignored")])
            .unwrap();
        assert_eq!(
            frame.head,
            "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n"
        );
        assert_eq!(frame.tail, "<|im_end|>\n<|im_start|>assistant\n");
    }

    #[test]
    fn special_tokens_and_blocks_behave_as_in_transformers() {
        let source = "{{ bos_token }}{% for m in messages %}\n  {% if m['role'] == 'user' %}\n[INST] {{ \
            m['content'] }} [/INST]{% endif %}\n{% endfor %}";
        let frame = template(source).frame(&[say("user", "x")]).unwrap();
        assert_eq!(
            (frame.head.as_str(), frame.tail.as_str()),
            ("<s>[INST] ", " [/INST]")
        );
    }

    #[track_caller]
    fn refused(source: &str, reason: &str) {
        let error = template(source).frame(&[say("user", "x")]).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(reason), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }

    #[test]
    fn a_hostile_template_runs_out_of_fuel() {
        let loops =
            "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}";
        refused(loops, "fuel");
        refused("{{ 'x' * 1000000000 }}", "fuel");
        let doubling = "{% set ns = namespace(x='xxxxxxxx') %}{% for i in range(60) %}{% set ns.x = ns.x + \
            ns.x %}{% endfor %}{{ ns.x }}";
        refused(doubling, "fuel");
        refused(
            "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
            "recursion",
        );
    }

    #[test]
    fn a_template_that_does_not_show_the_message_once_is_refused() {
        refused("hello", "shows the user's message 0 times");
        refused(
            "{{ messages[0].content }}{{ messages[0].content }}",
            "2 times",
        );
        refused(
            "{{ raise_exception('roles must alternate') }}",
            "roles must alternate",
        );
        refused("{% if %}", "line 1");
        refused("{{ messages | no_such_filter }}", "no_such_filter");
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn the_template_is_found_where_models_keep_it() {
        let one = r#"{"chat_template": "T", "bos_token": {"content": "<b>"}, "eos_token": "<e>"}"#;
        let read = ChatTemplate::of_folder(folder(&[(TOKENIZER_CONFIG, one)]).path()).unwrap();
        assert_eq!(
            (read.source.as_str(), read.bos.as_str(), read.eos.as_str()),
            ("T", "<b>", "<e>")
        );
        let named = r#"{"chat_template": [{"name": "tool_use", "template": "A"}, {"name": "default", "template": "B"}], "bos_token": null}"#;
        let read = ChatTemplate::of_folder(folder(&[(TOKENIZER_CONFIG, named)]).path()).unwrap();
        assert_eq!(read.source, "B");
        let both = folder(&[(TOKENIZER_CONFIG, one), (OWN_FILE, "C")]);
        let read = ChatTemplate::of_folder(both.path()).unwrap();
        assert_eq!((read.source.as_str(), read.bos.as_str()), ("C", "<b>"));
        for files in [
            &[][..],
            &[(TOKENIZER_CONFIG, "{}")],
            &[(TOKENIZER_CONFIG, "[")],
        ] {
            assert!(ChatTemplate::of_folder(folder(files).path()).is_err());
        }
    }
}
