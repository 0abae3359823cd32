//! Where a model comes from, and on what it runs.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ParseError;
use crate::study::hub::HubSource;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum ModelSource {
    /// The small model that ships inside the executable.
    Tiny,
    /// A Hugging Face model folder: config.json, tokenizer.json and safetensors.
    Dir(PathBuf),
    /// One GGUF file.
    Gguf(PathBuf),
    /// The shape of a model card, with seeded random weights.
    Card(String),
    /// A model on the Hub; fetched by the parent, which hands the worker a folder or a file.
    Hub(HubSource),
}

impl ModelSource {
    /// Whether it is a folder of files, a tokenizer among them.
    pub fn is_folder(&self) -> bool {
        match self {
            Self::Dir(_) => true,
            Self::Tiny | Self::Gguf(_) | Self::Card(_) | Self::Hub(_) => false,
        }
    }
}

impl fmt::Display for ModelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tiny => f.write_str("tiny"),
            Self::Dir(path) => write!(f, "dir:{}", path.display()),
            Self::Gguf(path) => write!(f, "gguf:{}", path.display()),
            Self::Card(name) => write!(f, "card:{name}"),
            Self::Hub(source) => write!(f, "hub:{source}"),
        }
    }
}

impl FromStr for ModelSource {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            what: "model source",
            value: text.to_owned(),
            expected: "tiny, hub:OWNER/NAME, dir:PATH, gguf:PATH or card:NAME".to_owned(),
        };
        match text.split_once(':') {
            None if text == "tiny" => Ok(Self::Tiny),
            Some((_, "")) | None => Err(refuse()),
            Some(("dir", path)) => Ok(Self::Dir(path.into())),
            Some(("gguf", path)) => Ok(Self::Gguf(path.into())),
            Some(("card", name)) => Ok(Self::Card(name.to_owned())),
            Some(("hub", name)) => name.parse().map(Self::Hub),
            Some(_) => Err(refuse()),
        }
    }
}

/// Which engine runs the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum EngineKind {
    /// Our decoder.
    Decoder,
    /// candle-transformers as published.
    Stock,
    /// Scripted times and faults, for tests; the path of the script.
    Sim(PathBuf),
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decoder => f.write_str("decoder"),
            Self::Stock => f.write_str("stock"),
            Self::Sim(path) => write!(f, "sim:{}", path.display()),
        }
    }
}

impl FromStr for EngineKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None if text == "decoder" => Ok(Self::Decoder),
            None if text == "stock" => Ok(Self::Stock),
            Some(("sim", path)) if !path.is_empty() => Ok(Self::Sim(path.into())),
            _ => Err(ParseError {
                what: "engine",
                value: text.to_owned(),
                expected: "decoder, stock or sim:SCRIPT".to_owned(),
            }),
        }
    }
}

/// Where the model runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub enum DeviceChoice {
    /// CUDA when the build has it, else the CPU.
    Auto,
    /// The CPU.
    Cpu,
    /// A CUDA device by its ordinal among the visible ones.
    Cuda(u32),
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let refuse = || ParseError {
            what: "device",
            value: text.to_owned(),
            expected: "auto, cpu or cuda:N".to_owned(),
        };
        match text.split_once(':') {
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cpu" => Ok(Self::Cpu),
            Some(("cuda", ordinal)) => ordinal.parse().map(Self::Cuda).map_err(|_| refuse()),
            _ => Err(refuse()),
        }
    }
}

/// Lets serde read and write a type through its text form.
macro_rules! through_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.to_string()
            }
        }
    )*};
}

through_text!(ModelSource, EngineKind, DeviceChoice);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_reads_back() {
        for text in [
            "tiny",
            "dir:/a/b",
            "gguf:x.gguf",
            "card:llama-3.1-8b",
            "hub:a/b@v1",
        ] {
            assert_eq!(text.parse::<ModelSource>().unwrap().to_string(), text);
        }
        assert!("hub:a".parse::<ModelSource>().is_err());
        assert!("ftp:a/b".parse::<ModelSource>().is_err());
    }
}
